"""The reference signal: how similar a photo is to its original, which is known while training and to nobody afterwards.

Distort-and-Recover's way (Park et al., CVPR 2018, arXiv 1804.04450): degrade good photos, and pay for coming back. The
agent never sees the original, and needs no juror when it is trained.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from rl_aesthetics.errors import ScoringError
from rl_aesthetics.scores.scorer import Images

VISIBLE = 10.0
"""Mean squared ΔE below which differences hardly count."""


class ReferenceScorer:
    """Similarity in CIELab: `1 − log10(1 + mean ΔE² / 10) / 3`, with ΔE the Euclidean distance (CIE 1976).

    1 is the original, 0.99 a mean squared ΔE of 1 (hardly to be seen), 0.9 of 10, 0.65 of 100, 0 of 10,000 (black for
    white). The logarithm makes a tenth of a great error worth a third anywhere, as decibels do, so what is nearly right
    is not spoilt for the sake of what is far off. Below what the eye sees it ends: an agent that had to fear for the
    last decibels of a photo that may be perfect would rather do nothing for one that is not. Tone shows in few pixels:
    images of 16×16 do.

    Args:
        size: side of the images.
    """

    size = 16
    fingerprint = "reference:cielab:2"
    full_reference: Literal[True] = True

    def __init__(self, size: int = 16):
        if size != self.size:
            self.size, self.fingerprint = size, f"{self.fingerprint}:{size}"

    def score(self, images: Images, originals: Images | None = None) -> np.ndarray:
        """Scores float32 `(B,)` of uint8 RGB images beside their originals `(size, size, 3)`.

        Raises:
            ScoringError: there are no originals.
        """
        if originals is None:
            raise ScoringError("the reference score compares with originals, and was given none")
        return similarity(lab(np.asarray(images)), lab(np.asarray(originals)))


def lab(images_BHWC: np.ndarray) -> np.ndarray:
    """CIELab float32 of the same shape from uint8 RGB: L in [0, 100], a and b about ±127 (D65)."""
    # One long row: OpenCV has a cost per row, which for rows of one pixel is 26 times that of the pixels.
    flat = np.divide(np.ascontiguousarray(images_BHWC).reshape(1, -1, 3), np.float32(255), dtype=np.float32)
    if not flat.size:
        return np.zeros(images_BHWC.shape, np.float32)
    return cv2.cvtColor(flat, cv2.COLOR_RGB2Lab).reshape(images_BHWC.shape)


def similarity(lab_BHWC: np.ndarray, originals_BHWC: np.ndarray) -> np.ndarray:
    """float32 `(B,)` in about [0, 1] from CIELab images; `ReferenceScorer` has the formula."""
    light, green, blue = np.moveaxis(np.square(lab_BHWC - originals_BHWC), -1, 0)
    squared_B = (light + green + blue).mean((1, 2), dtype=np.float64)  # a sum over an axis of three takes longer
    return (1 - np.log10(1 + squared_B / VISIBLE) / 3).astype(np.float32)
