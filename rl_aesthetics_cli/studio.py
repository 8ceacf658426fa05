"""`studio`: web pages to watch episodes, datasets, evaluations and trainings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rl_aesthetics.errors import UserError
from rl_aesthetics_cli.app import app

if TYPE_CHECKING:
    from rl_aesthetics.agents.agent import DQNAgent
    from rl_aesthetics.scores.scorer import Scorer


_NO_CHOICE = ("remote", "mix", "reference")
"""Jurors that need settings, or an original that an uploaded photo has not."""


@app.command()
def studio(
    runs: Annotated[
        Path, typer.Option(help="Folder with agents, datasets, evaluations and trainings, at any depth up to 5.")
    ] = Path("runs"),
    agent: Annotated[
        list[Path], typer.Option(help="An agent file from elsewhere; repeatable.", show_default=False)
    ] = [],  # noqa: B006 - typer reads the default
    dataset: Annotated[list[Path], typer.Option(help="A dataset from elsewhere; repeatable.", show_default=False)] = [],  # noqa: B006
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8600,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with the token that visitors must give; or set STUDIO_TOKEN.", show_default=False),
    ] = None,
    allow_anonymous: Annotated[
        bool, typer.Option("--allow-anonymous", help="Listen on a public address without a token.")
    ] = False,
    max_upload_mb: Annotated[float, typer.Option(min=0.1, help="Size of one upload, at most.")] = 64.0,
    max_megapixels: Annotated[float, typer.Option(min=0.1, help="Size of one photo, at most.")] = 60.0,
    threads: Annotated[int, typer.Option(min=1, help="Photos that are worked on at the same time.")] = 2,
    queue: Annotated[int, typer.Option(min=1, help="Requests under way; more are told that it is busy.")] = 10,
    mlflow_url: Annotated[str | None, typer.Option(help="Where MLflow is, for a link.", show_default=False)] = None,
    ray_url: Annotated[str | None, typer.Option(help="Where Ray's dashboard is.", show_default=False)] = None,
    grafana_url: Annotated[str | None, typer.Option(help="Where Grafana is.", show_default=False)] = None,
) -> None:
    """Look at agents at work, in a browser: http://127.0.0.1:8600.

    Enhance lets an agent edit your photos step by step, and you may take
    steps back, steer, or play against it. Dataset, Evaluation and Training
    show what `generate`, `evaluate` and `train` wrote below --runs, also while
    they are at it. Photos that are uploaded stay on this machine, are seen by
    whoever uploaded them alone, and are deleted after an hour.
    """
    from juror_service.jurors.registry import DEFAULT, available_jurors, load_juror
    from rl_aesthetics.studio.library import Library
    from rl_aesthetics.studio.serve import serve
    from rl_aesthetics.studio.site import StudioSettings

    def load_scorer(name: str | None, trained: DQNAgent) -> Scorer:
        if name is not None:
            return load_juror(name)
        described = trained.description.config.get("juror", {})
        return load_juror(described.get("name", DEFAULT), **described.get("options", {}))

    links = {"MLflow": mlflow_url, "Ray dashboard": ray_url, "Grafana": grafana_url}
    for name, url in links.items():
        if url and not url.startswith(("http://", "https://")):
            raise UserError(f"{url} is no address for {name}; write http://…")
    if not runs.is_dir() and not agent and not dataset:
        raise UserError(f"there is no folder {runs}: name the one that your runs are in with --runs, or try the demo")
    serve(
        Library(runs, load_scorer, [name for name in available_jurors() if name not in _NO_CHOICE], agent, dataset),
        StudioSettings(
            token=_token(token_file),
            max_body_bytes=int(max_upload_mb * 1e6),
            max_pixels=int(max_megapixels * 1e6),
            threads=threads,
            queue=queue,
            links={name: url for name, url in links.items() if url},
            thumbnails=_thumbnails(),
        ),
        host=host,
        port=port,
        allow_anonymous=allow_anonymous,
        announce=typer.echo,
    )


def _thumbnails() -> Path | None:
    """The folder that keeps thumbnails between starts, if there can be one."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    folder = cache / "rl-aesthetics" / "thumbnails"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:  # a home that cannot be written, as in containers: they are made anew at each start
        return None
    return folder if os.access(folder, os.W_OK) else None


def _token(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get("STUDIO_TOKEN") or None
    try:
        token = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the token from {file}: {error}") from error
    if not token:
        raise UserError(f"{file} is empty; it should hold the token that visitors give")
    return token
