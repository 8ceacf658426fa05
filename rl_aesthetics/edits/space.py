"""An action space: what a list of edits can turn a photo into, as canonical states with a successor function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rl_aesthetics.edits import algebra, photographic
from rl_aesthetics.edits.registry import STOP, TRANSFORMS
from rl_aesthetics.errors import UserError


@dataclass(frozen=True)
class Parameters:
    """A run of photographic edits within a sequence: one parameter vector (`photographic`)."""

    state: int


Form = tuple  # of int | str | Parameters
"""A sequence of edits: states of `algebra`, names of edits that lose information, parameter vectors."""


class EditSpace:
    """The edit states that a list of actions leads to, as integers.

    With reversible edits alone these are the 3,072 states of `algebra`, with photographic ones alone the parameter
    vectors of `photographic`. Edits that lose information, and mixtures of the two kinds, have no such normal form:
    there a state is the sequence itself with neighbouring edits of one kind merged, numbered from 3,072 on in the order
    of first use, so such numbers mean something to this object alone.

    Args:
        actions: canonical names in the order of the action indices, `STOP` last or not at all.
    """

    def __init__(self, actions: Sequence[str]):
        self.actions = tuple(actions)
        self.edits = tuple(name for name in actions if name != STOP)
        self.stop = len(self.edits) if STOP in self.actions else None
        if STOP in self.actions[:-1]:
            raise ValueError("STOP must be the last action")
        elements = [TRANSFORMS[name].element for name in self.edits]
        self.elements = np.array([e for e in elements if e is not None], int)
        self.reversible = None not in elements
        self.changes = [TRANSFORMS[name].change for name in self.edits]
        self.photographic = None not in self.changes
        self._elements: list[int | None] = [*elements, *([algebra.ORIGINAL] if STOP in self.actions else [])]
        if self.reversible:
            self._after = algebra.compose(np.arange(algebra.NUM_STATES)[:, None], np.array(self._elements))
        if self.photographic:
            stay = photographic.Change(0, photographic.ADD, 0)
            changes = [*self.changes, *([stay] if self.stop is not None else [])]
            self._fields, self._kinds, self._amounts = (
                np.array([getattr(change, part) for change in changes]) for part in ("field", "kind", "amount")
            )
        self._forms: list[Form] = []  # of the states from 3,072 on
        self._numbers: dict[Form, int] = {}

    def __len__(self) -> int:
        """The number of actions."""
        return len(self.actions)

    def after(self, states_B, actions_B) -> np.ndarray:
        """The states that the actions lead to; both broadcast. STOP leads nowhere."""
        if self.reversible:
            return self._after[states_B, actions_B]
        if self.photographic:
            parts = (self._fields[actions_B], self._kinds[actions_B], self._amounts[actions_B])
            return photographic.apply(states_B, *parts)
        states_B, actions_B = np.broadcast_arrays(states_B, actions_B)
        following = [self._step(int(s), int(a)) for s, a in zip(states_B.flat, actions_B.flat, strict=True)]
        return np.array(following, int).reshape(states_B.shape)

    def edit(self, photo_HWC: np.ndarray, state: int) -> np.ndarray:
        """Render a state of a BGR photo `(H, W, 3)` with even sides, at its full size."""
        if self.photographic:
            return photographic.render(photo_HWC, state)
        for part in self._form(state):
            if isinstance(part, str):
                photo_HWC = TRANSFORMS[part](photo_HWC)
            elif isinstance(part, Parameters):
                photo_HWC = photographic.render(photo_HWC, part.state)
            else:
                photo_HWC = algebra.apply(photo_HWC, part)
        return photo_HWC

    def _form(self, state: int) -> Form:
        return (state,) if state < algebra.NUM_STATES else self._forms[state - algebra.NUM_STATES]

    def _step(self, state: int, action: int) -> int:
        form, element = self._form(state), self._elements[action]
        if element is None and (change := self.changes[action]) is not None:
            before = form[-1].state if isinstance(form[-1], Parameters) else photographic.UNEDITED
            kept = form[:-1] if isinstance(form[-1], Parameters) else form
            following = int(photographic.after(before, [change])[0])
            form = (*kept, Parameters(following)) if following != photographic.UNEDITED else kept or (algebra.ORIGINAL,)
        elif element is None:
            form = (*form, self.edits[action])
        elif isinstance(form[-1], int):
            form = (*form[:-1], int(algebra.compose(form[-1], element)))
        else:
            form = (*form, element)
        if form[-1] == algebra.ORIGINAL and len(form) > 1:
            form = form[:-1]
        if len(form) == 1 and isinstance(form[0], int):
            return form[0]
        if form not in self._numbers:
            self._numbers[form] = algebra.NUM_STATES + len(self._forms)
            self._forms.append(form)
        return self._numbers[form]


def check_shows_edits(space: EditSpace) -> None:
    """Raise UserError if there is no `photographic.edits_plane` for the edits of a space."""
    if not space.photographic:
        raise UserError("observations of 4 channels say which photographic edits were made; use them with those")
