"""What was done to a photo, as a file that can be done again to others: `enhance --recipe`, `enhance --apply`.

A recipe names edits, so it needs neither agent nor juror. Photographic edits are one parameter vector, rendered once
from the photo, however many steps the agent took to find it; the recipe shows its values, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rl_aesthetics.edits.space import EditSpace, edit_space
from rl_aesthetics.edits.transforms import TRANSFORMS, get_transform
from rl_aesthetics.errors import UserError
from rl_aesthetics.photos.resize import crop_even

FORMAT = 1


def describe(edits: Sequence[str]) -> dict[str, Any]:
    """A recipe's content: the edits in order, and the parameters that they amount to where all are photographic:
    tonal ones in EV or log2 of a factor."""
    recipe: dict[str, Any] = {
        "format": FORMAT,
        "edits": list(edits),
        "titles": [TRANSFORMS[name].title for name in edits],
    }
    space = _space(edits)
    *_, state = _states(space, edits)
    if edits and (parameters := space.parameters(state)) is not None:
        recipe["parameters"] = parameters
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
    return space.render(pixels_HWC, state)


def render_steps(pixels_HWC: np.ndarray, edits: Sequence[str]) -> Iterator[np.ndarray]:
    """The photo after none, one, two, … of the edits, one after the other, each rendered from the photo itself.

    Reversible edits need even sides: an odd row or column is left out.

    Raises:
        UserError: an edit that knows 8 bits alone, on 16.
    """
    space, pixels_HWC = _prepared(pixels_HWC, edits)
    for state in _states(space, edits):
        yield space.render(pixels_HWC, state)


def _prepared(pixels_HWC: np.ndarray, edits: Sequence[str]) -> tuple[EditSpace, np.ndarray]:
    space = _space(edits)
    check_depth(space, pixels_HWC)
    return space, crop_even(pixels_HWC) if space.needs_even_sides else pixels_HWC


def check_depth(space: EditSpace, pixels_HWC: np.ndarray) -> None:
    """Raise UserError if pixels have 16 bits, and edits know 8 alone."""
    if pixels_HWC.dtype != np.uint8 and not space.renders_16_bits:
        raise UserError("only reversible and photographic edits work on 16 bits a channel: save it with 8 bits")


def _space(edits: Sequence[str]) -> EditSpace:
    return edit_space(tuple(dict.fromkeys(edits)))


def _states(space: EditSpace, edits: Sequence[str]) -> tuple[int, ...]:
    return 0, *space.walk(edits)
