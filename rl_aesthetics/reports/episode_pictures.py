"""The pictures that an evaluation leaves beside its report, which become artifacts of the training's run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rl_aesthetics.edits.recipe import render_steps
from rl_aesthetics.edits.transforms import STOP
from rl_aesthetics.evaluation.trajectories import Trajectory, select
from rl_aesthetics.reports.charts import standalone
from rl_aesthetics.reports.evaluation_view import evaluation_charts, title
from rl_aesthetics.reports.pictures import Shot, animate, contact_sheet

if TYPE_CHECKING:
    from rl_aesthetics.datasets.dataset import RLDataset

SHEET, ANIMATION = "contact_sheet.jpg", "episodes.gif"
SHEET_EPISODES, ANIMATED_EPISODES = 24, 8


def shots(dataset: RLDataset, place: int, trajectory: Trajectory, original: bool = True) -> list[Shot]:
    """An episode as pictures with captions: as it came, after each edit, and the original.

    Args:
        place: of the photo in the dataset.
    """
    applied = [step for step in trajectory.steps if step.action != STOP]
    scores = [trajectory.degraded, *(step.score for step in applied if step.score is not None)]
    names = ["degraded", *(title(name).replace("½", "half") for name in trajectory.edits)]
    captions = [f"{name} {score:.3f}" for name, score in zip(names, scores, strict=True)]
    photos = render_steps(dataset.degraded(place), trajectory.edits)
    made = [
        Shot(photo, caption, None if number == 0 else score > trajectory.degraded)
        for number, (photo, caption, score) in enumerate(zip(photos, captions, scores, strict=True))
    ]
    if original:
        made.append(Shot(dataset.original(place), f"original {trajectory.original:.3f}"))
    return made


def write_pictures(folder: Path, dataset: RLDataset, trajectories: Sequence[Trajectory]) -> None:
    """Write the charts of an evaluation as SVG, a contact sheet of its worst episodes, and an animation.

    The animation shows episodes from the best to the worst, evenly.
    """
    for name, chart in evaluation_charts(trajectories).items():
        (folder / f"{name}.svg").write_text(standalone(chart), encoding="utf-8")
    places = {trajectory.image_id: place for place, trajectory in enumerate(trajectories)}
    worst = select(trajectories)
    sheet = [shots(dataset, places[one.image_id], one) for one in worst[:SHEET_EPISODES]]
    contact_sheet(sheet).save(folder / SHEET, quality=88)
    spread = {round(k * (len(worst) - 1) / max(1, ANIMATED_EPISODES - 1)) for k in range(ANIMATED_EPISODES)}
    chosen = [worst[place] for place in sorted(spread, reverse=True)]
    animate(folder / ANIMATION, [shots(dataset, places[one.image_id], one, original=False) for one in chosen])
