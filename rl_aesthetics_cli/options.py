"""Options of which there may be several, each `KEY=VALUE`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from rl_aesthetics.errors import UserError

JurorName = Annotated[str, typer.Option(help="Which juror, see `juror list`.")]
JurorOptions = Annotated[
    list[str],
    typer.Option("--option", metavar="KEY=VALUE", help="An option of the juror, such as threads=2; repeatable."),
]

PhotoFolder = Annotated[
    Path,
    typer.Option(help="Folder of photos, searched with its subfolders. A few hundred at least.", show_default=False),
]
HeldOut = Annotated[float, typer.Option(help="Share of the photos kept for measuring, never trained on.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random, the choice of held-out photos included.")]
Threads = Annotated[
    int | None, typer.Option(help="CPU threads; all that this process may use if left out.", show_default=False)
]


def key_values(flag: str, given: Iterable[str]) -> dict[str, Any]:
    """`key=value` strings to keyword arguments; values are read as YAML, so that 2 is a number.

    Args:
        flag: the option's name, for the error.

    Raises:
        UserError: no `=`, no key, or a value that is not YAML.
    """
    options = {}
    for text in given:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise UserError(f"{flag} {text!r} is not KEY=VALUE, for example {flag} threads=2")
        try:
            options[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f"{flag} {text!r}: the value cannot be read ({str(error).splitlines()[0]})") from error
    return options
