"""`rl-aesthetics`: all commands together, and what becomes of errors.

Commands import Ray, MLflow and torch when they are run, so that `--help` is quick and editing a photo needs no Ray.
"""

from __future__ import annotations

import sys

from rich.console import Console

from rl_aesthetics.errors import ScoringError, UserError
from rl_aesthetics_cli import agent, data, demo, studio, sweep, tracking, training  # noqa: F401
from rl_aesthetics_cli.app import app
from rl_aesthetics_cli.jurors import distil, juror, serve  # noqa: F401

app.add_typer(juror.app, name="juror")


def main() -> None:
    """Run the command line.

    A user's mistake prints one line and exits with code 2, a juror that gives no scores exits with 1, Ctrl-C with 130.
    """
    try:
        app()
    except (UserError, ScoringError) as error:
        Console(stderr=True, soft_wrap=True).print(f"error: {error}", style="red", markup=False, highlight=False)
        sys.exit(2 if isinstance(error, UserError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
