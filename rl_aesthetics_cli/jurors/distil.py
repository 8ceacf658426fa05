"""`juror distil`: a quick student of a slow juror."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rl_aesthetics_cli.jurors.juror import app
from rl_aesthetics_cli.options import HeldOut, PhotoFolder, Seed, Threads, key_values


@app.command()
def distil(
    teacher: Annotated[str, typer.Option(help="The juror to learn from, see `juror list`.", show_default=False)],
    photos: PhotoFolder,
    output: Annotated[
        Path, typer.Option(help="Folder for the teacher's scores, the weights and the model card.", show_default=False)
    ],
    teacher_option: Annotated[
        list[str],
        typer.Option(metavar="KEY=VALUE", help="An option of the teacher, such as weights=DIR; repeatable."),
    ] = [],  # noqa: B006 - typer reads the default
    steps: Annotated[int, typer.Option(help="Optimiser steps of the student.")] = 2500,
    crops: Annotated[int, typer.Option(help="Crops of each photo that the teacher sees, the whole photo first.")] = 2,
    alterations: Annotated[
        int,
        typer.Option(help="Images made from each crop by edits and degradations, at most 31."),
    ] = 15,
    held_out: HeldOut = 0.2,
    seed: Seed = 0,
    threads: Threads = None,
) -> None:
    """Train a quick student on a slow juror's scores of your photos and of edits of them.

    The teacher scores CROPS × (1 + ALTERATIONS) images of each photo, once:
    its scores are kept in OUTPUT, so a run that was cut off goes on where it
    was. Then a juror of the pocket's size learns to put images in the
    teacher's order, and is compared with it on photos it never saw.

    Try the result with `juror score --weights OUTPUT/pocket.onnx`, train on
    it with `train juror.options.weights=OUTPUT/pocket.onnx`.
    """
    import torch
    from rich.console import Console

    from juror_service.jurors.registry import available_jurors, load_juror
    from juror_service.training.distil import DistilRecipe, distil_juror
    from rl_aesthetics_cli.progress import PartsProgress

    if threads is not None:
        torch.set_num_threads(threads)
    recipe = DistilRecipe(steps=steps, crops=crops, alterations=alterations, held_out=held_out, seed=seed)
    scorer = load_juror(teacher, **key_values("--teacher-option", teacher_option))
    with PartsProgress(Console(stderr=True)) as report:
        record = distil_juror(
            scorer, photos, output, recipe, report, name=teacher, licence=available_jurors()[teacher].licence
        )
    held, scores = record["held_out"], record["teacher_scores"]
    known = scores["images"] - scores["asked"]
    typer.echo(f"{teacher} scored {scores['asked']:,} images in {scores['seconds']:,} s; {known:,} were known")
    typer.echo(f"trained on {record['photos']['training']} photos; on {held['photos']} photos it never saw:")
    typer.echo(f"  rank correlation with {teacher}  {_number(held['spearman'], '.3f')}")
    typer.echo(f"  among images of one photo  {_number(held['spearman_within'], '.3f')}")
    typer.echo(f"  their pairs in order  {_number(held['pairs_in_order'], '.1%')}")
    typer.echo(f"  images a second  {record['images_per_second']:,.0f}")
    for suffix in (".onnx", ".safetensors", ".json", ".md"):
        typer.echo(output / f"pocket{suffix}")


def _number(value: float | None, form: str) -> str:
    return "cannot be had" if value is None else format(value, form)
