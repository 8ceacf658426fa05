"""An action space: what a list of edits can turn a photo into, as canonical states with a successor function."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np

from rl_aesthetics.edits.spaces.action_list import NOT_SHOWN
from rl_aesthetics.edits.spaces.photographic_space import PhotographicSpace
from rl_aesthetics.edits.spaces.reversible_space import ReversibleSpace
from rl_aesthetics.edits.spaces.sequence_space import SequenceSpace
from rl_aesthetics.edits.transforms import STOP, TRANSFORMS
from rl_aesthetics.errors import UserError


class EditSpace(Protocol):
    """The edit states that a list of actions leads to, as integers; 0 is the photo as it came.

    Attributes:
        actions: canonical names in the order of the action indices, `STOP` last or not at all.
        edits: the same without `STOP`.
        stop: the index of `STOP`, or None.
        is_group: whether the states form a finite group: each can be undone, the same ways lead on from all of them,
            and a number means the same in every process and every run.
        acts_on_given: whether the edits are parameters of one rendering from the photo as it is given, so that what was
            done to it before is not among the states. Elsewhere a degradation by edits is one, and undone by edits.
        can_show_edits: whether there is an `edits_plane`.
        needs_even_sides: whether photos must have even sides, as half shifts ask for.
        renders_16_bits: whether every edit knows photos of 16 bits a channel.
    """

    actions: tuple[str, ...]
    edits: tuple[str, ...]
    stop: int | None
    is_group: bool
    acts_on_given: bool
    can_show_edits: bool
    needs_even_sides: bool
    renders_16_bits: bool

    def __len__(self) -> int:
        """The number of actions."""
        ...

    def after(self, states_B: np.ndarray | int, actions_B: np.ndarray | int) -> np.ndarray:
        """The states that the actions lead to; both broadcast. STOP leads nowhere."""
        ...

    def walk(self, names: Iterable[str], start: int = 0) -> list[int]:
        """The states after each of the named edits, one after the other."""
        ...

    def render(self, photo_HWC: np.ndarray, state: int) -> np.ndarray:
        """Render a state of a BGR photo `(H, W, 3)` at its full size."""
        ...

    def renders_reductions(self, states_B: np.ndarray, size: int) -> np.ndarray:
        """bool `(B,)`: which states can be rendered on a photo that was reduced to `size` × `size`."""
        ...

    def render_reductions(self, reductions_B3SS: np.ndarray, states_B: np.ndarray) -> np.ndarray:
        """Render such states, each on its reduction, uint8 RGB `(B, 3, S, S)`; a new array."""
        ...

    def framing(self, states_B: np.ndarray | int) -> np.ndarray:
        """The states with everything but framing taken out: what the photo shows, with its own colours."""
        ...

    def edits_plane(self, states_B: np.ndarray, size: int) -> np.ndarray:
        """The edits so far as a plane of an observation, uint8 `(B, 1, size, size)`.

        Raises:
            UserError: not `can_show_edits`.
            ValueError: the plane is too small.
        """
        ...

    def parameters(self, state: int) -> dict[str, float] | None:
        """What a state amounts to by name, 0 left out, in EV or log2 of a factor for tone; None where states are no
        parameters."""
        ...


def edit_space(actions: Sequence[str]) -> EditSpace:
    """The space of a list of actions.

    Args:
        actions: canonical names in the order of the action indices, `STOP` last or not at all.

    Raises:
        ValueError: `STOP` is not the last.
        KeyError: there is no such edit.
    """
    space = _with_normal_form(tuple(actions))
    return SequenceSpace(actions) if space is None else space


@lru_cache(16)
def _with_normal_form(actions: tuple[str, ...]) -> EditSpace | None:
    """Spaces that never change, so that everybody may have the same."""
    edits = [TRANSFORMS[name] for name in actions if name != STOP]
    if all(edit.change is not None for edit in edits):
        return PhotographicSpace(actions)
    if all(edit.element is not None for edit in edits):
        return ReversibleSpace(actions)
    return None


def check_shows_edits(space: EditSpace) -> None:
    """Raise UserError if there is no `edits_plane` for the edits of a space."""
    if not space.can_show_edits:
        raise UserError(NOT_SHOWN)
