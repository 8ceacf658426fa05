"""Rendering a photographer's edits: the pixels of an `edit_state`, made from the photo as it came in this order:

level the horizon, crop, mirror → denoise → auto contrast → gray world and the tonal parameters (`tone`) → CLAHE →
sharpen
"""

from __future__ import annotations

import cv2
import numpy as np

from rl_aesthetics.edits import framing, tone
from rl_aesthetics.edits.edit_state import PLACE, tones, unpack


def render_reductions(reductions_B3HW: np.ndarray, states_B: np.ndarray) -> np.ndarray:
    """Render pointwise states on reductions of photos, uint8 RGB `(B, 3, H, W)`; a new array."""
    values_BF = unpack(states_B)
    gains_B3 = levels_B2 = None
    if (balanced := np.flatnonzero(values_BF[:, PLACE["gray_world"]])).size:
        gains_B3 = np.ones((len(states_B), 3), np.float32)
        gains_B3[balanced] = [tone.gray_world_gains(reductions_B3HW[k]) for k in balanced]
    if (stretched := np.flatnonzero(values_BF[:, PLACE["auto_contrast"]])).size:
        levels_B2 = np.tile(np.array([0.0, 1.0]), (len(states_B), 1))
        levels_B2[stretched] = [tone.auto_levels(reductions_B3HW[k]) for k in stretched]
    rendered = tone.render(reductions_B3HW, tones(states_B), gains_B3, levels_B2)
    for name, axis in (("flip_horizontal", 3), ("flip_vertical", 2)):
        if (turned := np.flatnonzero(values_BF[:, PLACE[name]])).size:
            rendered[turned] = np.flip(rendered[turned], axis)
    return rendered


def render(photo_HWC: np.ndarray, state: int) -> np.ndarray:
    """Render a state of a BGR photo `(H, W, 3)`, uint8 or uint16, at its full size; a new array."""
    value = dict(zip(PLACE, unpack(state).tolist(), strict=True))
    image = framing.level(photo_HWC) if value["level"] else photo_HWC
    image = framing.crop(image, value["crop"])
    for name, axis in (("flip_horizontal", 1), ("flip_vertical", 0)):
        image = np.flip(image, axis) if value[name] else image
    image = np.ascontiguousarray(image)
    if value["denoise"]:
        image = _denoised(image, value["denoise"])
    if any(value[field] for field in (*tone.TONE, "gray_world", "auto_contrast")):
        image = _toned(image, tones(np.array([state]))[0], bool(value["gray_world"]), bool(value["auto_contrast"]))
    if value["clahe"]:
        image = _equalised(image)
    if value["sharpen"]:
        image = _sharpened(image, value["sharpen"])
    return image.copy() if image is photo_HWC else image


def _toned(image_HWC: np.ndarray, tone_P: np.ndarray, balance: bool, stretch: bool) -> np.ndarray:
    gains_3, levels_2 = None, None
    if balance or stretch:  # statistics need no more than every k-th pixel
        every = max(1, int(np.sqrt(image_HWC.shape[0] * image_HWC.shape[1] / 500_000)))
        sample_3N = np.ascontiguousarray(image_HWC[::every, ::every, ::-1].reshape(-1, 3).T)
        gains_3 = tone.gray_world_gains(sample_3N) if balance else None
        levels_2 = tone.auto_levels(sample_3N) if stretch else None
    return tone.render_bgr(image_HWC, tone_P, gains_3, levels_2)


def _denoised(image_HWC: np.ndarray, strength: int) -> np.ndarray:
    """Bilateral filter: means over neighbours of like colour, so that edges stay."""
    top = np.iinfo(image_HWC.dtype).max
    smooth = cv2.bilateralFilter(image_HWC.astype(np.float32) / top, 5, 0.04 * strength, 1.5)
    return np.rint(np.clip(smooth, 0, 1) * top).astype(image_HWC.dtype)


def _equalised(image_HWC: np.ndarray) -> np.ndarray:
    """CLAHE (clip limit 2, 8×8 tiles) of the luma; the chroma stays."""
    top = np.iinfo(image_HWC.dtype).max
    ycc = cv2.cvtColor(image_HWC, cv2.COLOR_BGR2YCrCb)
    luma = cv2.createCLAHE(2.0, (8, 8)).apply(np.ascontiguousarray(ycc[..., 0]))
    # The luma's own 8 or 16 bits: CLAHE knows both.
    ycc[..., 0] = np.minimum(luma, top)
    return cv2.cvtColor(ycc, cv2.COLOR_YCrCb2BGR)


def _sharpened(image_HWC: np.ndarray, strength: int) -> np.ndarray:
    """Unsharp mask whose radius grows with the photo, so that it looks alike at every size."""
    sigma = max(0.8, max(image_HWC.shape[:2]) / 1500)
    blurred = cv2.GaussianBlur(image_HWC, (0, 0), sigma)
    return cv2.addWeighted(image_HWC, 1 + 0.4 * strength, blurred, -0.4 * strength, 0)
