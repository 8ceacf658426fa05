"""Edits of the predecessor's list that lose information: what they did cannot be undone, and none has a parameter.

Each keeps shape and dtype, rounds to the nearest value and stops at 0 and 255: nothing wraps around or folds back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from rl_aesthetics.edits.transform import Transform
from rl_aesthetics.photos.colour import linear_from_srgb, srgb_from_linear

GREY_LUMA = np.array([0.114, 0.587, 0.299], np.float32)
"""Luma of B, G, R values as they are stored (ITU-R BT.601), which is OpenCV's grey."""


def each(function: Callable[[np.ndarray], np.ndarray], images_BGR: np.ndarray) -> np.ndarray:
    """Apply a function of one image `(H, W, 3)` to `(..., H, W, 3)`; the results must have one shape."""
    flat = images_BGR.reshape(-1, *images_BGR.shape[-3:])
    edited = np.stack([function(np.ascontiguousarray(image)) for image in flat])
    return edited.reshape(*images_BGR.shape[:-3], *edited.shape[1:])


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def gaussian_blur(images_BGR: np.ndarray, side: int) -> np.ndarray:
    """Gaussian blur with a `side` × `side` kernel (sigma is OpenCV's choice for it), mirrored borders."""
    return each(lambda image: cv2.GaussianBlur(image, (side, side), 0), images_BGR)


def box_blur(images_BGR: np.ndarray, side: int) -> np.ndarray:
    """Mean over `side` × `side` pixels, mirrored borders."""
    return each(lambda image: cv2.blur(image, (side, side)), images_BGR)


def median_blur(images_BGR: np.ndarray, side: int) -> np.ndarray:
    """Median of each channel over `side` × `side` pixels, borders repeated."""
    return each(lambda image: cv2.medianBlur(image, side), images_BGR)


def grayscale(images_BGR: np.ndarray) -> np.ndarray:
    """The luma in all three channels."""
    return np.repeat(_rounded(images_BGR @ GREY_LUMA)[..., None], 3, axis=-1)


def scale_saturation(images_BGR: np.ndarray, factor: float) -> np.ndarray:
    """Multiply every pixel's distance from its luma."""
    luma = (images_BGR @ GREY_LUMA)[..., None]
    return _rounded(luma + factor * (images_BGR - luma))


def scale_channels(images_BGR: np.ndarray, factors: tuple[float, float, float]) -> np.ndarray:
    """Multiply blue, green and red."""
    return _rounded(images_BGR * np.array(factors, np.float32))


def shift_lightness(images_BGR: np.ndarray, by: float) -> np.ndarray:
    """Add to CIELab lightness, in hundredths; colours keep a and b as far as sRGB holds them."""

    def shifted(image_HWC: np.ndarray) -> np.ndarray:
        lab_HWC = cv2.cvtColor(image_HWC.astype(np.float32) / 255, cv2.COLOR_BGR2Lab)
        lab_HWC[..., 0] = np.clip(lab_HWC[..., 0] + by, 0, 100)
        return _rounded(cv2.cvtColor(lab_HWC, cv2.COLOR_Lab2BGR) * 255)

    return each(shifted, images_BGR)


def power(images_BGR: np.ndarray, exponent: float) -> np.ndarray:
    """Raise values in [0, 1] to a power: below 1 is brighter."""
    return _rounded(255 * (np.arange(256) / 255) ** exponent)[images_BGR]


def gamma_auto(images_BGR: np.ndarray) -> np.ndarray:
    """The power that brings the mean luma to one half, between 1/3 and 3."""

    def balanced(image_HWC: np.ndarray) -> np.ndarray:
        mean = np.clip((image_HWC @ GREY_LUMA).mean() / 255, 0.01, 0.99)
        return power(image_HWC, float(np.clip(np.log(0.5) / np.log(mean), 1 / 3, 3)))

    return each(balanced, images_BGR)


def convolve(images_BGR: np.ndarray, kernel: tuple[tuple[float, ...], ...]) -> np.ndarray:
    """Convolve each channel with a kernel, borders mirrored."""
    weights = np.array(kernel, np.float32)
    return each(lambda image: cv2.filter2D(image, -1, weights, borderType=cv2.BORDER_REFLECT_101), images_BGR)


def unsharp_mask(images_BGR: np.ndarray, sigma: float, amount: float) -> np.ndarray:
    """Add `amount` of what a Gaussian blur takes away."""
    return each(
        lambda image: cv2.addWeighted(image, 1 + amount, cv2.GaussianBlur(image, (0, 0), sigma), -amount, 0), images_BGR
    )


def haze(images_BGR: np.ndarray, density: float) -> np.ndarray:
    """Veil a photo in light grey air: `(1 − density) · light + density · air`, in linear light (Koschmieder's law).

    The inverse, dehazing, is not unique, so this is a degradation, not an edit with a parameter.
    """
    air = 0.75  # linear light: a bright overcast sky
    veiled = (1 - density) * linear_from_srgb(np.arange(256) / 255) + density * air
    return _rounded(255 * srgb_from_linear(veiled))[images_BGR]


_CROSS = ((0, -1, 0), (-1, 5, -1), (0, -1, 0))
_SQUARE = ((-1, -1, -1), (-1, 9, -1), (-1, -1, -1))
_BLURS = {"box": box_blur, "gaussian": gaussian_blur, "median": median_blur}

TRANSFORMS = (
    Transform("gaussian_blur_3", partial(gaussian_blur, side=3), ("GaussianBlur3",), "blur, 3×3"),
    *(
        Transform(
            f"{kind}_blur_{side}",
            partial(function, side=side),
            (f"{kind.title()}Blur{side}",),
            f"{kind} blur, {side}×{side}",
        )
        for kind, function in _BLURS.items()
        for side in (3, 5, 7, 9)
        if (kind, side) != ("gaussian", 3)
    ),
    Transform("grayscale", grayscale, (), "black and white"),
    Transform("saturate", partial(scale_saturation, factor=1.2), (), "colour × 1.2"),
    Transform("desaturate", partial(scale_saturation, factor=0.8), (), "colour × 0.8"),
    Transform("warmth", partial(scale_channels, factors=(0.85, 1.0, 1.15)), (), "red × 1.15, blue × 0.85"),
    Transform("coolness", partial(scale_channels, factors=(1.15, 1.0, 0.85)), (), "red × 0.85, blue × 1.15"),
    Transform("lighten", partial(shift_lightness, by=20), (), "lightness + 20"),
    Transform("darken", partial(shift_lightness, by=-20), (), "lightness − 20"),
    Transform("power_brighter", partial(power, exponent=0.8), (), "power 0.8, brighter"),
    Transform("power_darker", partial(power, exponent=1.2), (), "power 1.2, darker"),
    Transform("gamma_auto", gamma_auto, (), "bring the mean to middle grey"),
    Transform("sharpen_cross", partial(convolve, kernel=_CROSS), (), "sharpen, 4 neighbours"),
    Transform("sharpen_square", partial(convolve, kernel=_SQUARE), (), "sharpen, 8 neighbours"),
    Transform("unsharp_fine", partial(unsharp_mask, sigma=1.0, amount=0.5), (), "unsharp mask, fine"),
    Transform("unsharp_coarse", partial(unsharp_mask, sigma=3.0, amount=0.8), (), "unsharp mask, coarse"),
    Transform("haze", partial(haze, density=0.3), (), "haze"),
)
