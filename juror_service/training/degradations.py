"""Degradations of growing strength that a juror should notice: blur, noise, JPEG artefacts, contrast, exposure, cast.

Unlike the edits of the action space they lose information and come in strengths. They work on what a juror looks at,
uint8 RGB `(H, W, 3)`, so their strengths are in pixels of a 64×64 image. Strength is a float of at least 0, where 0
leaves the image nearly as it is; `STRENGTHS` are the steps at which jurors are measured.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from rl_aesthetics.photos.colour import linear_from_srgb, srgb_from_linear

STRENGTHS = (1.0, 2.0, 3.0, 4.0)
"""The steps at which a juror is measured, weakest first; training draws strengths between 0.5 and 4."""


def blur(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian blur, sigma 0.4 px a step."""
    return cv2.GaussianBlur(image, (0, 0), 0.4 * strength)


def noise(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Independent Gaussian noise on every value, standard deviation 8 of 255 a step."""
    return _to_uint8(image + np.float32(8 * strength) * rng.standard_normal(image.shape, np.float32))


def jpeg(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """JPEG with 4:2:0 chroma at quality 50, 25, 12, 6 at strengths 1 to 4: half the quality a step."""
    quality = round(100 * 2.0**-strength)
    _, file = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, max(1, quality)])
    decoded = cv2.imdecode(file, cv2.IMREAD_COLOR)
    assert decoded is not None  # it was encoded a line above
    return decoded[..., ::-1]


def less_contrast(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Values pulled towards the image's mean grey, by a factor of √2 a step."""
    return _contrast(image, 2 ** (-strength / 2))


def more_contrast(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Values pushed away from the image's mean grey, by a factor of √2 a step, clipped."""
    return _contrast(image, 2 ** (strength / 2))


def underexposure(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Less light, 0.75 EV a step, in linear light (sRGB, IEC 61966-2-1)."""
    return _gain(image, np.full(3, 2 ** (-0.75 * strength)))


def overexposure(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """More light, 0.75 EV a step, in linear light, clipped."""
    return _gain(image, np.full(3, 2 ** (0.75 * strength)))


def colour_cast(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A cast of a random hue: gains in linear light up to 0.5 EV a step apart from neutral, mean gain in EV zero."""
    angle = rng.uniform(0, 2 * np.pi) + np.array([0, 2, 4]) * np.pi / 3
    return _gain(image, 2 ** (0.5 * strength * np.cos(angle)))


DEGRADATIONS: dict[str, Callable[[np.ndarray, float, np.random.Generator], np.ndarray]] = {
    function.__name__: function
    for function in (blur, noise, jpeg, less_contrast, more_contrast, underexposure, overexposure, colour_cast)
}
"""Every degradation by name: uint8 RGB `(H, W, 3)`, a strength and a source of chance to a new image of that shape."""


def _to_uint8(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _contrast(image: np.ndarray, factor: float) -> np.ndarray:
    mean = image.mean()
    return cv2.LUT(image, _to_uint8(mean + (np.arange(256) - mean) * factor))


_LIGHT = linear_from_srgb(np.arange(256) / 255)


def _gain(image: np.ndarray, gains_C: np.ndarray) -> np.ndarray:
    table = srgb_from_linear(np.clip(_LIGHT[:, None] * gains_C, 0, 1))
    return cv2.LUT(image, _to_uint8(255 * table)[None])
