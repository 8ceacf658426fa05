"""Reversible edits alone: the 3,072 states of `algebra`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rl_aesthetics.edits import algebra
from rl_aesthetics.edits.spaces.action_list import ActionList
from rl_aesthetics.edits.transforms import TRANSFORMS


class ReversibleSpace(ActionList):
    """An `EditSpace` whose states are the elements of a group.

    Half shifts, inversions and swaps commute with area averaging (up to rounding where an average ends in .5), so
    reductions with even sides are edited themselves.
    """

    is_group = True
    acts_on_given = False
    can_show_edits = False
    needs_even_sides = True
    renders_16_bits = True

    def __init__(self, actions: Sequence[str]):
        super().__init__(actions)
        elements = [TRANSFORMS[name].element for name in self.edits]
        stay = [] if self.stop is None else [algebra.ORIGINAL]
        self._after = algebra.compose(np.arange(algebra.NUM_STATES)[:, None], np.array([*elements, *stay], int))

    def __reduce__(self) -> tuple[type[ReversibleSpace], tuple[tuple[str, ...]]]:
        return type(self), (self.actions,)  # the table is made again where it arrives

    def after(self, states_B: np.ndarray | int, actions_B: np.ndarray | int) -> np.ndarray:
        return np.asarray(self._after[states_B, actions_B])

    def render(self, photo_HWC: np.ndarray, state: int) -> np.ndarray:
        return algebra.apply(photo_HWC, state)

    def renders_reductions(self, states_B: np.ndarray, size: int) -> np.ndarray:
        return np.full(len(states_B), size % 2 == 0)  # half of an odd side is no whole number of pixels

    def render_reductions(self, reductions_B3SS: np.ndarray, states_B: np.ndarray) -> np.ndarray:
        return algebra.render_rgb(reductions_B3SS, states_B)
