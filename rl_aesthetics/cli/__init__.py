"""The command line: the composition root, the only place of this package that knows Ray, MLflow and the juror service.

It imports them inside its commands, so that `--help` is quick and editing a photo needs no Ray.
"""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from rl_aesthetics.errors import UserError

app = typer.Typer(
    name="rl-aesthetics",
    help="Train an agent that edits photographs, on Ray, and let it edit yours.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _register() -> None:
    from rl_aesthetics.cli import agent, data, juror, training  # noqa: F401 - each adds its commands to `app`

    app.add_typer(juror.app, name="juror")


def main() -> None:
    """Run the command line. A user's mistake prints one line and exits with code 2; Ctrl-C exits with 130."""
    _register()
    try:
        app()
    except UserError as error:
        Console(stderr=True, soft_wrap=True).print(f"error: {error}", style="red", markup=False, highlight=False)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
