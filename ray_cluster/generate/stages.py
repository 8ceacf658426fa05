"""The two stages of dataset generation that Ray Data runs: tasks degrade photos, actors score them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from rl_aesthetics.datasets.degrade import degrade, draw, draw_tonal, is_reversible
from rl_aesthetics.datasets.tonal_degradation import TonalDegradation
from rl_aesthetics.errors import ScoringError
from rl_aesthetics.photos.read import prepare_photo
from rl_aesthetics.photos.resize import reduce_image
from rl_aesthetics.photos.sources import PhotoError, read_photo
from rl_aesthetics.scores.scorer import Scorer, score_beside

_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 3)  # a third larger than 9 and several times quicker

Block = dict[str, np.ndarray]
"""Rows as columns, the way Ray Data hands them over."""


@dataclass(frozen=True)
class DegradePhotos:
    """Reads, resizes and degrades a block of photos: one row for each copy, or one row with a reason."""

    sequences: tuple[tuple[str, ...], ...] | TonalDegradation
    seed: int
    copies: int
    max_size: int
    view: int

    def __call__(self, block: Block) -> Block:
        read = functools.lru_cache(maxsize=1)(self._read)  # the tiles of one photo follow each other
        rows: list[dict[str, Any]] = []
        for index, path, name, box in zip(block["index"], block["path"], block["name"], block["box"], strict=True):
            try:
                photo = self._prepare(read(str(path), bool(box[2])), str(path), tuple(map(int, box)))
            except PhotoError as error:
                rows.append(self._row(int(index), reason=error.reason))
                continue
            for copy in range(self.copies):
                rows.append(self._degrade(int(index), str(name), copy, photo))
        return {key: _column([row[key] for row in rows]) for key in rows[0]}

    def _read(self, path: str, tiled: bool) -> np.ndarray:
        # Twice the final size leaves area averaging enough to work with.
        return read_photo(path, at_least=None if tiled else 2 * self.max_size)

    def _prepare(self, photo: np.ndarray, path: str, box: tuple[int, ...]) -> np.ndarray:
        left, top, width, height = box
        if width:
            photo = photo[top : top + height, left : left + width]
        return prepare_photo(photo, self.max_size, path)

    def _degrade(self, index: int, name: str, copy: int, photo: np.ndarray) -> dict[str, Any]:
        drawn = draw_tonal if isinstance(self.sequences, TonalDegradation) else draw
        degradation = drawn(self.sequences, self.seed, name, copy)
        degraded = degrade(photo, degradation.sequence, degradation.strengths)
        return self._row(
            index,
            copy=copy,
            sequence="+".join(degradation.sequence),
            strengths="+".join(f"{strength:g}" for strength in degradation.strengths),
            recipe_seed=degradation.seed,
            width=photo.shape[1],
            height=photo.shape[0],
            digest=hashlib.sha256(photo.tobytes()).hexdigest(),
            degraded=_png(degraded),
            original=b"" if is_reversible(degradation.sequence) else _png(photo),
            degraded_view=self._view(degraded),
            original_view=self._view(photo),
        )

    def _view(self, photo_BGR: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(reduce_image(photo_BGR, self.view)[..., ::-1])

    def _row(self, index: int, **values: Any) -> dict[str, Any]:
        blank = np.zeros((self.view, self.view, 3), np.uint8)
        return {
            **{"index": index, "copy": -1, "reason": "", "sequence": "", "strengths": ""},
            **{
                "recipe_seed": 0,
                "width": 0,
                "height": 0,
                "digest": "",
                "degraded": b"",
                "original": b"",
                "degraded_view": blank,
                "original_view": blank,
            },
            **values,
        }


class ScorePhotos:
    """A juror in an actor of the pool: adds `score` and `initial_score` to a block, or the `failure` to score it.

    A failure travels as a column because Ray Data does not hand on the type of what its workers raise.
    """

    def __init__(self, make_scorer: Callable[[], Scorer]):
        self.scorer = make_scorer()

    def __call__(self, block: Block) -> Block:
        score, initial_score = np.zeros((2, len(block["index"])))
        failure = ""
        usable = np.flatnonzero(block["reason"] == "")
        if usable.size:
            # The copies of a photo share their original: it is scored once.
            _, first, original_of = np.unique(block["index"][usable], return_index=True, return_inverse=True)
            degraded, originals = block["degraded_view"][usable], block["original_view"][usable]
            views = np.concatenate([degraded, originals[first]])
            try:
                beside = np.concatenate([originals, originals[first]])
                scores = score_beside(self.scorer, list(views), lambda: beside)
                score[usable] = scores[: usable.size]
                initial_score[usable] = scores[usable.size :][original_of]
            except ScoringError as error:
                failure = str(error) or "the juror could not score"
        kept = {key: column for key, column in block.items() if not key.endswith("_view")}
        failures = np.full(len(score), failure)
        return {**kept, "score": score, "initial_score": initial_score, "failure": failures}


def _column(values: list[Any]) -> np.ndarray:
    if isinstance(values[0], np.ndarray):
        return np.stack(values)
    if not isinstance(values[0], bytes):
        return np.array(values)
    column = np.empty(len(values), object)  # NumPy's own bytes type pads all to the longest
    column[:] = values
    return column


def _png(image_HWC: np.ndarray) -> bytes:
    encoded, data = cv2.imencode(".png", image_HWC, _PNG)
    if not encoded:
        raise RuntimeError("OpenCV could not encode a PNG")
    return data.tobytes()
