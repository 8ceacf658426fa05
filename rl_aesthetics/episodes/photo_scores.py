"""Scores of photos in edit states, each asked for once."""

from __future__ import annotations

import numpy as np

from rl_aesthetics.edits.view import View
from rl_aesthetics.errors import ScoringError
from rl_aesthetics.scores.score_cache import ScoreCache
from rl_aesthetics.scores.scorer import Scorer, score_beside


class PhotoScores:
    """Scores of (photo, edit state), each asked for once."""

    def __init__(self, scorer: Scorer, view: View, cache: ScoreCache | None = None):
        self.scorer, self.view = scorer, view
        self.cache = ScoreCache(scorer.fingerprint, 2_000_000) if cache is None else cache
        self.calls = 0

    def __call__(self, photos_B: np.ndarray, states_B: np.ndarray) -> np.ndarray:
        """float32 `(B,)`; NaN where the scorer could not answer."""
        scores, known = self.cache.lookup(photos_B, states_B)
        if not known.all():
            wanted, place = np.unique(np.stack([photos_B[~known], states_B[~known]]), axis=1, return_inverse=True)
            self.calls += 1
            try:
                fresh = self.score(*wanted)
            except ScoringError:
                return scores
            self.cache.store(*wanted, fresh)
            scores[~known] = fresh[place]
        return scores

    def score(self, photos_B: np.ndarray, states_B: np.ndarray) -> np.ndarray:
        """float32 `(B,)`, asked of the scorer whatever is known.

        Raises:
            ScoringError: it could not answer.
        """
        images_BHWC = self.view(photos_B, states_B).transpose(0, 2, 3, 1)
        return score_beside(
            self.scorer, images_BHWC, lambda: self.view.originals(photos_B, states_B).transpose(0, 2, 3, 1)
        )
