"""Observations of transitions that are stored as (photo, edit state), rendered when they are sampled."""

from __future__ import annotations

import numpy as np

from rl_aesthetics.edits import algebra
from rl_aesthetics.episodes.crops import Boxes, Crops, cut_squares


class ReplayRenderer:
    """Renders (photo, edit state) as the network sees it, optionally a random part of the photo, mirrored or not.

    A crop of the unedited photo that is then edited stands for another photo with the same edits: the augmentation of
    DrQ (arXiv 2004.13649), done where it commutes with the edits. Both observations of a transition show the same crop.

    Args:
        photos_NCHW: uint8 RGB `(N, 3, L, L)` of the unedited photos, larger than `size` where crops are to be sharp.
        size: side S of the observation.
        augment: whether to crop and mirror.
        smallest_crop: side of the smallest crop, as a fraction of what is cropped.
        crops: what the numbers in `photo` mean, where parts of photos are photos of their own; they are cropped again.
    """

    def __init__(
        self,
        photos_NCHW: np.ndarray,
        size: int,
        augment: bool,
        smallest_crop: float = 0.625,
        crops: Crops | None = None,
    ):
        self.photos_NHWC = np.ascontiguousarray(photos_NCHW.transpose(0, 2, 3, 1))
        self.size, self.augment, self.smallest_crop = size, augment, smallest_crop
        self.crops = crops or Crops(len(photos_NCHW), 0)

    def __call__(self, transitions_B: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Observations before and after each transition, uint8 `(B, 3, S, S)`."""
        photos_BCHW = self._photos(transitions_B["photo"], generator)
        return (
            algebra.render_rgb(photos_BCHW, transitions_B["state"]),
            algebra.render_rgb(photos_BCHW, transitions_B["next_state"]),
        )

    def _photos(self, numbers_B: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        boxes = self.crops(numbers_B)
        if self.augment:
            count = len(numbers_B)
            shares_B = generator.uniform(self.smallest_crop, 1, count)
            places_2B = generator.random((2, count)) * (1 - shares_B)
            boxes = Boxes(
                boxes.photos_B,
                boxes.tops_B + places_2B[0] * boxes.heights_B,
                boxes.lefts_B + places_2B[1] * boxes.widths_B,
                boxes.heights_B * shares_B,
                boxes.widths_B * shares_B,
                boxes.mirrored_B ^ (generator.random(count) < 0.5),
            )
        return np.ascontiguousarray(cut_squares(self.photos_NHWC, boxes, self.size).transpose(0, 3, 1, 2))
