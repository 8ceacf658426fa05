"""Framing: crops and levelling, on images of any depth `(H, W, 3)`."""

from __future__ import annotations

import cv2
import numpy as np

from rl_aesthetics.photos.resize import eight_bits, fit_within

CROPS = ("none", "thirds", "square", "5_4", "4_3", "3_2", "16_9", "4_5")
"""What a photo can be cropped to; the index is the value of the state's crop field. Ratios are width to height, and
those of landscape photos are turned for portrait ones, but for 4:5, which is upright always."""

_THIRDS_SHARE = 0.8
_MAX_TILT = 10.0  # degrees; a line that is steeper is no horizon
_LINE_SHARE = 0.5  # of the width: what lines near the horizontal must add up to, to be believed


def crop_box(height: int, width: int, crop: int, centre: tuple[float, float] = (0.5, 0.5)) -> tuple[int, int, int, int]:
    """(top, left, height, width) of a crop, with even sides where the photo allows.

    Args:
        crop: index into `CROPS`.
        centre: what matters in the photo as shares of height and width; only the rule of thirds looks at it.
    """
    name = CROPS[crop]
    if name == "none":
        return 0, 0, height, width
    if name == "thirds":
        rows, columns = _even(height * _THIRDS_SHARE, height), _even(width * _THIRDS_SHARE, width)
        top, left = (
            _toward_a_third(place * side, kept, side)
            for place, kept, side in zip(centre, (rows, columns), (height, width), strict=True)
        )
        return top, left, rows, columns
    across, down = (1, 1) if name == "square" else map(int, name.split("_"))
    if height > width and across > down:
        across, down = down, across
    unit = min(height / down, width / across)
    rows, columns = _even(unit * down, height), _even(unit * across, width)
    return (height - rows) // 2, (width - columns) // 2, rows, columns


def _even(length: float, most: int) -> int:
    return min(most, max(2, int(length) // 2 * 2))


def _toward_a_third(place: float, kept: int, side: int) -> int:
    """Where a window of `kept` pixels begins, so that `place` is as near one of its thirds as the photo allows."""
    starts = [int(np.clip(round(place - kept * third), 0, side - kept)) for third in (1 / 3, 2 / 3)]
    return min(starts, key=lambda start: min(abs(place - start - kept * third) for third in (1 / 3, 2 / 3)))


def what_matters(photo_HWC: np.ndarray) -> tuple[float, float]:
    """The centre of what stands out, as shares of height and width: the mean place of the strongest 5 % of edges."""
    grey = _small_grey(photo_HWC)
    edges = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    edges = cv2.GaussianBlur(edges, (0, 0), max(1.0, min(grey.shape) / 16))
    edges = np.where(edges >= np.quantile(edges, 0.95), edges, 0)
    if not edges.any():
        return 0.5, 0.5
    rows, columns = np.indices(grey.shape)
    weight = float(edges.sum())
    return (
        float((rows * edges).sum() / weight + 0.5) / grey.shape[0],
        float((columns * edges).sum() / weight + 0.5) / grey.shape[1],
    )


def crop(photo_HWC: np.ndarray, kind: int) -> np.ndarray:
    """Crop a photo; `kind` is an index into `CROPS`. A view of the photo, not a copy."""
    centre = what_matters(photo_HWC) if CROPS[kind] == "thirds" else (0.5, 0.5)
    height, width = photo_HWC.shape[:2]
    top, left, rows, columns = crop_box(height, width, kind, centre)
    return photo_HWC[top : top + rows, left : left + columns]


def tilt(photo_HWC: np.ndarray) -> float:
    """Degrees by which the horizon rises to the right, in [−10, 10]; 0 where no lines say so.

    The median angle of straight lines near the horizontal, weighted by length (probabilistic Hough transform).
    """
    grey = _small_grey(photo_HWC)
    width = grey.shape[1]
    edges = cv2.Canny(grey, 60, 180)
    lines = cv2.HoughLinesP(edges, 1, np.pi / 720, 40, minLineLength=max(8, width // 6), maxLineGap=max(2, width // 60))
    if lines is None:
        return 0.0
    x0, y0, x1, y1 = lines.reshape(-1, 4).T.astype(np.float64)
    angles = np.degrees(np.arctan2(y0 - y1, x1 - x0))
    angles = (angles + 90) % 180 - 90
    lengths = np.hypot(x1 - x0, y1 - y0)
    level = np.abs(angles) <= _MAX_TILT
    if lengths[level].sum() < _LINE_SHARE * width:
        return 0.0
    order = np.argsort(angles[level])
    share = lengths[level][order].cumsum() / lengths[level].sum()
    return float(angles[level][order][np.searchsorted(share, 0.5)])


def level(photo_HWC: np.ndarray) -> np.ndarray:
    """Turn a photo so that its horizon is level, enlarged until no corner is empty; the size stays."""
    degrees = tilt(photo_HWC)
    if abs(degrees) < 0.2:
        return photo_HWC
    height, width = photo_HWC.shape[:2]
    angle = np.radians(abs(degrees))
    scale = np.cos(angle) + np.sin(angle) * max(height / width, width / height)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -degrees, scale)
    return cv2.warpAffine(photo_HWC, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _small_grey(photo_HWC: np.ndarray, side: int = 512) -> np.ndarray:
    """uint8 grey, longer side at most `side`: what a photo shows does not depend on its resolution."""
    return cv2.cvtColor(eight_bits(fit_within(photo_HWC, side)), cv2.COLOR_BGR2GRAY)
