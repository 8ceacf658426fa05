"""Photographic edits alone: the parameter vectors of `edit_state`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rl_aesthetics.edits import edit_state, render
from rl_aesthetics.edits.spaces.action_list import ActionList
from rl_aesthetics.edits.transform import ADD, Change
from rl_aesthetics.edits.transforms import TRANSFORMS


class PhotographicSpace(ActionList):
    """An `EditSpace` whose states are parameters of one rendering.

    Tone is rendered on reductions, everywhere alike: acting, learning and `enhance` see the same approximation (within
    2 of 255 on average under one EV; a curve of averages is not the average of the curve). What needs neighbours or
    cuts goes over the photo itself.
    """

    is_group = False
    acts_on_given = True
    can_show_edits = True
    needs_even_sides = False
    renders_16_bits = True

    def __init__(self, actions: Sequence[str]):
        super().__init__(actions)
        changes = [TRANSFORMS[name].change for name in self.edits]
        changes += [] if self.stop is None else [Change(0, ADD, 0)]
        self._fields, self._kinds, self._amounts = (
            np.array([getattr(change, part) for change in changes], int) for part in ("field", "kind", "amount")
        )

    def after(self, states_B: np.ndarray | int, actions_B: np.ndarray | int) -> np.ndarray:
        parts = (self._fields[actions_B], self._kinds[actions_B], self._amounts[actions_B])
        return edit_state.apply(states_B, *parts)

    def render(self, photo_HWC: np.ndarray, state: int) -> np.ndarray:
        return render.render(photo_HWC, state)

    def renders_reductions(self, states_B: np.ndarray, size: int) -> np.ndarray:
        return edit_state.is_pointwise(states_B)

    def render_reductions(self, reductions_B3SS: np.ndarray, states_B: np.ndarray) -> np.ndarray:
        return render.render_reductions(reductions_B3SS, states_B)

    def framing(self, states_B: np.ndarray | int) -> np.ndarray:
        return edit_state.framing_of(states_B)

    def edits_plane(self, states_B: np.ndarray, size: int) -> np.ndarray:
        return edit_state.edits_plane(states_B, size)

    def parameters(self, state: int) -> dict[str, float] | None:
        values = edit_state.unpack(state).tolist()
        return {
            field.name: round(value * field.unit, 4) if field.unit != 1 else value
            for field, value in zip(edit_state.FIELDS, values, strict=True)
            if value
        }
