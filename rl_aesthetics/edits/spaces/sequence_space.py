"""Edits that lose information, and mixtures of kinds: the sequences of edits themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rl_aesthetics.edits import algebra, edit_state, render
from rl_aesthetics.edits.spaces.action_list import ActionList
from rl_aesthetics.edits.transforms import TRANSFORMS


@dataclass(frozen=True)
class Parameters:
    """A run of photographic edits within a sequence: one parameter vector (`edit_state`)."""

    state: int


Form = tuple[int | str | Parameters, ...]
"""A sequence of edits: states of `algebra`, names of edits that lose information, parameter vectors."""


class SequenceSpace(ActionList):
    """An `EditSpace` without a normal form: a state is the sequence itself with neighbouring edits of one kind merged.

    What reversible edits alone lead to keeps its number in `algebra`; the others are numbered from 3,072 on in the
    order of first use, so such numbers mean something to this object alone.
    """

    is_group = False
    acts_on_given = False
    can_show_edits = False
    needs_even_sides = True
    renders_16_bits = False

    def __init__(self, actions: Sequence[str]):
        super().__init__(actions)
        self._changes = [TRANSFORMS[name].change for name in self.edits]
        self._elements = [TRANSFORMS[name].element for name in self.edits]
        if self.stop is not None:
            self._elements.append(algebra.ORIGINAL)
        self._forms: list[Form] = []  # of the states from 3,072 on
        self._numbers: dict[Form, int] = {}

    def after(self, states_B: np.ndarray | int, actions_B: np.ndarray | int) -> np.ndarray:
        states_B, actions_B = np.broadcast_arrays(states_B, actions_B)
        following = [self._step(int(s), int(a)) for s, a in zip(states_B.flat, actions_B.flat, strict=True)]
        return np.array(following, int).reshape(states_B.shape)

    def render(self, photo_HWC: np.ndarray, state: int) -> np.ndarray:
        for part in self._form(state):
            if isinstance(part, str):
                photo_HWC = TRANSFORMS[part](photo_HWC)
            elif isinstance(part, Parameters):
                photo_HWC = render.render(photo_HWC, part.state)
            else:
                photo_HWC = algebra.apply(photo_HWC, part)
        return photo_HWC

    def renders_reductions(self, states_B: np.ndarray, size: int) -> np.ndarray:
        return np.zeros(len(states_B), bool)

    def render_reductions(self, reductions_B3SS: np.ndarray, states_B: np.ndarray) -> np.ndarray:
        raise ValueError("edits that lose information do not commute with reducing a photo: render the photo itself")

    def _form(self, state: int) -> Form:
        return (state,) if state < algebra.NUM_STATES else self._forms[state - algebra.NUM_STATES]

    def _step(self, state: int, action: int) -> int:
        form, element = self._form(state), self._elements[action]
        *before, last = form
        kept: Form = tuple(before)
        if element is not None:
            form = (*kept, int(algebra.compose(last, element))) if isinstance(last, int) else (*form, element)
        elif (change := self._changes[action]) is not None:
            if not isinstance(last, Parameters):
                kept, last = form, Parameters(edit_state.UNEDITED)
            following = int(edit_state.after(last.state, [change])[0])
            form = (*kept, Parameters(following)) if following != edit_state.UNEDITED else kept or (algebra.ORIGINAL,)
        else:
            form = (*form, self.edits[action])
        return self._number(form[:-1] if form[-1] == algebra.ORIGINAL and len(form) > 1 else form)

    def _number(self, form: Form) -> int:
        if len(form) == 1 and isinstance(form[0], int):
            return form[0]
        if form not in self._numbers:
            self._numbers[form] = algebra.NUM_STATES + len(self._forms)
            self._forms.append(form)
        return self._numbers[form]
