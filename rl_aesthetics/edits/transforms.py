"""The action space: named, pure, vectorised edits of uint8 images, in one registry.

To add a transform, write a function on `(..., H, W, 3)` uint8 BGR arrays in a file of this folder and list it in that
file's `TRANSFORMS`; a new file gets one line below. `CONTRIBUTING.md` walks through it.
"""

from __future__ import annotations

from collections.abc import Sequence

from rl_aesthetics.edits import filters, photographic, reversible
from rl_aesthetics.edits.transform import Transform
from rl_aesthetics.errors import UserError, closest

STOP = "STOP"
"""The optional last action of every action space: leave the photo as it is and end the episode."""

TRANSFORMS: dict[str, Transform] = {
    t.name: t for t in (*reversible.TRANSFORMS, *filters.TRANSFORMS, *photographic.TRANSFORMS)
}
"""Every transform by its canonical name."""

REVERSIBLE: tuple[str, ...] = tuple(t.name for t in reversible.TRANSFORMS)
"""The guide's 14 reversible transforms, in the guide's order."""

PHOTOGRAPHIC: tuple[str, ...] = tuple(t.name for t in photographic.TRANSFORMS)
"""Every edit of the photographic parameter vector."""

ACTION_SPACES: dict[str, tuple[str, ...]] = {
    "reversible": REVERSIBLE,
    "random": REVERSIBLE,  # the guide's word
    "tonal": photographic.TONAL,
    "photographic": PHOTOGRAPHIC,
    "all": tuple(TRANSFORMS),
}
"""Lists of transforms that have a name."""

_BY_ALIAS = {alias.lower(): t for t in TRANSFORMS.values() for alias in (t.name, *t.aliases)}


def get_transform(name: str) -> Transform:
    """Look a transform up by its canonical name, the guide's class name or the predecessor's label.

    Raises:
        UserError: no transform has that name; the message names the closest one.
    """
    transform = _BY_ALIAS.get(name.lower())
    if transform is None:
        raise UserError(f"unknown transform {name!r}{closest(name, TRANSFORMS)}; see `rl-aesthetics transforms`")
    return transform


def action_names(action_space: str | Sequence[str], add_stop: bool = True) -> tuple[str, ...]:
    """Resolve an action space to canonical names in order, with `STOP` last if asked for.

    Args:
        action_space: a name in `ACTION_SPACES`, one transform's name, or a list of names.

    Raises:
        UserError: an unknown name, a name given twice, or nothing at all.
    """
    if isinstance(action_space, str):
        action_space = ACTION_SPACES.get(action_space.lower(), [action_space])
    names = [get_transform(name).name for name in action_space if name != STOP]
    if not names:
        raise UserError("an action space needs at least one transform")
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(f"the action space lists {', '.join(sorted(twice))} twice")
    return (*names, STOP) if add_stop else tuple(names)
