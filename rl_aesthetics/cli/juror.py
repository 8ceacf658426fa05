"""`juror`: list, score and train what gives the scores."""

import typer

app = typer.Typer(help="What gives the scores.", no_args_is_help=True)
