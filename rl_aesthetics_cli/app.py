"""The command that all others are added to, each when its module is imported."""

import typer

app = typer.Typer(
    name="rl-aesthetics",
    help="Train an agent that edits photographs, on Ray, and let it edit yours.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
