"""The same few validation photos at every validation of a training: `filmstrip.jsonl`, and the picture of it.

One JSON object a line and validation: `{"epoch", "step", "photos": [{"image_id", "edits", "score"}]}`. The pixels
follow from the dataset, so a line is some hundred bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rl_aesthetics.edits import recipe
from rl_aesthetics.edits.transforms import STOP
from rl_aesthetics.reports.pictures import Shot

if TYPE_CHECKING:
    from PIL import Image

    from rl_aesthetics.datasets.dataset import RLDataset
    from rl_aesthetics.evaluation.episodes import Episodes
    from rl_aesthetics.evaluation.evaluation import Evaluation

PHOTOS, MOMENTS = 8, 8


@dataclass(frozen=True)
class Moment:
    """One validation.

    Attributes:
        epoch, step: when, in epochs and environment steps.
        photos: image id, edits and final score of each photo.
    """

    epoch: int
    step: int
    photos: tuple[tuple[int, tuple[str, ...], float], ...]


def chosen_places(count: int, most: int = PHOTOS) -> list[int]:
    """Which photos of a split are shown: evenly spread, always the same."""
    return sorted({round(k * (count - 1) / max(1, most - 1)) for k in range(most)}) if count else []


def photos_of(evaluation: Evaluation, episodes: Episodes) -> list[dict[str, Any]]:
    """What became of the chosen photos in finished episodes, for a line of the file."""
    names, records = evaluation.task.actions, evaluation.dataset.records
    return [
        {
            "image_id": records[place].image_id,
            "edits": [names[action] for action in episodes.actions[place] if names[action] != STOP],
            "score": round(float(episodes.final_N[place]), 5),
        }
        for place in chosen_places(len(records))
    ]


def read_filmstrip(file: Path) -> list[Moment]:
    """The moments of a training in order; of an epoch that was done twice, the last. None where there is no file.

    A line that is still being written is passed over.
    """
    moments: dict[int, Moment] = {}
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            row = json.loads(line)
            photos = tuple((one["image_id"], tuple(one["edits"]), float(one["score"])) for one in row["photos"])
            moments[int(row["epoch"])] = Moment(int(row["epoch"]), int(row["step"]), photos)
        except (ValueError, KeyError, TypeError):
            continue
    return [moments[epoch] for epoch in sorted(moments)]


def some(moments: Sequence[Moment], most: int = MOMENTS) -> list[Moment]:
    """Evenly spread ones, the first and the last among them."""
    return [moments[place] for place in chosen_places(len(moments), most)]


def edited(dataset: RLDataset, image_id: int, edits: Sequence[str]) -> np.ndarray:
    """A photo of the split after some edits, uint8 BGR.

    Raises:
        KeyError: the split has no such photo, or there is no such edit.
    """
    place = {record.image_id: place for place, record in enumerate(dataset.records)}[image_id]
    return recipe.render(dataset.degraded(place), edits)


def draw_filmstrip(dataset: RLDataset, moments: Sequence[Moment]) -> Image.Image:
    """Degraded photos, what the agent made of them at some validations, and the originals; one row each.

    Args:
        moments: at least one, from `read_filmstrip`.
    """
    from rl_aesthetics.reports.pictures import filmstrip

    records = {record.image_id: (place, record) for place, record in enumerate(dataset.records)}
    shown = [image_id for image_id, _, _ in moments[-1].photos if image_id in records]
    degraded, original = [], []
    for image_id in shown:
        place, record = records[image_id]
        degraded.append(Shot(dataset.degraded(place), f"{record.score:.3f}"))
        original.append(Shot(dataset.original(place), f"{record.initial_score:.3f}"))
    rows = [("degraded", degraded)]
    for moment in some(moments):
        shots = [
            Shot(edited(dataset, image_id, edits), f"{score:.3f}", score > records[image_id][1].score)
            for image_id, edits, score in moment.photos
            if image_id in records
        ]
        rows.append((f"epoch {moment.epoch}", shots))
    return filmstrip([*rows, ("original", original)])
