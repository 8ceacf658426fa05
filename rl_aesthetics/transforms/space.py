"""An action space: what a list of edits can turn a photo into, as canonical states with a successor function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rl_aesthetics.errors import UserError
from rl_aesthetics.scoring import reduce_image
from rl_aesthetics.transforms import STOP, TRANSFORMS, algebra, photographic


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


class View:
    """What somebody who looks at `size` × `size` pixels sees of photos under edits.

    Half shifts, inversions and swaps commute with area averaging (up to rounding where an average ends in .5), so in a
    reversible space the reductions are made once and edited; otherwise, and for an odd `size`, whose half is no whole
    number of pixels, the photo is edited and then reduced. In a photographic space tone is rendered on the reductions,
    everywhere alike: acting, learning and `enhance` see the same approximation (within 2 of 255 on average under one
    EV; a curve of averages is not the average of the curve). What needs neighbours or cuts goes over the photo itself.

    Args:
        reductions_NCHW: uint8 RGB `(N, 3, size, size)` of the unedited photos, or what gives such an array for an
            index array and has this `shape`.
        photo: gives photo i, uint8 BGR `(H, W, 3)`; only used where the photo itself is edited.
        originals_NCHW, original: the same of what the photos should become, where that is something else.
        shows_edits: whether a fourth channel says which edits were made (`photographic.edits_plane`).

    Raises:
        UserError: `shows_edits` of edits that are not all photographic.
    """

    def __init__(
        self,
        space: EditSpace,
        reductions_NCHW: Any,
        photo: Callable[[int], np.ndarray],
        originals_NCHW: Any = None,
        original: Callable[[int], np.ndarray] | None = None,
        shows_edits: bool = False,
    ):
        if shows_edits:
            check_shows_edits(space)
        self.shows_edits = shows_edits
        self.space, self.reductions_NCHW, self.photo = space, reductions_NCHW, photo
        self.originals_NCHW, self.original = originals_NCHW, original
        self.size = reductions_NCHW.shape[-1]
        self.edits_reductions = space.reversible and self.size % 2 == 0

    def __call__(self, photos_B: np.ndarray, states_B: np.ndarray) -> np.ndarray:
        """uint8 RGB `(B, 3, size, size)` of the photos with these numbers in these states; 4 channels if it
        `shows_edits`."""
        images_BCHW = self._images(photos_B, states_B)
        if not self.shows_edits:
            return images_BCHW
        return np.concatenate([images_BCHW, photographic.edits_plane(states_B, self.size)], axis=1)

    def _images(self, photos_B: np.ndarray, states_B: np.ndarray) -> np.ndarray:
        if self.edits_reductions:
            return algebra.render_rgb(self.reductions_NCHW[photos_B], states_B)
        photos_B, states_B = np.asarray(photos_B), np.asarray(states_B)
        if self.originals_NCHW is None:
            return self._render(self.reductions_NCHW, self.photo, photos_B, states_B)
        rendered = np.empty((len(photos_B), 3, self.size, self.size), np.uint8)
        reference_B = states_B == photographic.REFERENCE
        given_B = ~reference_B
        rendered[reference_B] = self.originals_NCHW[photos_B[reference_B]]
        rendered[given_B] = self._render(self.reductions_NCHW, self.photo, photos_B[given_B], states_B[given_B])
        return rendered

    def originals(self, photos_B: np.ndarray, states_B: np.ndarray) -> np.ndarray:
        """The originals in the framing of the states, uint8 RGB `(B, 3, size, size)`: what a result is compared with.

        A crop is not a fault that the original lacks, so the original is cropped too.
        """
        photos_B, states_B = np.asarray(photos_B), np.asarray(states_B)
        if self.originals_NCHW is None:
            return self.reductions_NCHW[photos_B]
        framed_B = photographic.framing_of(states_B) if self.space.photographic else np.zeros_like(states_B)
        return self._render(self.originals_NCHW, self.original, photos_B, framed_B)

    def _render(self, reductions_NCHW, photo, photos_B: np.ndarray, states_B: np.ndarray) -> np.ndarray:
        rendered = np.empty((len(photos_B), 3, self.size, self.size), np.uint8)
        whole_B = np.ones(len(photos_B), bool)
        if self.space.photographic:
            whole_B = ~photographic.is_pointwise(states_B)
            small_B = ~whole_B
            rendered[small_B] = photographic.render_reductions(reductions_NCHW[photos_B[small_B]], states_B[small_B])
        for k in np.flatnonzero(whole_B):
            edited_HWC = self.space.edit(photo(int(photos_B[k])), int(states_B[k]))
            rendered[k] = reduce_image(edited_HWC, self.size)[..., ::-1].transpose(2, 0, 1)
        return rendered


def edit_observations(pixels_BCHW: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """What edits make of observations, one by one, by what they do to any photo: uint8 RGB `(B, 3, S, S)`, new."""
    edited_BCHW = pixels_BCHW.copy()
    for k, name in enumerate(names):
        if name != STOP:
            photo_HWC = np.ascontiguousarray(pixels_BCHW[k, ::-1].transpose(1, 2, 0))
            # Crops are smaller than what they were made from.
            photo_HWC = reduce_image(TRANSFORMS[name](photo_HWC), pixels_BCHW.shape[-1])
            edited_BCHW[k] = photo_HWC[..., ::-1].transpose(2, 0, 1)
    return edited_BCHW
