"""Between sRGB values and light (IEC 61966-2-1): what is added up or multiplied, as light is, must be light first."""

from __future__ import annotations

import numpy as np


def linear_from_srgb(values: np.ndarray) -> np.ndarray:
    """Light in [0, 1] from sRGB values in [0, 1], of the same shape and floating-point type."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def srgb_from_linear(light: np.ndarray) -> np.ndarray:
    """sRGB values in [0, 1] from light in [0, 1], of the same shape and floating-point type."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
