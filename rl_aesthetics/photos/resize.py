"""The ways in which photos become smaller: area averaging, and cutting off an odd row or column."""

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


def fitted_sides(height: int, width: int, side: int, least: int = 1) -> tuple[int, int]:
    """Height and width of a photo whose longer side is at most `side`; never enlarged.

    Args:
        least: that a side is given, however narrow the photo.
    """
    scale = min(1.0, side / max(height, width))
    return max(least, round(height * scale)), max(least, round(width * scale))


def fit_within(photo_HWC: np.ndarray, side: int, least: int = 1) -> np.ndarray:
    """A photo whose longer side is at most `side`, by area averaging; itself, where it is already.

    Args:
        photo_HWC: uint8 or uint16.
        least: as in `fitted_sides`.
    """
    height, width = photo_HWC.shape[:2]
    return resize_to(photo_HWC, *fitted_sides(height, width, side, least))


def resize_to(photo_HWC: np.ndarray, height: int, width: int) -> np.ndarray:
    """A photo of this size, by area averaging; itself, where it has it."""
    if photo_HWC.shape[:2] == (height, width):
        return photo_HWC
    return cv2.resize(photo_HWC, (width, height), interpolation=cv2.INTER_AREA)


def crop_even(photo_HWC: np.ndarray) -> np.ndarray:
    """A photo without the last row or column of an odd side: half a shift by it would not undo itself. Contiguous."""
    height, width = photo_HWC.shape[:2]
    return np.ascontiguousarray(photo_HWC[: height // 2 * 2, : width // 2 * 2])


def eight_bits(pixels_HWC: np.ndarray) -> np.ndarray:
    """The upper eight bits of uint16 pixels; uint8 ones as they are."""
    return pixels_HWC if pixels_HWC.dtype == np.uint8 else (pixels_HWC >> 8).astype(np.uint8)
