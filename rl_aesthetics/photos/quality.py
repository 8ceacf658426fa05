"""How near a photo is to its original: PSNR, SSIM, and NVIDIA's FLIP, none of which needs a download.

They are no jurors: they know the original, and training that pays for similarity to it does not use these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from rl_aesthetics.photos.resize import fitted_sides, resize_to

IDENTICAL_DB = 60.0
"""PSNR of equal photos, whose true value is infinite: a bound that means can be taken of. 8-bit rounding is at 59."""

LEFT_ALONE_DB = 35.0
"""A photo that was changed by no more than this is as good as left alone."""

_FLIP_SIDE = 256  # pixels of the longer side that FLIP looks at: it costs 0.2 s a megapixel


@dataclass(frozen=True)
class PhotoQuality:
    """Of a batch of photos, each beside its original; float64 `(N,)` each.

    Attributes:
        psnr: peak signal-to-noise ratio in dB over the three sRGB channels, at most `IDENTICAL_DB`; higher is nearer.
        ssim: structural similarity of luma (Wang et al. 2004, Gaussian window of sigma 1.5), at most 1.
        flip: mean FLIP error (Andersson et al., HPG 2020) in [0, 1]; lower is nearer.
    """

    psnr: np.ndarray
    ssim: np.ndarray
    flip: np.ndarray

    def means(self) -> dict[str, float]:
        """The three means."""
        return {name: float(np.mean(getattr(self, name))) for name in ("psnr", "ssim", "flip")}


def psnr(photo_HWC: np.ndarray, original_HWC: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 or uint16 photos of one shape, at most `IDENTICAL_DB`."""
    top = np.iinfo(photo_HWC.dtype).max
    error = np.square(photo_HWC.astype(np.float32) - original_HWC).mean(dtype=np.float64)
    return min(IDENTICAL_DB, float(10 * np.log10(top**2 / error))) if error else IDENTICAL_DB


def ssim(photo_HWC: np.ndarray, original_HWC: np.ndarray) -> float:
    """Structural similarity of the luma of two uint8 BGR photos, in [−1, 1] (constants as in Wang et al. 2004)."""
    first, second = (cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32) for image in (photo_HWC, original_HWC))

    def blurred(image: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(image, (11, 11), 1.5)

    mean_1, mean_2 = blurred(first), blurred(second)
    variance_1 = blurred(first * first) - mean_1 * mean_1
    variance_2 = blurred(second * second) - mean_2 * mean_2
    covariance = blurred(first * second) - mean_1 * mean_2
    c_1, c_2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    ratio = (2 * mean_1 * mean_2 + c_1) * (2 * covariance + c_2)
    ratio /= (mean_1**2 + mean_2**2 + c_1) * (variance_1 + variance_2 + c_2)
    return float(ratio.mean(dtype=np.float64))


def flip(photo_HWC: np.ndarray, original_HWC: np.ndarray) -> float:
    """Mean FLIP error of two uint8 BGR photos, seen at 67 pixels a degree; 0 is no difference."""
    import flip_evaluator  # a compiled module, which only whoever measures should have to load

    height, width = photo_HWC.shape[:2]
    sides = fitted_sides(height, width, _FLIP_SIDE, least=8)
    original, photo = (
        np.ascontiguousarray(resize_to(image, *sides)[..., ::-1], np.float32) / 255
        for image in (original_HWC, photo_HWC)
    )
    _, mean, _ = flip_evaluator.evaluate(original, photo, "LDR", applyMagma=False)
    return float(mean)


def measure(photos: Sequence[np.ndarray], originals: Sequence[np.ndarray]) -> PhotoQuality:
    """Measure photos beside their originals, uint8 BGR `(H, W, 3)` each; a pair must have one shape.

    Raises:
        ValueError: a photo and its original differ in shape.
    """
    rows = []
    for photo_HWC, original_HWC in zip(photos, originals, strict=True):
        if photo_HWC.shape != original_HWC.shape:
            raise ValueError(
                f"a photo of {photo_HWC.shape} cannot be compared with an original of {original_HWC.shape}"
            )
        rows.append([function(photo_HWC, original_HWC) for function in (psnr, ssim, flip)])
    return PhotoQuality(*np.array(rows, np.float64).reshape(-1, 3).T)


def pixel_change(before_BCHW: np.ndarray, after_BCHW: np.ndarray) -> np.ndarray:
    """Mean absolute difference of uint8 RGB images, float32 `(B,)` in [0, 1]; a fourth channel does not count."""
    before, after = (images[:, :3].reshape(len(images), -1).astype(np.int16) for images in (before_BCHW, after_BCHW))
    change_B: np.ndarray = (np.abs(after - before).mean(axis=1) / 255).astype(np.float32)
    return change_B
