"""`juror`: list, score and train what gives the scores."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rl_aesthetics_cli.options import HeldOut, JurorName, JurorOptions, PhotoFolder, Seed, Threads, key_values

if TYPE_CHECKING:
    from rich.console import Console

    from juror_service.training.train import FitStep

app = typer.Typer(
    help="The jurors, who give the scores: list, try, measure, serve and train them.", no_args_is_help=True
)


@app.command("list")
def list_jurors() -> None:
    """Show every juror: what it judges, its licence, its size, where its weights are. Loads no model."""
    from rich.console import Console

    from juror_service.jurors.registry import DEFAULT, available_jurors

    console = Console(highlight=False, soft_wrap=True)
    for name, juror in available_jurors().items():
        console.print(f"[bold]{name}[/bold]{' (default)' if name == DEFAULT else ''}: {juror.title}")
        looks_at = f"{juror.size}×{juror.size} pixels" if juror.size else "as many pixels as its model"
        console.print(f"  looks at  {looks_at}")
        console.print(f"  licence   {juror.licence}", markup=False)
        console.print(f"  weights   {_size(juror.weights_bytes)}{juror.weights}", markup=False)


def _size(count: int | None) -> str:
    if count is None:
        return ""
    return f"{count / 1e9:.1f} GB, " if count >= 1e9 else f"{count / 1e6:.1f} MB, "


@app.command()
def score(
    files: Annotated[list[Path], typer.Argument(help="Photos: JPEG, PNG, WebP, TIFF or BMP.", show_default=False)],
    juror: JurorName = "pocket",
    weights: Annotated[
        Path | None,
        typer.Option(help="Weights in place of the juror's own, such as those of `juror train`.", show_default=False),
    ] = None,
    option: JurorOptions = [],  # noqa: B006 - typer reads the default
    as_json: Annotated[
        bool, typer.Option("--json", help='One {"file": …, "score": …} line per file, nothing else.')
    ] = False,
) -> None:
    """Score photos; higher is better.

    A photo is turned as its EXIF orientation says and reduced to the size
    that the juror looks at. The pocket juror's scores lie between 0 and 1
    and say how much a photo looks like one that nobody manipulated.

    Example: rl-aesthetics juror score --json holiday.jpg party.jpg
    """
    from rich.console import Console
    from rich.table import Table

    from juror_service.jurors.registry import load_juror
    from rl_aesthetics.photos.resize import reduce_image
    from rl_aesthetics.photos.sources import read_photo

    scorer = load_juror(juror, **key_values("--option", option) | ({} if weights is None else {"weights": weights}))
    # All files are read before anything is printed, so that a broken one leaves no half answer.
    scores = scorer.score([reduce_image(read_photo(file), scorer.size)[..., ::-1] for file in files])
    if as_json:
        for file, value in zip(files, scores, strict=True):
            typer.echo(json.dumps({"file": str(file), "score": round(float(value), 6)}))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("score", justify="right")
    table.add_column("file", overflow="fold")
    for file, value in zip(files, scores, strict=True):
        table.add_row(f"{value:.4f}", str(file))
    Console().print(table)


@app.command()
def train(
    photos: PhotoFolder,
    output: Annotated[Path, typer.Option(help="Folder for the weights and the model card.", show_default=False)],
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 5500,
    originals: Annotated[int, typer.Option(help="Photos a step.")] = 32,
    held_out: HeldOut = 0.2,
    seed: Seed = 0,
    threads: Threads = None,
) -> None:
    """Train a pocket juror on your own photos and measure it on photos it never saw.

    It learns to put a photo above its own edits and degradations; nobody
    has to rate anything. The defaults are the recipe of the packaged juror:
    about half an hour, on one core of a busy machine. It writes pocket.onnx,
    pocket.safetensors, pocket.json and the model card pocket.md at the end;
    an interrupted run changes nothing.

    Try the result with `juror score --weights OUTPUT/pocket.onnx`, train on
    it with `train juror.options.weights=OUTPUT/pocket.onnx`.
    """
    import torch
    from rich.console import Console

    from juror_service.training.train import Recipe, train_juror

    if threads is not None:
        torch.set_num_threads(threads)
    console = Console(stderr=True)
    recipe = Recipe(steps=steps, originals=originals, held_out=held_out, seed=seed)
    with _progress(console, steps) as report:
        record = train_juror(photos, output, recipe, report)
    held = record["held_out"]
    typer.echo(f"trained on {record['photos']['training']} photos; on {held['photos']} photos it never saw:")
    typer.echo(f"  one-edit pairs in order  {held['pairs_in_order']:.1%} (worst edit {held['worst_edit']:.1%})")
    typer.echo(f"  one edit undone exactly  {held['greedy_exact']:.1%}")
    typer.echo(f"  images a second          {record['images_per_second']:,.0f}")
    for suffix in (".onnx", ".safetensors", ".json", ".md"):
        typer.echo(output / f"pocket{suffix}")


@contextmanager
def _progress(console: Console, steps: int) -> Iterator[Callable[[FitStep], None]]:
    """A bar on a terminal, one plain line per report elsewhere; both on stderr."""
    if not console.is_terminal:
        yield lambda p: console.print(f"step {p.step} of {p.steps}, loss {p.loss:.4f}", highlight=False)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("training", total=steps, loss="")
        yield lambda p: bar.update(task, completed=p.step, loss=f"loss {p.loss:.4f}")
