"""What the Training view and MLflow show of a training: curves from `metrics.jsonl`, the filmstrip, an animation."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from rl_aesthetics.files.run_files import FILMSTRIP, METRICS_FILE
from rl_aesthetics.reports import charts
from rl_aesthetics.reports.filmstrip import draw_filmstrip, edited, read_filmstrip
from rl_aesthetics.reports.pictures import Shot, animate

if TYPE_CHECKING:
    from rl_aesthetics.datasets.dataset import RLDataset


CURVES: dict[str, tuple[str, dict[str, str], tuple[float, float] | None]] = {
    "success": (
        "share of photos",
        {
            "training": "train_success_rate",
            "improved": "val_success_rate",
            "recovered": "val_recovered",
            "exact": "val_exact",
        },
        (0.0, 1.0),
    ),
    "reward": ("return of an episode", {"training": "train_avg_reward", "validation": "val_avg_reward"}, None),
    "loss": ("loss", {"loss": "train_avg_loss"}, None),
    "steps": ("steps of an episode", {"training": "train_avg_steps", "validation": "val_avg_steps"}, None),
    "epsilon": ("epsilon", {"epsilon": "epsilon"}, (0.0, 1.0)),
    "speed": ("per second", {"env steps": "perf_env_steps_per_s", "trained": "perf_trained_per_s"}, None),
}
"""The charts of a training by name: title of y, curve and metric, and bounds of y."""


def read_metrics(file: Path) -> list[dict[str, float]]:
    """The epochs so far; a line that is still being written is passed over."""
    rows = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "step" in row:
            rows.append(row)
    return rows


def training_charts(rows: Sequence[dict[str, float]]) -> dict[str, Markup]:
    """The charts by their names in `CURVES`."""
    made = {}
    for name, (title, curves, bounds) in CURVES.items():
        series = {
            curve: [(row["step"], row[metric]) for row in rows if _is_number(row.get(metric))]
            for curve, metric in curves.items()
        }
        made[name] = charts.lines({k: v for k, v in series.items() if v}, "environment steps", title, bounds)
    return made


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def write_training_pictures(folder: Path, run: Path, validation_set: RLDataset) -> None:
    """Draw a training's curves, its filmstrip and an animation of it.

    Args:
        folder: gets `curve_….svg`, and where there were validations `filmstrip.png` and `filmstrip.gif`.
        run: the training's folder.
        validation_set: whose photos the filmstrip shows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, chart in training_charts(read_metrics(run / METRICS_FILE)).items():
        (folder / f"curve_{name}.svg").write_text(charts.standalone(chart), encoding="utf-8")
    moments = read_filmstrip(run / FILMSTRIP)
    if not moments:
        return
    draw_filmstrip(validation_set, moments).save(folder / "filmstrip.png")
    records = {record.image_id: record for record in validation_set.records}
    reels = []
    for image_id, _, _ in moments[-1].photos:
        shots = [Shot(edited(validation_set, image_id, ()), f"degraded {records[image_id].score:.3f}")]
        last: tuple[str, ...] | None = ()
        for moment in moments:
            _, edits, score = next(one for one in moment.photos if one[0] == image_id)
            if edits != last:  # a photo on which the agent has not changed its mind would only stand still
                caption = f"epoch {moment.epoch}: {score:.3f}"
                shots.append(Shot(edited(validation_set, image_id, edits), caption, score > records[image_id].score))
            last = edits
        reels.append(shots)
    animate(folder / "filmstrip.gif", reels)
