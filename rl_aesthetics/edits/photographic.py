"""A photographer's edits: each changes one field of an `edit_state`, which is rendered once from the photo."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from rl_aesthetics.edits import framing
from rl_aesthetics.edits.edit_state import COARSE, FIELDS, FINE, FINELY, PLACE, STEP, UNEDITED, after
from rl_aesthetics.edits.render import render
from rl_aesthetics.edits.transform import ADD, CHOOSE, TURN, Change, Transform


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
