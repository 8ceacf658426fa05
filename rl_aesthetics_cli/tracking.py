"""`mlflow-upload`: what an ended run could not tell MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rl_aesthetics_cli.app import app


@app.command("mlflow-upload")
def mlflow_upload(
    run: Annotated[
        Path, typer.Argument(metavar="RUN_DIR", help="The folder of the run, as in `train output=RUN_DIR`.")
    ],
    tracking_uri: Annotated[
        str | None,
        typer.Option(help="Upload to this MLflow instead, such as http://127.0.0.1:5000 or sqlite:///mlflow.db."),
    ] = None,
) -> None:
    """Send the records of an ended run that MLflow did not get while the run lasted.

    Training never waits for MLflow. What it could not send is in RUN_DIR/mlflow_spool.jsonl, and the last lines of its
    log said so. Uploading twice does no harm, and the file is deleted when MLflow has everything.
    """
    from ray_cluster.tracking.tracker import upload

    typer.echo(f"MLflow at {upload(run, tracking_uri)} has everything of {run}")
