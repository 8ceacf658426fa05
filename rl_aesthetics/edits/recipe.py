"""What was done to a photo, as a file that can be done again to others: `enhance --recipe`, `enhance --apply`.

A recipe names edits, so it needs neither agent nor juror. Photographic edits are one parameter vector, rendered once
from the photo, however many steps the agent took to find it; the recipe shows its values, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from rl_aesthetics.edits import photographic
from rl_aesthetics.edits.registry import TRANSFORMS, get_transform
from rl_aesthetics.edits.space import EditSpace
from rl_aesthetics.errors import UserError
from rl_aesthetics.photos.resize import crop_even

FORMAT = 1


def describe(edits: Sequence[str]) -> dict:
    """A recipe's content: the edits in order, and the parameters that they amount to where all are photographic:
    tonal ones in EV or log2 of a factor."""
    recipe: dict = {"format": FORMAT, "edits": list(edits), "titles": [TRANSFORMS[name].title for name in edits]}
    space = _space(edits)
    if edits and space.photographic:
        *_, state = _states(space, edits)
        values = photographic.unpack(state).tolist()
        recipe["parameters"] = {
            field.name: round(value * field.unit, 4) if field.unit != 1 else value
            for field, value in zip(photographic.FIELDS, values, strict=True)
            if value
        }
    return recipe


def read_recipe(file: Path) -> tuple[str, ...]:
    """The edits of a recipe file, or of a record that `enhance` wrote.

    Raises:
        UserError: no such file, no recipe, or one with unknown edits.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is not a readable recipe ({error}); `enhance --recipe` writes them") from None
    if not isinstance(content, dict) or not isinstance(content.get("edits"), list):
        raise UserError(f"{file} holds no list of edits; `enhance --recipe` writes recipes")
    if content.get("format", FORMAT) != FORMAT:
        raise UserError(f"{file} is a recipe of format {content['format']!r}, this program reads {FORMAT}")
    return tuple(get_transform(str(name)).name for name in content["edits"])


def render(pixels_HWC: np.ndarray, edits: Sequence[str]) -> np.ndarray:
    """The photo, uint8 or uint16 BGR, after the edits, rendered once; a new array.

    Raises:
        UserError: as `render_steps`.
    """
    space, pixels_HWC = _prepared(pixels_HWC, edits)
    *_, state = _states(space, edits)
    return space.edit(pixels_HWC, state)


def render_steps(pixels_HWC: np.ndarray, edits: Sequence[str]) -> Iterator[np.ndarray]:
    """The photo after none, one, two, … of the edits, one after the other, each rendered from the photo itself.

    Reversible edits need even sides: an odd row or column is left out.

    Raises:
        UserError: an edit that knows 8 bits alone, on 16.
    """
    space, pixels_HWC = _prepared(pixels_HWC, edits)
    for state in _states(space, edits):
        yield space.edit(pixels_HWC, state)


def _prepared(pixels_HWC: np.ndarray, edits: Sequence[str]) -> tuple[EditSpace, np.ndarray]:
    space = _space(edits)
    check_depth(space, pixels_HWC)
    return space, crop_even(pixels_HWC) if edits and not space.photographic else pixels_HWC


def check_depth(space: EditSpace, pixels_HWC: np.ndarray) -> None:
    """Raise UserError if pixels have 16 bits, and edits know 8 alone."""
    if pixels_HWC.dtype != np.uint8 and not keeps_depth(space):
        raise UserError("only reversible and photographic edits work on 16 bits a channel: save it with 8 bits")


def keeps_depth(space: EditSpace) -> bool:
    """Whether the edits work on 16 bits a channel as well as on 8."""
    return space.photographic or space.reversible


def _space(edits: Sequence[str]) -> EditSpace:
    return EditSpace(tuple(dict.fromkeys(edits)) or ("exposure_up",))


def _states(space: EditSpace, edits: Sequence[str]) -> Iterator[int]:
    state = 0
    yield state
    for name in edits:
        state = int(space.after(state, space.actions.index(name)))
        yield state
