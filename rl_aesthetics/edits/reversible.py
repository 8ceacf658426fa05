"""The guide's 14 reversible edits: swap two channels, invert a channel, shift channels by half the image, circularly.

Channels are in OpenCV's order: 0 is blue, 1 is green, 2 is red. Each edit is its own inverse on even sizes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from rl_aesthetics.edits.algebra import GENERATORS
from rl_aesthetics.edits.transform import Transform

CHANNELS = "bgr"


def swap(images_BGR: np.ndarray, i: int, j: int) -> np.ndarray:
    """Exchange two channels."""
    order = [0, 1, 2]
    order[i], order[j] = order[j], order[i]
    return images_BGR[..., order]


def invert(images_BGR: np.ndarray, channel: int) -> np.ndarray:
    """Turn v into 255 − v in one channel."""
    edited = images_BGR.copy()
    edited[..., channel] = 255 - edited[..., channel]
    return edited


def shift(images_BGR: np.ndarray, axis: int, channels: tuple[int, ...]) -> np.ndarray:
    """Shift channels circularly by half the height (axis −3, down) or half the width (axis −2, left).

    Raises:
        ValueError: the side is odd. Half of it is then no whole number of pixels and the edit would not undo itself.
    """
    side = images_BGR.shape[axis]
    if side % 2:
        raise ValueError(
            f"a half shift needs an even {'height' if axis == -3 else 'width'}, got {side}: crop one row or column"
        )
    edited = images_BGR.copy()
    for channel in channels:
        edited[..., channel] = np.roll(images_BGR[..., channel], side // 2, axis + 1)
    return edited


def _all() -> Iterator[Transform]:
    elements = iter(GENERATORS)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        pair = {(0, 1): "gb", (0, 2): "rb", (1, 2): "rg"}[i, j]
        yield Transform(
            f"swap_{pair}",
            partial(swap, i=i, j=j),
            (f"SwapColorChannelTransformer{pair.upper()}", f"CA_SWAP_{pair.upper()}"),
            f"swap {pair[0].upper()} and {pair[1].upper()}",
            element=next(elements),
        )
    for channel, letter in enumerate(CHANNELS):
        upper = letter.upper()
        yield Transform(
            f"invert_{letter}",
            partial(invert, channel=channel),
            (f"InvertColorChannelTransformer{upper}", f"CA_INV_{upper}"),
            f"invert {upper}",
            element=next(elements),
        )
    for direction, axis in (("left", -2), ("down", -3)):
        for which, channels in (*((letter, (c,)) for c, letter in enumerate(CHANNELS)), ("all", (0, 1, 2))):
            yield Transform(
                f"shift_{direction}_{which}",
                partial(shift, axis=axis, channels=channels),
                (f"IA_SHIFT_{direction.upper()}_{which.upper()}",),
                f"shift {which.upper() if which != 'all' else 'all'} {direction} by half",
                element=next(elements),
            )


TRANSFORMS = tuple(_all())
