"""Scores kept beside a dataset, so that the next training on it starts warm.

    ROOT/scores/train.pocket_1f2e3d4c5b6a7988.npz    one file for each split and juror

Only edit states of the reversible edits are kept (`transforms.algebra`): other states are numbered anew in every run.
The file is a convenience and never a reason to fail: one that is damaged or belongs to something else is ignored and
replaced, a folder that cannot be written goes without.
"""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from pathlib import Path

import numpy as np

from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.errors import UserError
from rl_aesthetics.scores.score_cache import ScoreCache

FOLDER = "scores"

_log = logging.getLogger(__name__)


class SavedScores:
    """The file with one juror's scores of one split. Picklable: what travels is where it is and what it belongs to.

    Several runs may use it at the same time: it appears by rename, and what is there by then is kept.

    Args:
        dataset: the split, on disk.
        scorer_fingerprint: the juror's.
        capacity: scores kept, at most; 12 bytes each. The least recently used go first.

    Attributes:
        path: of the file.
    """

    def __init__(self, dataset: RLDataset, scorer_fingerprint: str, capacity: int = 2_000_000):
        name = re.sub(r"[^\w.-]", "_", scorer_fingerprint)[:100]
        self.path: Path = dataset.root / FOLDER / f"{dataset.split}.{name}.npz"
        self.scorer_fingerprint, self.photos_fingerprint = scorer_fingerprint, dataset.fingerprint
        self.capacity = capacity

    def check(self) -> int:
        """How many scores are there to begin with; one line in the log if the file cannot be used."""
        cache = self._empty_cache()
        if not self.path.exists():
            return 0
        try:
            return cache.restore(self.path)
        except UserError as error:
            _log.warning("Saved scores are not used, and will be replaced: %s", error)
            return 0

    def cache(self, photos: np.ndarray | None = None) -> ScoreCache:
        """A cache that knows what is in the file, if it can be used, and notes what is stored from now on.

        Args:
            photos: numbers of the photos that matter; all if left out.
        """
        cache = self._empty_cache()
        with suppress(UserError):  # `check` has said so
            cache.restore(self.path, photos)
        return cache

    def _empty_cache(self) -> ScoreCache:
        return ScoreCache(self.scorer_fingerprint, self.capacity, self.photos_fingerprint, journal=True)

    def merge(self, scored_N: np.ndarray) -> bool:
        """Add `SCORED` records to the file.

        Returns:
            whether it was written; if not, a line in the log says why.
        """
        if not len(scored_N):
            return True
        cache = self.cache()
        try:
            self.path.parent.mkdir(exist_ok=True)
            cache.add(scored_N)
            cache.save(self.path)
        except (OSError, UserError) as error:
            _log.warning("Scores are not kept for the next run: %s", error)
            return False
        return True
