"""What a transform is."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rl_aesthetics.transforms.photographic import Change


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
        change: for the photographic edits, what they do to the parameter vector (`photographic.Change`); else None.
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


def closest(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'swap_gb'?)` or nothing, to end an error about an unknown name."""
    match = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.5)
    return f" (did you mean {match[0]!r}?)" if match else ""
