"""The algebra of the 14 reversible edits: what a sequence of them amounts to.

On an even-sized photo every sequence amounts to one of exactly 3,072 *edit states*: a permutation of the channels and,
per output channel, whether it is inverted, shifted left and shifted down (3! · 8³). Two sequences with the same state
give the same pixels, so whatever depends on (photo, edit state) is computed once, and a state is rendered in one pass.

A state is an int, `permutation · 512 + bits(B) · 64 + bits(G) · 8 + bits(R)`; 0 is the unedited photo. All functions
take ints or integer arrays.
"""

from __future__ import annotations

import itertools

import numpy as np

NUM_STATES = 3072
ORIGINAL = 0
"""The state of a photo that nothing was done to."""

INVERTED, LEFT, DOWN = 1, 2, 4
"""The bits of an output channel: 255 − v, shifted left by half the width, shifted down by half the height."""

_PERMUTATIONS = np.array(list(itertools.permutations(range(3))))
_RANK = {tuple(permutation): rank for rank, permutation in enumerate(_PERMUTATIONS.tolist())}
_STATES = np.arange(NUM_STATES)

SOURCE = _PERMUTATIONS[_STATES // 512]
"""int `(3072, 3)`: the channel of the photo (BGR) that each output channel shows."""

BITS = np.stack([_STATES // 64 % 8, _STATES // 8 % 8, _STATES % 8], axis=1)
"""int `(3072, 3)`: what was done to each output channel (BGR)."""


def encode(source: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """States from source channels and bits, both `(..., 3)`."""
    source, bits = np.asarray(source), np.asarray(bits)
    permutation = _RANK_TABLE[source[..., 0], source[..., 1]]
    return permutation * 512 + bits[..., 0] * 64 + bits[..., 1] * 8 + bits[..., 2]


_RANK_TABLE = np.zeros((3, 3), int)  # a permutation of three is known by its first two
for _permutation, _rank in _RANK.items():
    _RANK_TABLE[_permutation[:2]] = _rank


def compose(first: np.ndarray | int, then: np.ndarray | int) -> np.ndarray:
    """The state after the edits of `first` and then those of `then`. Broadcasts."""
    first, then = np.asarray(first), np.asarray(then)
    source, shown = np.broadcast_arrays(SOURCE[first], SOURCE[then])
    bits, _ = np.broadcast_arrays(BITS[first], SOURCE[then])
    source, bits = (np.take_along_axis(values, shown, axis=-1) for values in (source, bits))
    bits = bits ^ BITS[then]
    return encode(source, bits)


def inverse(states: np.ndarray | int) -> np.ndarray:
    """The state that undoes each state: `compose(s, inverse(s)) == ORIGINAL`."""
    return INVERSE[states]


def distance(start: np.ndarray | int, end: np.ndarray | int | None = None) -> np.ndarray:
    """How many edits it takes, at least, to get from `start` to `end` (to an unedited photo if `end` is left out)."""
    if end is None:
        return DEPTH[start]  # a state and its inverse are equally deep
    return DEPTH[compose(INVERSE[start], end)]


def _generators() -> tuple[int, ...]:
    identity, none = np.arange(3), np.zeros(3, int)
    states = []
    for i, j in ((0, 1), (0, 2), (1, 2)):
        source = identity.copy()
        source[[i, j]] = source[[j, i]]
        states.append(encode(source, none))
    for channel in range(3):
        states.append(encode(identity, INVERTED * (identity == channel)))
    for bit in (LEFT, DOWN):
        for channel in range(3):
            states.append(encode(identity, bit * (identity == channel)))
        states.append(encode(identity, np.full(3, bit)))
    return tuple(int(state) for state in states)


GENERATORS = _generators()
"""The states of the 14 edits themselves, in the guide's order: 3 swaps, 3 inversions, 4 shifts left, 4 down."""

INVERSE = encode(np.argsort(SOURCE, axis=1), np.take_along_axis(BITS, np.argsort(SOURCE, axis=1), axis=1))


def _depths() -> np.ndarray:
    depth = np.full(NUM_STATES, -1)
    frontier, level = np.array([ORIGINAL]), 0
    while frontier.size:
        depth[frontier], level = level, level + 1
        reached = np.unique(compose(frontier[:, None], np.array(GENERATORS)))
        frontier = reached[depth[reached] < 0]
    return depth


DEPTH = _depths()
"""int `(3072,)`: the least number of the 14 edits that leads to each state."""


def sequence_to(state: int) -> list[int]:
    """A shortest sequence of generator indices (0–13) that leads from the unedited photo to `state`."""
    sequence: list[int] = []
    while state != ORIGINAL:
        before = compose(state, np.array(GENERATORS))  # each generator is its own inverse
        step = int(np.argmin(DEPTH[before]))
        sequence.append(step)
        state = int(before[step])
    return sequence[::-1]


def apply(photo_HWC: np.ndarray, state: int) -> np.ndarray:
    """Render one edit state of a BGR photo `(H, W, 3)` in one pass; any dtype whose inverse is `max − v`.

    Raises:
        ValueError: an odd side, on which half shifts are not reversible.
    """
    height, width = photo_HWC.shape[:2]
    if height % 2 or width % 2:
        raise ValueError(f"edit states need even sides, got {width}×{height}: crop one row or column")
    edited = np.empty_like(photo_HWC)
    for channel in range(3):
        plane, bits = photo_HWC[..., SOURCE[state, channel]], BITS[state, channel]
        if bits & LEFT:
            plane = np.roll(plane, width // 2, axis=1)
        if bits & DOWN:
            plane = np.roll(plane, height // 2, axis=0)
        edited[..., channel] = np.iinfo(photo_HWC.dtype).max - plane if bits & INVERTED else plane
    return edited


_RGB = slice(None, None, -1)
_SOURCE_RGB, _BITS_RGB = 2 - SOURCE[:, _RGB], BITS[:, _RGB]
_INVERTED_RGB = (255 * (_BITS_RGB & INVERTED)).astype(np.uint8)


def render_rgb(photos_BCHW: np.ndarray, states_B: np.ndarray) -> np.ndarray:
    """Render one edit state for each photo of a batch: uint8 `(B, 3, H, W)` **RGB** in and out, even sides.

    The four quadrants of a plane change places under half shifts, so one gather of quadrants does it all.
    """
    batch, _, height, width = photos_BCHW.shape
    quadrants = photos_BCHW.reshape(batch, 3, 2, height // 2, 2, width // 2).transpose(0, 1, 2, 4, 3, 5)
    states_B = np.asarray(states_B)
    bits = _BITS_RGB[states_B]
    half = np.arange(2)
    rendered = quadrants[
        np.arange(batch)[:, None, None, None],
        _SOURCE_RGB[states_B][:, :, None, None],
        half[None, None, :, None] ^ (bits & DOWN != 0)[:, :, None, None],
        half[None, None, None, :] ^ (bits & LEFT != 0)[:, :, None, None],
    ]
    rendered ^= _INVERTED_RGB[states_B][:, :, None, None, None, None]  # 255 − v is v with every bit turned
    return rendered.transpose(0, 1, 2, 4, 3, 5).reshape(batch, 3, height, width)
