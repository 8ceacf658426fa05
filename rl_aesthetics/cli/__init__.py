"""The command line: the composition root, the only place of this package that knows Ray, MLflow and the juror service.

It imports them inside its commands, so that `--help` is quick and editing a photo needs no Ray.
"""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from rl_aesthetics.errors import ScoringError, UserError

app = typer.Typer(
    name="rl-aesthetics",
    help="Train an agent that edits photographs, on Ray, and let it edit yours.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _register() -> None:
    # Each adds its commands when it is imported.
    from rl_aesthetics.cli import agent, data, demo, distil, juror, serve, studio, sweep, tracking, training  # noqa: F401

    app.add_typer(juror.app, name="juror")


def main() -> None:
    """Run the command line.

    A user's mistake prints one line and exits with code 2, a juror that gives no scores exits with 1, Ctrl-C with 130.
    """
    _register()
    try:
        app()
    except (UserError, ScoringError) as error:
        Console(stderr=True, soft_wrap=True).print(f"error: {error}", style="red", markup=False, highlight=False)
        sys.exit(2 if isinstance(error, UserError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
