"""What a transform is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Transform:
    """A named, pure edit.

    Attributes:
        name: canonical snake-case name.
        function: uint8 `(..., H, W, 3)` BGR to a new array of the same dtype, and shape but for crops; leading axes are
            a batch.
        aliases: the guide's class name and the predecessor's label.
        title: what it does, for people.
        element: for the reversible edits, their element of the group in `algebra`; None for the others.
        change: for the photographic edits, what they do to the parameter vector (`Change`); else None.
        keeps_size: whether the result is as large as the image; only crops are smaller.
    """

    name: str
    function: Callable[[np.ndarray], np.ndarray]
    aliases: tuple[str, ...]
    title: str
    element: int | None = None
    change: Change | None = None
    keeps_size: bool = True

    def __call__(self, images_BGR: np.ndarray) -> np.ndarray:
        """Apply the edit to one image `(H, W, 3)` or a batch `(B, H, W, 3)`, uint8 BGR.

        Raises:
            ValueError: wrong dtype or shape, or a half shift of an odd-sized image.
        """
        if images_BGR.dtype != np.uint8 or images_BGR.ndim < 3 or images_BGR.shape[-1] != 3:
            raise ValueError(f"{self.name} needs uint8 (..., H, W, 3), got {images_BGR.dtype} {images_BGR.shape}")
        return self.function(images_BGR)


ADD, TURN, CHOOSE = range(3)
"""What an edit does to its field: add within the bounds; the other one of 0 and 1; take a value."""


@dataclass(frozen=True)
class Change:
    """What an edit does to the state.

    Attributes:
        field: index into `edit_state.FIELDS`.
        kind: `ADD`, `TURN` or `CHOOSE`.
        amount: what is added, or the value taken.
    """

    field: int
    kind: int
    amount: int
