"""The report as one HTML file that can be mailed: the studio's Evaluation view with everything inside.

It opens from `file://`, loads nothing, and filters and sorts with a few lines of script of its own.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rl_aesthetics.edits.recipe import render_steps
from rl_aesthetics.edits.transforms import STOP
from rl_aesthetics.evaluation.trajectories import Trajectory, select, sorts_of
from rl_aesthetics.pages.rendering import STATIC, render
from rl_aesthetics.photos.resize import fit_within
from rl_aesthetics.photos.write import encode_webp
from rl_aesthetics.reports.evaluation_view import (
    KIND_MEANS,
    NUMBERS,
    ORIGINAL_NOTE,
    calibration_error,
    choices,
    evaluation_charts,
    kind_counts,
    policy_table,
    quality_table,
    uses_originals,
)

if TYPE_CHECKING:
    from rl_aesthetics.datasets.dataset import RLDataset

SHOWN = 100
"""Episodes with pictures, the worst first: about 25 kB each."""

SIDE = 168


def data_uri(photo_HWC: np.ndarray, side: int = SIDE) -> str:
    """A small copy of a photo as an address that holds it."""
    content = encode_webp(fit_within(photo_HWC, side), quality=72, method=4)
    return "data:image/webp;base64," + base64.b64encode(content).decode()


def render_report(
    dataset: RLDataset, trajectories: Sequence[Trajectory], summary: Mapping[str, Any], shown: int = SHOWN
) -> str:
    """The page.

    Args:
        dataset: the split, in the order of the trajectories.
        shown: episodes with pictures, the worst first.

    Raises:
        UserError: a photo of the dataset is gone.
    """
    places = {trajectory.image_id: place for place, trajectory in enumerate(trajectories)}
    chosen = select(trajectories)[:shown]
    pictures: dict[tuple[int, int | str], str] = {}
    for trajectory in chosen:
        place = places[trajectory.image_id]
        for step, photo in enumerate(render_steps(dataset.degraded(place), trajectory.edits)):
            pictures[trajectory.image_id, step] = data_uri(photo)
        pictures[trajectory.image_id, "original"] = data_uri(dataset.original(place))
    return render(
        "report.html",
        style=(STATIC / "charts.css").read_text() + (STATIC / "studio.css").read_text(),
        script=(STATIC / "report.js").read_text(),
        summary=summary,
        trajectories=trajectories,
        shown=chosen,
        picture=lambda trajectory, step: pictures[trajectory.image_id, step],
        query={"kind": "", "first": "", "depth": None, "sort": sorts_of(trajectories)[0], "fooled": False},
        **evaluation_context(trajectories, summary),
    )


def evaluation_context(trajectories: Sequence[Trajectory], summary: Mapping[str, Any]) -> dict[str, Any]:
    """What the templates of report and studio share."""
    return {
        "charts": evaluation_charts(trajectories),
        "policies": policy_table(summary),
        "policy_note": ORIGINAL_NOTE if uses_originals(summary) and summary.get("baselines") else "",
        "quality": quality_table(summary),
        "sorts": sorts_of(trajectories),
        "numbers": NUMBERS,
        "kinds": kind_counts(trajectories),
        "kind_means": KIND_MEANS,
        "choices": choices(trajectories),
        "calibration_error": calibration_error(trajectories),
        "stop_name": STOP,
    }
