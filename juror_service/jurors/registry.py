"""The jurors: what can turn pixels into a score, in one registry.

To add one, write a file here with a `Juror` named `JUROR` and list it in `_BUILT_IN`. A package of your own adds its
juror without touching this one, through an entry point that names a `Juror`:

    [project.entry-points."rl_aesthetics.jurors"]
    sunsets = "my_package.sunsets:JUROR"
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from rl_aesthetics.errors import UserError, closest
from rl_aesthetics.scores.scorer import Scorer

ENTRY_POINTS = "rl_aesthetics.jurors"
"""The entry-point group that adds jurors of other packages."""

DEFAULT = "pocket"
"""The juror of whoever does not ask for one."""

_BUILT_IN = {
    "pocket": "juror_service.jurors.pocket",
    "aesthetic_v2_5": "juror_service.jurors.aesthetic_v2_5",
    "laion": "juror_service.jurors.laion",
    "remote": "juror_service.jurors.remote",
    "reference": "juror_service.jurors.reference",
    "mix": "juror_service.jurors.mix",
}


@dataclass(frozen=True)
class Juror:
    """What is known of a juror before its model is loaded.

    Attributes:
        title: what it judges, one line.
        licence: SPDX identifier of the weights.
        size: side in pixels of the images it looks at.
        weights: where its weights are: a path or an address.
        weights_bytes: their size, or None where it is not known without fetching them.
        load: keyword options to a `Scorer`; it may take seconds and import heavy libraries.
        score_range: the least and the greatest score that it can give, or None where nothing confines it.
    """

    title: str
    licence: str
    size: int
    weights: str
    weights_bytes: int | None
    load: Callable[..., Scorer]
    score_range: tuple[float, float] | None = None


def available_jurors() -> dict[str, Juror]:
    """Every juror by name, built-in ones first; loads no model.

    Raises:
        UserError: another package's entry point is broken or takes a name that is in use.
    """
    jurors = {name: import_module(module).JUROR for name, module in _BUILT_IN.items()}
    for point in entry_points(group=ENTRY_POINTS):
        package = point.dist.name if point.dist else "an unknown package"
        if point.name in jurors:
            raise UserError(
                f"{package} adds a juror named {point.name!r}, a name already taken: uninstall or rename it"
            )
        try:
            juror = point.load()
        except (ImportError, AttributeError) as error:
            raise UserError(f"juror {point.name!r} of {package} does not import: {error}") from error
        if not isinstance(juror, Juror):
            raise UserError(
                f"juror {point.name!r} of {package}: {point.value} is not a juror_service.jurors.registry.Juror"
            )
        jurors[point.name] = juror
    return jurors


def score_range(name: str) -> tuple[float, float] | None:
    """The least and the greatest score that a juror can give; None where nothing confines it or nobody knows it: an
    unknown name is told where the juror is loaded."""
    known = available_jurors().get(name)
    return known.score_range if known else None


def load_juror(name: str = DEFAULT, **options: Any) -> Scorer:
    """Load a juror by name.

    Args:
        options: the juror's own, for example `threads` and `weights` of `pocket`.

    Raises:
        UserError: no juror has that name, or it has no such option; the message names the nearest one.
    """
    jurors = available_jurors()
    if name not in jurors:
        raise UserError(f"unknown juror {name!r}{closest(name, jurors)}; see `rl-aesthetics juror list`")
    load = jurors[name].load
    known = inspect.signature(load).parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
    for option in options:
        if option not in known and not takes_any:
            listed = ", ".join(known) or "none"
            raise UserError(f"juror {name!r} has no option {option!r}{closest(option, known)}; its options: {listed}")
    return load(**options)
