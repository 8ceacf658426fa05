"""Tone and colour as one rendering: nine parameters, composed in linear light, clipped once at the end.

The canonical form of any sequence of tonal edits is the vector of the parameters' sums. It is rendered once from the
photo as it came, so that one step up and one step down again is the photo itself, bit for bit. The order is fixed:

    sRGB → linear light → white balance and exposure (gains) → saturation and vibrance (about the luminance) →
    highlights, shadows, contrast, gamma (one curve over the logarithm of light) → clip → sRGB

Gains and saturation are one 3×3 matrix a photo, the curve is one lookup table, so that a batch of observations costs a
matrix product and two lookups a value. Nothing is clipped between the stages: light may pass white or turn negative and
come back.

Units: exposure, highlights and shadows in EV (factors of 2 in light); temperature in log2 of how much the ratio of red
to blue grows, tint of red and blue to green; saturation and vibrance in log2 of the factor on the distance to grey;
contrast in log2 of the slope over log light, about middle grey; gamma in log2 of the exponent's inverse. Positive is
brighter, steeper, stronger in colour, warmer, more magenta. 0 leaves the photo as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import cv2
import numpy as np

from rl_aesthetics.photos import colour

TONE = (
    "exposure",
    "contrast",
    "highlights",
    "shadows",
    "gamma",
    "saturation",
    "vibrance",
    "temperature",
    "tint",
)
"""The parameters in the order of a tone vector."""

_EXPOSURE, _CONTRAST, _HIGHLIGHTS, _SHADOWS, _GAMMA, _SATURATION, _VIBRANCE, _TEMPERATURE, _TINT = range(len(TONE))

LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Luminance of linear sRGB (ITU-R BT.709), in the order R, G, B."""

MIDDLE_GREY = np.float32(np.log2(0.18))
"""Log2 of the light that a photographer's grey card reflects; contrast turns the curve about it."""

_CURVE = (_CONTRAST, _HIGHLIGHTS, _SHADOWS, _GAMMA)
_MAX_LIGHT = 16.0  # four EV above white: what is brighter stays white under every recovery there is
_DARKEST = np.float32(2.0**-20)
_SMALL = 1024  # pixels of a photo up to which many are rendered together
_PIXELS_AT_ONCE = 1 << 19  # of one photo: 6 MB a float plane of three, which stays near the processor's cache


@lru_cache
def light_of(dtype: str) -> np.ndarray:
    """float32: the light of every value of an unsigned integer type, 0 to 1."""
    top = np.iinfo(dtype).max
    table = colour.linear_from_srgb(np.arange(top + 1) / top).astype(np.float32)
    table.setflags(write=False)
    return table


def vector(**strengths: float) -> np.ndarray:
    """A tone vector float32 `(9,)` from strengths by name; what is not named is 0.

    Raises:
        ValueError: an unknown parameter.
    """
    if unknown := set(strengths) - set(TONE):
        raise ValueError(f"no tone parameter is called {', '.join(sorted(unknown))}")
    return np.array([strengths.get(name, 0.0) for name in TONE], np.float32)


def matrices(tones_BP: np.ndarray) -> np.ndarray:
    """Gains and saturation, float32 `(B, 3, 3)`, for columns of linear R, G, B. A grey keeps its luminance but for
    exposure."""
    tones_BP = np.asarray(tones_BP, np.float32)
    warm_B, magenta_B = tones_BP[:, _TEMPERATURE], tones_BP[:, _TINT]
    gains_B3 = np.exp2(np.stack([warm_B / 2 + magenta_B / 3, -2 * magenta_B / 3, magenta_B / 3 - warm_B / 2], 1))
    gains_B3 *= (np.exp2(tones_BP[:, _EXPOSURE]) / (gains_B3 @ LUMA))[:, None]
    keep_B = np.exp2(tones_BP[:, _SATURATION])[:, None, None]
    about_grey = keep_B * np.eye(3, dtype=np.float32) + (1 - keep_B) * LUMA
    return (about_grey * gains_B3[:, None, :]).astype(np.float32)


def _ramp(start: float, end: float, at: np.ndarray) -> np.ndarray:
    share = np.clip((at - start) / (end - start), 0, 1)
    return share * share * (3 - 2 * share)


@lru_cache(4096)
def _curve(contrast: float, highlights: float, shadows: float, gamma: float, dtype: str) -> np.ndarray:
    """The curve and sRGB's own as a lookup table over the square root of light, which sRGB's resembles.

    Highlights weigh in from 1.5 EV below middle grey to 1 EV above white, shadows from middle grey to 4.5 EV below:
    wide enough that the curve keeps rising at every strength that the parameters allow.
    """
    top = np.iinfo(dtype).max
    entries = 8192 if dtype == "uint8" else 1 << 18  # four for each value of the type
    light = np.float32(_MAX_LIGHT) * (np.arange(entries, dtype=np.float32) / (entries - 1)) ** 2
    log_light = np.log2(np.maximum(light, _DARKEST))
    if highlights:
        log_light = log_light + highlights * _ramp(-4.0, 1.0, log_light)
    if shadows:
        log_light = log_light + shadows * _ramp(-2.5, -7.0, log_light)
    log_light = MIDDLE_GREY + np.float32(2**contrast) * (log_light - MIDDLE_GREY)
    log_light *= np.float32(2**-gamma)
    table = np.rint(colour.srgb_from_linear(np.exp2(np.minimum(log_light, 0))) * top).astype(dtype)
    table[0] = 0
    table.setflags(write=False)
    return table


def render(
    planes_B3N: np.ndarray,
    tones_BP: np.ndarray,
    gains_B3: np.ndarray | None = None,
    levels_B2: np.ndarray | None = None,
) -> np.ndarray:
    """Render a batch of photos, each under its own tone vector.

    Args:
        planes_B3N: uint8 or uint16 **RGB** planes `(B, 3, …)` of any size.
        tones_BP: tone vectors `(B, 9)`.
        gains_B3: further gains on linear R, G, B, such as gray-world's.
        levels_B2: sRGB values in [0, 1] that become black and white first, such as auto contrast's.

    Returns:
        A new array of the same shape and dtype.
    """
    tones_BP = np.asarray(tones_BP, np.float32)
    shape, dtype = planes_B3N.shape, planes_B3N.dtype.name
    flat_B3N = planes_B3N.reshape(shape[0], 3, math.prod(shape[2:]))
    matrices_B33 = matrices(tones_BP)
    if gains_B3 is not None:
        matrices_B33 = matrices_B33 * np.asarray(gains_B3, np.float32)[:, None, :]
    untouched_B = np.logical_not(tones_BP.any(1))
    for extra, neutral in ((gains_B3, [1, 1, 1]), (levels_B2, [0, 1])):
        if extra is not None:
            untouched_B &= (np.asarray(extra) == neutral).all(1)
    if not len(flat_B3N):
        return planes_B3N.copy()
    if levels_B2 is None and flat_B3N.shape[2] <= _SMALL and not tones_BP[:, _VIBRANCE].any():
        rendered = _render_small(flat_B3N, tones_BP, matrices_B33)
        rendered[untouched_B] = flat_B3N[untouched_B]
        return rendered.reshape(shape)
    rendered = np.empty(flat_B3N.shape, planes_B3N.dtype)
    for k, tone_P in enumerate(tones_BP):
        if untouched_B[k]:
            rendered[k] = flat_B3N[k]
            continue
        levels = None if levels_B2 is None else tuple(float(level) for level in levels_B2[k])
        light = light_of(dtype) if levels in (None, (0.0, 1.0)) else _stretched(dtype, *levels)
        curve = _curve(*_curve_key(tone_P), dtype)
        for start in range(0, flat_B3N.shape[2], _PIXELS_AT_ONCE):
            part = slice(start, start + _PIXELS_AT_ONCE)
            rendered[k, :, part] = _render(
                np.take(light, flat_B3N[k, :, part]), matrices_B33[k], tone_P[_VIBRANCE], curve
            )
    return rendered.reshape(shape)


def _curve_key(tone_P: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(tone_P[parameter]), 4) for parameter in _CURVE)


def _render_small(planes_B3N: np.ndarray, tones_BP: np.ndarray, matrices_B33: np.ndarray) -> np.ndarray:
    """Many small photos at once: a loop over photos would cost more than their pixels."""
    dtype = planes_B3N.dtype.name
    _, firsts, which_B = np.unique(tones_BP[:, _CURVE], axis=0, return_index=True, return_inverse=True)
    tables = np.concatenate([_curve(*_curve_key(tones_BP[first]), dtype) for first in firsts])
    entries = len(tables) // len(firsts)
    light_B3N = np.matmul(matrices_B33, np.take(light_of(dtype), planes_B3N))
    return np.take(tables, _places(light_B3N, entries) + which_B.reshape(-1, 1, 1) * entries)


def _stretched(dtype: str, black: float, white: float) -> np.ndarray:
    top = np.iinfo(dtype).max
    values = np.clip((np.arange(top + 1) / top - black) / max(white - black, 1e-3), 0, 1)
    return colour.linear_from_srgb(values).astype(np.float32)


def _render(light_3N: np.ndarray, matrix_33: np.ndarray, vibrance: float, curve: np.ndarray) -> np.ndarray:
    light_3N = matrix_33 @ light_3N
    if vibrance:  # weak colours change more than strong ones: what is grey or fully saturated stays
        most, least = light_3N.max(0), light_3N.min(0)
        weak = np.clip(1 - (most - least) / np.maximum(most, 1e-4), 0, 1)
        luminance = LUMA @ light_3N
        light_3N = luminance + np.exp2(vibrance * weak) * (light_3N - luminance)
    return np.take(curve, _places(light_3N, len(curve)))  # three times as fast as indexing


def _places(light: np.ndarray, entries: int) -> np.ndarray:
    """Where light stands in a curve's table, int32; the light itself is overwritten."""
    np.maximum(light, 0, out=light)
    np.sqrt(light, out=light)
    light *= np.float32((entries - 1) / np.sqrt(_MAX_LIGHT))
    np.minimum(light, entries - 1, out=light)
    light += 0.5
    return light.astype(np.int32)


def gray_world_gains(planes_3N: np.ndarray) -> np.ndarray:
    """Gains float32 `(3,)` on linear R, G, B that make their means equal and keep the mean luminance (Buchsbaum 1980).

    At most 2 EV each: a photo of one colour is no evidence of a cast.
    """
    light_3N = light_of(planes_3N.dtype.name)[planes_3N.reshape(3, -1)]
    means_3 = np.maximum(light_3N.mean(1, dtype=np.float64), 1e-4)
    gains_3 = np.clip(float(LUMA @ means_3) / means_3, 0.25, 4)
    return (gains_3 * (LUMA @ means_3) / (LUMA @ (gains_3 * means_3))).astype(np.float32)


def auto_levels(planes_3N: np.ndarray, share: float = 0.005) -> tuple[float, float]:
    """sRGB values in [0, 1] to become black and white: `share` of all values lie below, and above.

    A photo without contrast to speak of (under 5 % of the range) has nothing to stretch: (0, 1).
    """
    top = np.iinfo(planes_3N.dtype).max
    counts = np.bincount(planes_3N.ravel() if top == 255 else planes_3N.ravel() >> 8, minlength=256).cumsum()
    black = int(np.searchsorted(counts, share * counts[-1], side="right"))
    white = int(np.searchsorted(counts, (1 - share) * counts[-1]))
    return (black / 255, white / 255) if white - black >= 13 else (0.0, 1.0)


def render_bgr(
    photo_HWC: np.ndarray,
    tone_P: Sequence[float] | np.ndarray,
    gains_3: Sequence[float] | np.ndarray | None = None,
    levels_2: Sequence[float] | None = None,
) -> np.ndarray:
    """Render one photo `(H, W, 3)` BGR, uint8 or uint16, under a tone vector, row by row; a new array.

    Strips of rows go to as many threads as OpenCV uses; NumPy leaves the interpreter lock alone while it computes.
    """
    tone_BP = np.asarray(tone_P, np.float32)[None]
    gains_B3 = None if gains_3 is None else np.asarray(gains_3, np.float32)[None]
    levels_B2 = None if levels_2 is None else np.asarray(levels_2, np.float64)[None]
    rendered = np.empty(photo_HWC.shape, photo_HWC.dtype)
    rows = max(1, _PIXELS_AT_ONCE // photo_HWC.shape[1])

    def strip(top: int) -> None:
        part_HWC = photo_HWC[top : top + rows]
        planes_3HW = np.ascontiguousarray(part_HWC[..., ::-1].transpose(2, 0, 1))
        edited_3HW = render(planes_3HW[None], tone_BP, gains_B3, levels_B2)[0]
        rendered[top : top + rows] = edited_3HW[::-1].transpose(1, 2, 0)

    tops = range(0, photo_HWC.shape[0], rows)
    if len(tops) == 1:
        strip(0)
    else:
        with ThreadPoolExecutor(max(1, min(cv2.getNumThreads(), 8))) as pool:
            list(pool.map(strip, tops))
    return rendered
