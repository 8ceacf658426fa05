"""The report as one HTML file that can be mailed: the studio's Evaluation view with everything inside.

It opens from `file://`, loads nothing, and filters and sorts with a few lines of script of its own.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image

from rl_aesthetics.edits.registry import STOP
from rl_aesthetics.edits.space import edit_space
from rl_aesthetics.evaluation.trajectories import Trace, select, sorts_of
from rl_aesthetics.pages.rendering import STATIC, render
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


def steps_of(dataset: RLDataset, place: int, trace: Trace) -> list[np.ndarray]:
    """The degraded photo and what each edit of an episode made of it, uint8 BGR."""
    degraded = dataset.degraded(place)
    if not trace.edits:
        return [degraded]
    space = edit_space(tuple(trace.steps[0].values))
    return [degraded, *(space.render(degraded, state) for state in space.walk(trace.edits))]


def data_uri(photo_HWC: np.ndarray, side: int = SIDE) -> str:
    """A small copy of a photo as an address that holds it."""
    scale = min(1.0, side / max(photo_HWC.shape[:2]))
    sides = [max(1, round(length * scale)) for length in (photo_HWC.shape[1], photo_HWC.shape[0])]
    small = cv2.resize(photo_HWC, sides, interpolation=cv2.INTER_AREA)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(small[..., ::-1])).save(file, "WEBP", quality=72, method=4)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def render_report(dataset: RLDataset, traces: Sequence[Trace], summary: Mapping[str, Any], shown: int = SHOWN) -> str:
    """The page.

    Args:
        dataset: the split, in the order of the traces.
        shown: episodes with pictures, the worst first.

    Raises:
        UserError: a photo of the dataset is gone.
    """
    places = {trace.image_id: place for place, trace in enumerate(traces)}
    chosen = select(traces)[:shown]
    pictures: dict[tuple[int, int | str], str] = {}
    for trace in chosen:
        place = places[trace.image_id]
        for step, photo in enumerate(steps_of(dataset, place, trace)):
            pictures[trace.image_id, step] = data_uri(photo)
        pictures[trace.image_id, "original"] = data_uri(dataset.original(place))
    return render(
        "report.html",
        style=(STATIC / "charts.css").read_text() + (STATIC / "studio.css").read_text(),
        script=(STATIC / "report.js").read_text(),
        summary=summary,
        traces=traces,
        shown=chosen,
        picture=lambda trace, step: pictures[trace.image_id, step],
        query={"kind": "", "first": "", "depth": None, "sort": sorts_of(traces)[0], "fooled": False},
        **evaluation_context(traces, summary),
    )


def evaluation_context(traces: Sequence[Trace], summary: Mapping[str, Any]) -> dict[str, Any]:
    """What the templates of report and studio share."""
    return {
        "charts": evaluation_charts(traces),
        "policies": policy_table(summary),
        "policy_note": ORIGINAL_NOTE if uses_originals(summary) and summary.get("baselines") else "",
        "quality": quality_table(summary),
        "sorts": sorts_of(traces),
        "numbers": NUMBERS,
        "kinds": kind_counts(traces),
        "kind_means": KIND_MEANS,
        "choices": choices(traces),
        "calibration_error": calibration_error(traces),
        "stop_name": STOP,
    }
