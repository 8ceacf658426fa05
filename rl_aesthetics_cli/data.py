"""`generate` and `transforms`: photos in, a degraded dataset out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from rl_aesthetics.config.config import load_config
from rl_aesthetics.errors import UserError
from rl_aesthetics_cli.app import app

if TYPE_CHECKING:
    from ray_cluster.generate.generate import GenerateReport, GenerateSettings

console = Console(highlight=False, soft_wrap=True)

PROMPTS = (
    ("Experiment Name", "experiment", "RL Dataset Generation"),
    ("Target directory", "output", "rl_training_data"),
    ("Target dataset ID", "name", "rl_flickr8k"),
    ("Transformer name", "transformation", "RANDOM"),
    ("Source dataset", "source", "flickr8k"),
    ("Batch size", "batch_size", 16),
)
"""The guide's questions, the settings that they fill and the guide's defaults."""

SHOWN_REASONS = 8


@app.command()
def generate(
    source: Annotated[
        str,
        typer.Option(
            help="Photos: a folder (searched with all its folders), 'samples' (photos that come with the samples"
            " extra), or a dataset id, such as flickr8k, which is downloaded once.",
            show_default=False,
        ),
    ] = "",
    output: Annotated[
        Path | None, typer.Option(help="The dataset's folder; it appears when all is done.", show_default=False)
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="A YAML file whose rl_training.dataset_generation and juror fill in for what is left out here.",
            show_default=False,
        ),
    ] = None,
    transformation: Annotated[
        str | None,
        typer.Option(
            show_default="RANDOM",
            help="What degrades a photo: RANDOM (any of the 14 reversible edits), one edit by name, or one of several:"
            " swap_gb,invert_r. `rl-aesthetics transforms` lists them. tonal (exposure, colour casts, contrast,"
            " saturation) and photographic (these and haze) draw strengths, which the annotations record.",
        ),
    ] = None,
    depth: Annotated[
        int,
        typer.Option(
            help="Edits between a photo and its original, 1 to 9; with tonal or photographic, the most parameters that"
            " go wrong at once."
        ),
    ] = 1,
    difficulty: Annotated[
        str | None,
        typer.Option(
            help="With tonal or photographic: easy (0.3 to 0.8 EV or log2 of a factor), mixed (to 1.5), hard (0.8 to"
            " 2).",
            show_default="mixed",
        ),
    ] = None,
    max_size: Annotated[int, typer.Option(help="Longer side in pixels; photos are never enlarged.")] = 384,
    seed: Annotated[
        int | None, typer.Option(help="Same photos, settings and seed: same bytes.", show_default="42")
    ] = None,
    split_ratios: Annotated[
        str | None,
        typer.Option(
            help="Shares of photos for train, val and test.", metavar="TRAIN,VAL,TEST", show_default="0.7,0.15,0.15"
        ),
    ] = None,
    copies: Annotated[int, typer.Option(help="Differently degraded versions of each photo.")] = 1,
    limit: Annotated[
        int | None, typer.Option(help="Use this many photos at most, chosen by the seed.", show_default=False)
    ] = None,
    juror: Annotated[
        str | None, typer.Option(help="What gives the scores, see `juror list`.", show_default="pocket")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Photos worked on at the same time; one per CPU if left out.", show_default=False)
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Photos in one task.")] = 16,
    sha256: Annotated[
        str | None, typer.Option(help="Checksum of a dataset's archive, where none is known.", show_default=False)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the dataset that OUTPUT holds.")] = False,
    interactive: Annotated[bool, typer.Option("--interactive", help="Ask the guide's questions.")] = False,
) -> None:
    """Degrade photos and score them: makes the dataset that `train` and `evaluate` work on.

    Writes {train,val,test}/images/*.png and annotations.json (COCO), divided
    by photo, and skipped.json, the files that could not be used. Nothing is
    written to OUTPUT before all of it is ready.

    Example: rl-aesthetics generate --source samples --output runs/data
    """
    answers: dict[str, Any] = _ask() if interactive else {}
    if not (interactive or source or config):
        raise UserError("no photos: add --source FOLDER, --source samples or a dataset id, or --interactive")
    if not (interactive or output or config):
        raise UserError("no output: add --output FOLDER, or --interactive")
    from ray_cluster.generate.generate import GenerateSettings

    defaults = load_config(config)
    generation = defaults.rl_training.dataset_generation
    if transformation is None and not generation.use_random_transformer and not interactive:
        raise UserError(f"{config} says use_random_transformer: false; name what degrades with --transformation")
    settings = GenerateSettings(
        source=source or generation.source_dataset,
        output=output or Path(generation.output_dir),
        transformation=transformation or "RANDOM",
        depth=depth,
        difficulty=difficulty,
        max_size=max_size,
        seed=generation.seed if seed is None else seed,
        split_ratios=generation.split_ratios if split_ratios is None else _ratios(split_ratios),
        copies=copies,
        limit=limit,
        juror=juror or defaults.juror.name,
        workers=workers,
        batch_size=batch_size,
        overwrite=overwrite,
        sha256=sha256,
    )
    settings = replace(settings, **answers)
    show(run_generation(settings), suggested_config(settings.transformation))


@app.command()
def transforms() -> None:
    """List every transform: its name, what it does, and the other names that are understood."""
    from rl_aesthetics.edits.transforms import TRANSFORMS

    table = Table(box=None, pad_edge=False)
    for column in ("name", "does", "undo", "also called"):
        table.add_column(column, no_wrap=column == "name", overflow="fold")
    for transform in TRANSFORMS.values():
        undone = "itself" if transform.element is not None else "its opposite" if transform.change else "nothing"
        table.add_row(transform.name, transform.title, undone, "\n".join(transform.aliases))
    Console(highlight=False).print(table)


def run_generation(settings: GenerateSettings) -> GenerateReport:
    """Generate a dataset with progress on the terminal."""
    from ray_cluster.generate.generate import generate
    from rl_aesthetics_cli.progress import PartsProgress

    with PartsProgress(console) as progress:
        return generate(settings, progress)


def suggested_config(transformation: str | Sequence[str]) -> str:
    """The configuration that suits what photos were degraded with."""
    from rl_aesthetics.datasets.tonal_degradation import MODELS

    return f"configs/{'photographic' if str(transformation).lower() in MODELS else 'tuned'}.yaml"


def show(report: GenerateReport, config: str = "configs/tuned.yaml") -> None:
    """Print what was generated, where it is, and how to train on it."""
    table = Table(box=None, pad_edge=False)
    table.add_column("split")
    for column in ("photos", "degraded images"):
        table.add_column(column, justify="right")
    for split, images in report.images.items():
        table.add_row(split, str(report.photos[split]), str(images))
    console.print(table)
    scores = f"originals {report.mean_initial_score:.3f}, degraded {report.mean_score:.3f}"
    console.print(f"mean score: {scores} (juror {report.juror})")
    if report.skipped:
        console.print(f"skipped: {len(report.skipped)} files")
        reasons = Counter(file.reason for file in report.skipped).most_common()
        for reason, count in reasons[:SHOWN_REASONS]:
            console.print(f"  {count} × {reason}")
        if len(reasons) > SHOWN_REASONS:
            console.print(f"  and {len(reasons) - SHOWN_REASONS} more reasons")
    console.print(f"took {report.seconds:.1f} s, wrote")
    for split, images in report.images.items():
        if images:
            console.print(f"  {report.output / split / 'annotations.json'}")
    console.print(f"  {report.output / 'skipped.json'}")
    console.print(f"next: rl-aesthetics train --config {config} dataset={report.output} output=runs/train")


def _ask() -> dict[str, object]:
    return {key: typer.prompt(question, default=default) for question, key, default in PROMPTS}


def _ratios(text: str) -> tuple[float, float, float]:
    try:
        train, val, test = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(f"--split-ratios must be three shares such as 0.7,0.15,0.15, got {text!r}") from error
    return train, val, test
