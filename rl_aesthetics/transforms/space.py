"""An action space: what a list of edits can turn a photo into, as canonical states with a successor function."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rl_aesthetics.scoring import reduce_image
from rl_aesthetics.transforms import STOP, TRANSFORMS, algebra


class EditSpace:
    """The edit states that a list of actions leads to, as integers.

    With reversible edits alone these are the 3,072 states of `algebra`. Edits that lose information have no such normal
    form: there a state is the sequence itself with neighbouring reversible edits merged, numbered from 3,072 on in the
    order of first use, so such numbers mean something to this object alone.

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
        self._elements: list[int | None] = [*elements, *([algebra.ORIGINAL] if STOP in self.actions else [])]
        if self.reversible:
            self._after = algebra.compose(np.arange(algebra.NUM_STATES)[:, None], np.array(self._elements))
        self._forms: list[tuple[int | str, ...]] = []  # of the states from 3,072 on
        self._numbers: dict[tuple[int | str, ...], int] = {}

    def __len__(self) -> int:
        """The number of actions."""
        return len(self.actions)

    def after(self, states_B, actions_B) -> np.ndarray:
        """The states that the actions lead to; both broadcast. STOP leads nowhere."""
        if self.reversible:
            return self._after[states_B, actions_B]
        states_B, actions_B = np.broadcast_arrays(states_B, actions_B)
        following = [self._step(int(s), int(a)) for s, a in zip(states_B.flat, actions_B.flat, strict=True)]
        return np.array(following, int).reshape(states_B.shape)

    def edit(self, photo_HWC: np.ndarray, state: int) -> np.ndarray:
        """Render a state of a BGR photo `(H, W, 3)` with even sides, at its full size."""
        for part in self._form(state):
            photo_HWC = TRANSFORMS[part](photo_HWC) if isinstance(part, str) else algebra.apply(photo_HWC, part)
        return photo_HWC

    def _form(self, state: int) -> tuple[int | str, ...]:
        return (state,) if state < algebra.NUM_STATES else self._forms[state - algebra.NUM_STATES]

    def _step(self, state: int, action: int) -> int:
        form, element = self._form(state), self._elements[action]
        if element is None:
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


class View:
    """What somebody who looks at `size` × `size` pixels sees of photos under edits.

    Half shifts, inversions and swaps commute with area averaging (up to rounding where an average ends in .5), so in a
    reversible space the reductions are made once and edited; otherwise, and for an odd `size`, whose half is no whole
    number of pixels, the photo is edited and then reduced.

    Args:
        reductions_NCHW: uint8 RGB `(N, 3, size, size)` of the unedited photos.
        photo: gives photo i, uint8 BGR `(H, W, 3)`; only used where the photo itself is edited.
    """

    def __init__(self, space: EditSpace, reductions_NCHW: np.ndarray, photo):
        self.space, self.reductions_NCHW, self.photo = space, reductions_NCHW, photo
        self.size = reductions_NCHW.shape[-1]
        self.edits_reductions = space.reversible and self.size % 2 == 0

    def __call__(self, photos_B: np.ndarray, states_B: np.ndarray) -> np.ndarray:
        """uint8 RGB `(B, 3, size, size)` of the photos with these numbers in these states."""
        if self.edits_reductions:
            return algebra.render_rgb(self.reductions_NCHW[photos_B], states_B)
        rendered = np.empty((len(photos_B), 3, self.size, self.size), np.uint8)
        for k, (i, state) in enumerate(zip(photos_B, states_B, strict=True)):
            rendered[k] = reduce_image(self.space.edit(self.photo(i), int(state)), self.size)[..., ::-1].transpose(
                2, 0, 1
            )
        return rendered
