"""`evaluate` and `enhance`: what a trained agent does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from rl_aesthetics.errors import UserError
from rl_aesthetics.files.run_files import BEFORE_AFTER, REPORT, RESULTS, SUMMARY
from rl_aesthetics_cli.app import app
from rl_aesthetics_cli.progress import PartsProgress

if TYPE_CHECKING:
    from rl_aesthetics.agents.agent import DQNAgent
    from rl_aesthetics.enhance.batch import Done
    from rl_aesthetics.scores.scorer import Scorer

console = Console(highlight=False, soft_wrap=True)

CHECKPOINT = "The agent file that `rl-aesthetics train` wrote (agent.safetensors), or the folder it is in."
JUROR = (
    "Whose scores to use, see `rl-aesthetics juror list`. Left out, it is the one that the agent was trained with, and "
    "another version of it is refused; named here, it is taken whatever the agent was trained with."
)


@app.command()
def evaluate(
    checkpoint: Annotated[Path, typer.Option(help=CHECKPOINT, show_default=False)],
    dataset: Annotated[Path, typer.Option(help="A folder that `rl-aesthetics generate` wrote.", show_default=False)],
    output_dir: Annotated[
        Path, typer.Option(help="Where the report goes; an older one there is replaced.", show_default=False)
    ],
    split: Annotated[str, typer.Option(help="Which photos: train, val or test.")] = "test",
    max_steps: Annotated[
        int | None, typer.Option(min=1, help="Step limit; the agent's own if left out.", show_default=False)
    ] = None,
    juror: Annotated[str | None, typer.Option(help=JUROR, show_default=False)] = None,
    oracle: Annotated[
        bool, typer.Option(help="Search exhaustively for the best possible edits, which takes most of the time.")
    ] = True,
    judge: Annotated[
        list[str] | None,
        typer.Option(
            help="A further juror, which training never used; may be given several times.", show_default=False
        ),
    ] = None,
) -> None:
    """Measure a trained agent on photos it has not seen, beside baselines.

    The agent edits every photo of the split greedily. OUTPUT_DIR gets
    report.html (one page to look at and to mail), summary.json (all
    numbers), results.csv (one row a photo), episodes.jsonl (every decision),
    pictures/ (charts, contact sheet, animation) and before_after/ (the first
    20 photos and their edits). `rl-aesthetics studio` shows it, too.

    improved: the score rose. recovered: it reached the original's. exact: the
    pixels are the original's. oracle fraction: the improvement, divided by
    the best that exhaustive search finds within the step limit.

    With --judge, and for photographic edits, judges.csv says of every photo
    what others make of it: PSNR, SSIM and FLIP to the original, the judges'
    scores, and where the agent's own score rose while theirs fell.
    """
    from rl_aesthetics.agents.agent import DQNAgent
    from rl_aesthetics.datasets.dataset import RLDataset
    from rl_aesthetics.evaluation import reward_hacking
    from rl_aesthetics.evaluation.compatibility import check_juror
    from rl_aesthetics.reports import report
    from rl_aesthetics.reports.evaluate import evaluate as run

    agent = DQNAgent.load(checkpoint)
    photos = RLDataset(dataset, split)
    scorer = _juror(agent, juror)
    if juror is None:
        check_juror(scorer, agent, photos)
    elif scorer.fingerprint != agent.description.juror:
        console.print(f"note: scored by {scorer.fingerprint}; the agent was trained on {agent.description.juror}")
    with PartsProgress(console) as progress:
        others = _judges(judge or [], scorer)
        summary = run(agent, photos, scorer, output_dir, checkpoint, max_steps, oracle, progress, others)
    console.print(report.table(summary))
    if "quality" in summary:
        for line in reward_hacking.lines(summary["quality"]):
            console.print(line)
    for name in (REPORT, SUMMARY, RESULTS, BEFORE_AFTER):
        console.print(f"wrote {output_dir / name}")
    record_evaluation(checkpoint, output_dir, summary)


@app.command()
def enhance(
    photos: Annotated[
        list[Path],
        typer.Argument(
            metavar="PHOTOS", help="JPEG, PNG, WebP, TIFF or BMP files, or folders of them.", show_default=False
        ),
    ],
    output_dir: Annotated[Path, typer.Option(help="Where the edited photos go.", show_default=False)],
    checkpoint: Annotated[Path | None, typer.Option(help=CHECKPOINT, show_default=False)] = None,
    apply: Annotated[
        Path | None,
        typer.Option(help="A recipe that --recipe wrote, to do again here; no agent decides.", show_default=False),
    ] = None,
    juror: Annotated[str | None, typer.Option(help=JUROR, show_default=False)] = None,
    max_steps: Annotated[
        int | None, typer.Option(min=1, help="Step limit; the agent's own if left out.", show_default=False)
    ] = None,
    file_format: Annotated[
        Literal["png", "jpeg", "tiff", "same"],
        typer.Option(
            "--format",
            help="png and tiff keep every pixel and 16 bits; jpeg (quality 95) is smaller; same is the photo's own.",
        ),
    ] = "png",
    recipe: Annotated[bool, typer.Option("--recipe", help="Write NAME.recipe.json for --apply.")] = False,
    steps: Annotated[bool, typer.Option("--steps", help="Write the photo after every edit, too.")] = False,
    sheet: Annotated[bool, typer.Option("--contact-sheet", help="Write one page of all before and after.")] = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Photos at a time; two if left out.", show_default=False)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Leave out the photos that are done already.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are there already.")] = False,
) -> None:
    """Let a trained agent edit your photos, at full size; they never change.

    For each photo OUTPUT_DIR gets NAME.png and NAME.json: the edits in order,
    what the agent expected of every action at each step, the juror's scores
    before and after, and why the agent stopped. EXIF data and colour profile
    go along, the photo is turned upright, 16 bits stay 16 bits. With the
    reversible edits, a photo with an odd side loses one row or column, because
    half shifts need even sides; the JSON says so.

    Example: rl-aesthetics enhance ~/Pictures/trip --checkpoint runs/train
    --output-dir runs/trip --format same --contact-sheet
    """
    from rl_aesthetics.agents.agent import DQNAgent
    from rl_aesthetics.edits.recipe import read_recipe
    from rl_aesthetics.enhance.batch import (
        agent_work,
        default_jobs,
        enhance_all,
        recipe_work,
        says,
        write_contact_sheet,
    )
    from rl_aesthetics.enhance.results import plan_outputs
    from rl_aesthetics.evaluation.compatibility import check_juror
    from rl_aesthetics.reports import report

    if (checkpoint is None) == (apply is None):
        raise UserError("say who decides: --checkpoint AGENT, or --apply RECIPE")
    written = {"steps": steps, "recipes": recipe}
    if apply is not None:
        work = recipe_work(read_recipe(apply), apply, **written)
    else:
        assert checkpoint is not None
        agent = DQNAgent.load(checkpoint)
        scorer = _juror(agent, juror)
        if juror is None:
            check_juror(scorer, agent)
        work = agent_work(agent, scorer, max_steps, checkpoint, **written)
    plan = plan_outputs(photos, output_dir, file_format, overwrite or resume)
    report.check_writable(output_dir)
    finished = []
    with PartsProgress(console) as progress:
        for done in enhance_all(plan, work, jobs or default_jobs(), resume):
            finished.append(done)
            _tell(done, says(done))
            if len(plan) > 1:
                progress("photos", len(finished), len(plan))
    if sheet and (page := write_contact_sheet(output_dir, finished)):
        console.print(f"wrote {page}", markup=False)
    if refused := [done for done in finished if done.refused]:
        raise UserError(f"{len(refused)} of {len(plan)} photos could not be edited; the lines above say why")


def _tell(done: Done, line: str) -> None:
    if done.refused:
        said = Console(stderr=True, soft_wrap=True)
        said.print(f"skipped {done.refused}", style="red", markup=False, highlight=False)
        return
    console.print(line, markup=False)
    if done.enhancement is None:
        return
    if any(done.enhancement.cropped):
        rows, columns = done.enhancement.cropped
        cut = " and ".join(["one row"] * rows + ["one column"] * columns)
        console.print(f"  cut {cut}, because half shifts need even sides")
    console.print(f"wrote {done.result}\nwrote {done.record}", markup=False)


def record_evaluation(checkpoint: Path, output_dir: Path, summary: dict) -> None:
    """Add an evaluation to the MLflow run of the training whose folder the agent is in, if it is in one."""
    folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
    if not (folder / "mlflow_run.json").exists():
        return
    from ray_cluster.tracking import tracker as tracking

    if tracking.record_evaluation(folder, output_dir, summary):
        console.print("added to the training's run in MLflow")


def _judges(names: list[str], own: Scorer) -> dict[str, Scorer]:
    from juror_service.jurors.registry import load_juror

    others = {name: load_juror(name) for name in names}
    if same := [name for name, scorer in others.items() if scorer.fingerprint == own.fingerprint]:
        raise UserError(f"--judge {same[0]} is the agent's own juror; a judge must be another one")
    return others


def _juror(agent: DQNAgent, name: str | None) -> Scorer:
    from juror_service.jurors.registry import DEFAULT, load_juror

    if name is not None:
        return load_juror(name)
    trained_with = agent.description.config.get("juror", {})
    return load_juror(trained_with.get("name", DEFAULT), **trained_with.get("options", {}))
