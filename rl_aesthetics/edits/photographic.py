"""A photographer's edits: a photo's edit state is a vector of small integers, rendered once from the photo.

Each edit changes one field of the vector: a tonal parameter by one or three steps of a quarter, or by a third of one,
a switch, a count, or the framing. The order of rendering is fixed, so the order of the edits does not matter, and one
step up and one down is the photo itself:

    level the horizon, crop, mirror → denoise → auto contrast → gray world and the tonal parameters (`tone`) → CLAHE →
    sharpen

A state is an int of 60 bits, field beside field; 0 is the photo as it came. It is what score caches and the replay
buffer key on. All functions on states take int64 arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from rl_aesthetics.edits import framing, tone
from rl_aesthetics.edits.transform import ADD, CHOOSE, TURN, Change, Transform

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


def unpack(states) -> np.ndarray:
    """Values of all fields, int64 `(..., len(FIELDS))`."""
    values = (np.asarray(states, np.int64)[..., None] >> _SHIFTS) & _MASKS
    return values - ((_LOW < 0) & (values > _HIGH)) * (_MASKS + 1)


def pack(values: np.ndarray) -> np.ndarray:
    """States int64 `(...)` from the values of all fields.

    Raises:
        ValueError: a value out of its bounds.
    """
    values = np.asarray(values, np.int64)
    if ((values < _LOW) | (values > _HIGH)).any():
        raise ValueError("a value lies outside its field")
    return ((values & _MASKS) << _SHIFTS).sum(-1)


def state_of(**values: int) -> int:
    """The state with these values of fields by name, the others 0."""
    return int(pack(np.array([values.get(field.name, 0) for field in FIELDS])))


def after(states, changes: Sequence[Change]) -> np.ndarray:
    """States that changes lead to, `(..., len(changes))`: each of the states under each change."""
    fields = np.array([change.field for change in changes], int)
    kinds = np.array([change.kind for change in changes], int)
    amounts = np.array([change.amount for change in changes], int)
    return apply(np.asarray(states, np.int64)[..., None], fields, kinds, amounts)


def apply(states, fields, kinds, amounts) -> np.ndarray:
    """States that changes lead to, given as arrays of their parts; all four broadcast."""
    states = np.asarray(states, np.int64)
    shifts, masks = _SHIFTS[fields], _MASKS[fields]
    values = (states >> shifts) & masks
    values = values - ((_LOW[fields] < 0) & (values > _HIGH[fields])) * (masks + 1)
    added = np.clip(values + amounts, _LOW[fields], _HIGH[fields])
    following = np.where(kinds == ADD, added, np.where(kinds == TURN, 1 - values, amounts))
    return (states & ~(masks << shifts)) | ((following & masks) << shifts)


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
    return ~values[..., [PLACE[name] for name in ("clahe", "sharpen", "denoise", "level", "crop")]].any(-1)


_FRAMING_FIELDS = np.array([PLACE[name] for name in ("level", "crop", "flip_horizontal", "flip_vertical")])
_FRAMING_MASK = int((_MASKS[_FRAMING_FIELDS] << _SHIFTS[_FRAMING_FIELDS]).sum())


def framing_of(states):
    """The states with everything but framing taken out: what the photo shows, with its own colours."""
    return np.asarray(states, np.int64) & _FRAMING_MASK


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


def _alone(state: int, images_BGR: np.ndarray) -> np.ndarray:
    flat = images_BGR.reshape(-1, *images_BGR.shape[-3:])
    edited = np.stack([render(image, state) for image in flat])
    return edited.reshape(*images_BGR.shape[:-3], *edited.shape[1:])


_SAYS = {
    "exposure": ("brighter", "darker"),
    "contrast": ("more contrast", "less contrast"),
    "highlights": ("brighter highlights", "darker highlights"),
    "shadows": ("brighter shadows", "darker shadows"),
    "gamma": ("brighter midtones", "darker midtones"),
    "saturation": ("stronger colours", "weaker colours"),
    "vibrance": ("stronger pale colours", "weaker pale colours"),
    "temperature": ("warmer", "cooler"),
    "tint": ("more magenta", "more green"),
}


def _edit(name: str, title: str, change: Change, keeps_size: bool = True) -> Transform:
    state = int(after(UNEDITED, [change])[0])
    function: Callable[[np.ndarray], np.ndarray] = partial(_alone, state)
    return Transform(name, function, (), title, change=change, keeps_size=keeps_size)


_SIZES = (("", "", 1.0), (f"_{COARSE}", f", {COARSE} steps", float(COARSE)), ("_fine", ", a little", 1 / FINE))
"""Ends of names and titles, and steps, of the edits of a tonal parameter."""


def _tonal() -> list[Transform]:
    rows = []
    for suffix, how_much, steps in _SIZES:
        for name, words in _SAYS.items():
            if steps < 1 and name not in FINELY:
                continue
            amount = round(steps * STEP / FIELDS[PLACE[name]].unit)
            for sign, word, says in ((1, "up", words[0]), (-1, "down", words[1])):
                change = Change(PLACE[name], ADD, sign * amount)
                rows.append(_edit(f"{name}_{word}{suffix}", f"{says}{how_much}", change))
    return rows


TRANSFORMS = (
    *_tonal(),
    _edit("gray_world", "gray-world white balance", Change(PLACE["gray_world"], CHOOSE, 1)),
    _edit("auto_contrast", "auto contrast", Change(PLACE["auto_contrast"], CHOOSE, 1)),
    _edit("clahe", "local contrast (CLAHE)", Change(PLACE["clahe"], CHOOSE, 1)),
    _edit("sharpen", "sharpen", Change(PLACE["sharpen"], ADD, 1)),
    _edit("denoise", "denoise", Change(PLACE["denoise"], ADD, 1)),
    _edit("flip_horizontal", "mirror left and right", Change(PLACE["flip_horizontal"], TURN, 0)),
    _edit("flip_vertical", "mirror top and bottom", Change(PLACE["flip_vertical"], TURN, 0)),
    _edit("level_horizon", "level the horizon", Change(PLACE["level"], CHOOSE, 1)),
    *(
        _edit(f"crop_{name}", f"crop, {name.replace('_', ':')}", Change(PLACE["crop"], CHOOSE, kind), keeps_size=False)
        for kind, name in enumerate(framing.CROPS)
        if kind
    ),
)

TONAL = tuple(
    f"{name}_{direction}{suffix}"
    for name in ("exposure", "temperature", "tint", "contrast", "saturation")
    for suffix in ("_fine", "", f"_{COARSE}")
    for direction in ("up", "down")
)
"""Fine, single and coarse steps of the parameters that photos most often go wrong in."""
