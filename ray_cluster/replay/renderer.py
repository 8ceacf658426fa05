"""Observations of transitions that are stored as (photo, edit state), rendered when they are sampled."""

from __future__ import annotations

import numpy as np

from rl_aesthetics.edits import algebra
from rl_aesthetics.episodes.crops import Crops, cut_squares


class ReplayRenderer:
    """Renders (photo, edit state) as the network saw it when it acted.

    Args:
        photos_NCHW: uint8 RGB `(N, 3, S, S)` of the unedited photos.
        size: side S of the observation.
        crops: what the numbers in `photo` mean, where parts of photos are photos of their own.
    """

    def __init__(self, photos_NCHW: np.ndarray, size: int, crops: Crops | None = None):
        self.photos_NHWC = np.ascontiguousarray(photos_NCHW.transpose(0, 2, 3, 1))
        self.size, self.crops = size, crops or Crops(len(photos_NCHW), 0)

    def __call__(self, transitions_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Observations before and after each transition, uint8 `(B, 3, S, S)`."""
        squares_BHWC = cut_squares(self.photos_NHWC, self.crops(transitions_B["photo"]), self.size)
        photos_BCHW = np.ascontiguousarray(squares_BHWC.transpose(0, 3, 1, 2))
        return (
            algebra.render_rgb(photos_BCHW, transitions_B["state"]),
            algebra.render_rgb(photos_BCHW, transitions_B["next_state"]),
        )
