"""The one way in which photos become small: area averaging."""

from __future__ import annotations

import cv2
import numpy as np


def reduce_image(image_HWC: np.ndarray, size: int) -> np.ndarray:
    """Reduce an image to `(size, size, 3)` by area averaging; the aspect ratio is given up, as the guide does.

    This is the only way in which the project makes observations and juror inputs. A side that is shorter than `size` is
    enlarged by repeating pixels, because that commutes with half shifts and smooth interpolation would not.
    """
    if image_HWC.shape[:2] == (size, size):
        return image_HWC
    shrinks = min(image_HWC.shape[:2]) >= size
    return cv2.resize(image_HWC, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST_EXACT)
