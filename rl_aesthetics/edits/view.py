"""What somebody sees of photos under edits who looks at a few pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rl_aesthetics.edits import algebra, photographic
from rl_aesthetics.edits.registry import STOP, TRANSFORMS
from rl_aesthetics.edits.space import EditSpace, check_shows_edits
from rl_aesthetics.photos.resize import reduce_image


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
