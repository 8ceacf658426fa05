"""What somebody sees of photos under edits who looks at a few pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from rl_aesthetics.edits.edit_state import REFERENCE
from rl_aesthetics.edits.space import EditSpace, check_shows_edits
from rl_aesthetics.edits.transforms import STOP, TRANSFORMS
from rl_aesthetics.photos.resize import reduce_image


class Reductions(Protocol):
    """Photos reduced to squares: an array uint8 RGB `(N, 3, size, size)`, or what gives the rows of one when asked."""

    @property
    def shape(self) -> tuple[int, ...]:
        """`(N, 3, size, size)`."""
        ...

    def __getitem__(self, numbers_B: np.ndarray, /) -> np.ndarray:
        """uint8 RGB `(B, 3, size, size)`."""
        ...


Photo = Callable[[int], np.ndarray]
"""Gives photo i, uint8 BGR `(H, W, 3)`."""


class View:
    """What somebody who looks at `size` × `size` pixels sees of photos under edits.

    What a space can render on reductions of the photos is made there; otherwise the photo is edited and then reduced.

    Args:
        reductions_NCHW: of the unedited photos.
        photo: only used where the photo itself is edited.
        originals_NCHW, original: the same of what the photos should become, where that is something else.
        shows_edits: whether a fourth channel says which edits were made (`EditSpace.edits_plane`).

    Raises:
        UserError: `shows_edits` of edits that cannot be shown.
    """

    def __init__(
        self,
        space: EditSpace,
        reductions_NCHW: Reductions,
        photo: Photo,
        originals_NCHW: Reductions | None = None,
        original: Photo | None = None,
        shows_edits: bool = False,
    ):
        if shows_edits:
            check_shows_edits(space)
        self.shows_edits = shows_edits
        self.space, self.reductions_NCHW, self.photo = space, reductions_NCHW, photo
        self.originals_NCHW, self.original = originals_NCHW, original
        self.size = reductions_NCHW.shape[-1]

    def __call__(self, photos_B: np.ndarray, states_B: np.ndarray) -> np.ndarray:
        """uint8 RGB `(B, 3, size, size)` of the photos with these numbers in these states; 4 channels if it
        `shows_edits`."""
        images_BCHW = self._images(np.asarray(photos_B), np.asarray(states_B))
        if not self.shows_edits:
            return images_BCHW
        return np.concatenate([images_BCHW, self.space.edits_plane(states_B, self.size)], axis=1)

    def _images(self, photos_B: np.ndarray, states_B: np.ndarray) -> np.ndarray:
        if self.originals_NCHW is None:
            return self._render(self.reductions_NCHW, self.photo, photos_B, states_B)
        rendered = np.empty((len(photos_B), 3, self.size, self.size), np.uint8)
        reference_B = states_B == REFERENCE
        given_B = ~reference_B
        rendered[reference_B] = self.originals_NCHW[photos_B[reference_B]]
        rendered[given_B] = self._render(self.reductions_NCHW, self.photo, photos_B[given_B], states_B[given_B])
        return rendered

    def originals(self, photos_B: np.ndarray, states_B: np.ndarray) -> np.ndarray:
        """The originals in the framing of the states, uint8 RGB `(B, 3, size, size)`: what a result is compared with.

        A crop is not a fault that the original lacks, so the original is cropped too.
        """
        photos_B, states_B = np.asarray(photos_B), np.asarray(states_B)
        if self.originals_NCHW is None or self.original is None:
            return self.reductions_NCHW[photos_B]
        return self._render(self.originals_NCHW, self.original, photos_B, self.space.framing(states_B))

    def _render(
        self, reductions_NCHW: Reductions, photo: Photo, photos_B: np.ndarray, states_B: np.ndarray
    ) -> np.ndarray:
        small_B = self.space.renders_reductions(states_B, self.size)
        if len(small_B) and small_B.all():
            return self.space.render_reductions(reductions_NCHW[photos_B], states_B)
        rendered = np.empty((len(photos_B), 3, self.size, self.size), np.uint8)
        if small_B.any():
            rendered[small_B] = self.space.render_reductions(reductions_NCHW[photos_B[small_B]], states_B[small_B])
        for k in np.flatnonzero(~small_B):
            edited_HWC = self.space.render(photo(int(photos_B[k])), int(states_B[k]))
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
