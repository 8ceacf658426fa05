"""A photographer's edits as a state: a vector of small integers, rendered once from the photo (`render`).

Each edit changes one field of the vector: a tonal parameter by one or three steps of a quarter, or by a third of one,
a switch, a count, or the framing. The order of rendering is fixed, so the order of the edits does not matter, and one
step up and one down is the photo itself.

A state is an int of 60 bits, field beside field; 0 is the photo as it came. It is what score caches and the replay
buffer key on. All functions on states take int64 arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rl_aesthetics.edits import framing, tone
from rl_aesthetics.edits.transform import ADD, TURN, Change

STEP = 0.25
"""What one step of a tonal parameter is: EV, or log2 of a factor."""

COARSE = 3
"""Steps in a coarse edit."""

FINE = 3
"""Fine edits in a step. A twelfth of an EV is as little as a photographer's eye sees (37 dB on middle grey): what an
agent that is not sure can change without harm."""

LIMIT = 2.5
"""How far a parameter of `FINELY` can be away from 0, in EV or log2 of a factor; the others half a step less than 2.
Further edits in that direction change nothing."""

FINELY = ("exposure", "contrast", "saturation", "temperature", "tint")
"""The parameters that have fine edits: what photos most often go wrong in."""

UNEDITED = 0

REFERENCE = 1 << 60
"""The state that stands for the original, where that is another photo than the one that edits act on; no edit leads
there."""


@dataclass(frozen=True)
class Field:
    """A part of the state: what it counts, and what edits do to it.

    Attributes:
        name: a tonal parameter of `tone.TONE`, or one of the others below.
        bits: that it takes; negative values are in two's complement.
        low, high: the values it can have.
        unit: of a tonal parameter, what a value of 1 is: EV, or log2 of a factor.
    """

    name: str
    bits: int
    low: int
    high: int
    unit: float = 1.0


_MOST = round(LIMIT / STEP * FINE)

FIELDS = (
    *(
        Field(name, 6, -_MOST, _MOST, STEP / FINE) if name in FINELY else Field(name, 4, -7, 7, STEP)
        for name in tone.TONE
    ),
    Field("gray_world", 1, 0, 1),
    Field("auto_contrast", 1, 0, 1),
    Field("clahe", 1, 0, 1),
    Field("sharpen", 2, 0, 3),
    Field("denoise", 2, 0, 3),
    Field("level", 1, 0, 1),
    Field("flip_horizontal", 1, 0, 1),
    Field("flip_vertical", 1, 0, 1),
    Field("crop", 3, 0, len(framing.CROPS) - 1),
)
PLACE = {field.name: place for place, field in enumerate(FIELDS)}
_BITS = np.array([field.bits for field in FIELDS])
_SHIFTS = np.concatenate([[0], np.cumsum(_BITS)[:-1]])
_MASKS = (1 << _BITS) - 1
_LOW = np.array([field.low for field in FIELDS])
_HIGH = np.array([field.high for field in FIELDS])
_UNITS = np.array([field.unit for field in FIELDS[: len(tone.TONE)]], np.float32)


def unpack(states: np.ndarray | int) -> np.ndarray:
    """Values of all fields, int64 `(..., len(FIELDS))`."""
    values: np.ndarray = (np.asarray(states, np.int64)[..., None] >> _SHIFTS) & _MASKS
    values = values - ((_LOW < 0) & (values > _HIGH)) * (_MASKS + 1)
    return values


def pack(values: np.ndarray) -> np.ndarray:
    """States int64 `(...)` from the values of all fields.

    Raises:
        ValueError: a value out of its bounds.
    """
    values = np.asarray(values, np.int64)
    if ((values < _LOW) | (values > _HIGH)).any():
        raise ValueError("a value lies outside its field")
    states: np.ndarray = ((values & _MASKS) << _SHIFTS).sum(-1)
    return states


def state_of(**values: int) -> int:
    """The state with these values of fields by name, the others 0."""
    return int(pack(np.array([values.get(field.name, 0) for field in FIELDS])))


def after(states: np.ndarray | int, changes: Sequence[Change]) -> np.ndarray:
    """States that changes lead to, `(..., len(changes))`: each of the states under each change."""
    fields = np.array([change.field for change in changes], int)
    kinds = np.array([change.kind for change in changes], int)
    amounts = np.array([change.amount for change in changes], int)
    return apply(np.asarray(states, np.int64)[..., None], fields, kinds, amounts)


def apply(states: np.ndarray | int, fields: np.ndarray, kinds: np.ndarray, amounts: np.ndarray) -> np.ndarray:
    """States that changes lead to, given as arrays of their parts; all four broadcast."""
    states = np.asarray(states, np.int64)
    shifts, masks = _SHIFTS[fields], _MASKS[fields]
    values = (states >> shifts) & masks
    values = values - ((_LOW[fields] < 0) & (values > _HIGH[fields])) * (masks + 1)
    added = np.clip(values + amounts, _LOW[fields], _HIGH[fields])
    following = np.where(kinds == ADD, added, np.where(kinds == TURN, 1 - values, amounts))
    return np.asarray((states & ~(masks << shifts)) | ((following & masks) << shifts))


def tones(states_B: np.ndarray) -> np.ndarray:
    """Tone vectors float32 `(B, 9)` of states."""
    return unpack(states_B)[..., : len(tone.TONE)].astype(np.float32) * _UNITS


def edit_size(change: Change | None) -> float:
    """How many steps an edit takes of a tonal parameter; 1 of anything else."""
    if change is None or change.field >= len(tone.TONE):
        return 1.0
    return abs(change.amount) * FIELDS[change.field].unit / STEP


EDITS_SIZE = len(FIELDS)
"""Values that say which edits were made."""


def edits_plane(states_B: np.ndarray, size: int) -> np.ndarray:
    """The edits so far as a plane of an observation, uint8 `(B, 1, size, size)`: row k is 128 + the value of field k.

    A row is constant, as the feature planes of AlphaZero are (arXiv 1712.01815); the rows below are 128.

    Raises:
        ValueError: the plane has fewer rows than there are fields.
    """
    if size < EDITS_SIZE:
        raise ValueError(f"edits take {EDITS_SIZE} rows, an observation of {size} has fewer")
    states_B = np.asarray(states_B)
    plane_B1SS = np.full((len(states_B), 1, size, size), 128, np.uint8)
    plane_B1SS[:, 0, :EDITS_SIZE] += unpack(states_B).astype(np.uint8)[..., None]  # negative values wrap around 256
    return plane_B1SS


def tones_shown(observations_B4SS: np.ndarray) -> np.ndarray:
    """Tone vectors float32 `(B, 9)` that observations with an `edits_plane` as fourth channel tell."""
    return (observations_B4SS[:, 3, : len(tone.TONE), 0].astype(np.float32) - 128) * _UNITS


def is_pointwise(states_B: np.ndarray) -> np.ndarray:
    """bool: whether a state can be rendered on a reduction of the photo: nothing but tone and mirroring.

    Tone acts on each pixel for itself, so it commutes with averaging as far as the average of a curve is the curve of
    the average; what needs neighbours or cuts does not.
    """
    values = unpack(states_B)
    needing_more = values[..., [PLACE[name] for name in ("clahe", "sharpen", "denoise", "level", "crop")]]
    return np.asarray(~needing_more.any(-1))


_FRAMING_FIELDS = np.array([PLACE[name] for name in ("level", "crop", "flip_horizontal", "flip_vertical")])
_FRAMING_MASK = int((_MASKS[_FRAMING_FIELDS] << _SHIFTS[_FRAMING_FIELDS]).sum())


def framing_of(states: np.ndarray | int) -> np.ndarray:
    """The states with everything but framing taken out: what the photo shows, with its own colours."""
    return np.asarray(states, np.int64) & _FRAMING_MASK
