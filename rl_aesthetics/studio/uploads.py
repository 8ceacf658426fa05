"""An uploaded photo on disk: refused from its header if it is too large, decoded when it is needed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from rl_aesthetics.enhance.enhance import reduction_of
from rl_aesthetics.photos.formats import PhotoError, PhotoTooLarge, looks_like_photo
from rl_aesthetics.photos.metadata import PhotoHeader, read_exif, read_header
from rl_aesthetics.photos.read import read_photo_file
from rl_aesthetics.photos.resize import crop_even, eight_bits, fitted_sides, resize_to

DISPLAY_SIDE = 1600
"""Longer side of what is shown on the page; decisions and downloads come from every pixel of the original."""


def check_photo(path: Path, name: str, max_pixels: int) -> tuple[int, int]:
    """Look at a photo's header, before anything is decoded.

    Args:
        name: what its owner calls it, for the error.
        max_pixels: more are refused.

    Returns:
        Width and height.

    Raises:
        PhotoError: it is no photo by its content, or has too few or too many pixels.
    """
    if not looks_like_photo(path):
        raise PhotoError(name, "not a JPEG, PNG, WebP, TIFF or BMP image, whatever its name says; choose a photo")
    try:
        header = read_header(path)
    except PhotoTooLarge:
        raise PhotoError(name, f"too large: at most {max_pixels // 1_000_000} megapixels are taken") from None
    except PhotoError as error:
        raise PhotoError(name, "its header is broken or cut off; export or upload it again") from error
    width, height = header.width, header.height
    if width * height > max_pixels:
        raise PhotoError(
            name, f"too large: {width:,} × {height:,} pixels; at most {max_pixels // 1_000_000} megapixels are taken"
        )
    if min(width, height) < 2:
        raise PhotoError(name, f"{width} × {height} pixels are too few to edit")
    return width, height


class Upload:
    """A checked photo, whose pixels are decoded when asked for.

    Args:
        path: the file as it was uploaded; never served as it is.
        name: what its owner calls it.
    """

    def __init__(self, path: Path, name: str):
        self.path, self.name = path, name
        self._reductions: dict[tuple[int, bool], np.ndarray] = {}
        self._display: np.ndarray | None = None
        self._lock = threading.Lock()
        self.width = self.height = 0

    @cached_property
    def header(self) -> PhotoHeader:
        """What the file says besides its pixels."""
        return read_header(self.path)

    def exif(self) -> bytes:
        """Its EXIF block, with the orientation set to upright; empty if there is none."""
        return read_exif(self.path).block

    def pixels(self) -> np.ndarray:
        """Every pixel, uint8 or uint16 BGR `(H, W, 3)`, upright.

        Raises:
            PhotoError: it cannot be decoded, such as when its end is missing.
        """
        try:
            return read_photo_file(self.path).pixels_HWC
        except PhotoError as error:
            raise PhotoError(self.name, error.reason) from error

    def load(self, sizes: Sequence[int], even: bool = True) -> None:
        """Decode once and keep what the page and the agent need, in 8 bits: the display copy and the square reductions.

        Args:
            sizes: of the reductions.
            even: reduce the photo without the last row or column of an odd side, as half shifts need it.

        Raises:
            PhotoError: as `pixels`.
        """
        with self._lock:
            missing = [size for size in sizes if (size, even) not in self._reductions]
            if self._display is not None and not missing:
                return
            whole = eight_bits(self.pixels())
            self.height, self.width = whole.shape[:2]
            cut = crop_even(whole)
            for size in missing:
                self._reductions[size, even] = reduction_of(cut if even else whole, size)
            rows, columns = fitted_sides(cut.shape[0], cut.shape[1], DISPLAY_SIDE)
            self._display = resize_to(cut, max(2, rows // 2 * 2), max(2, columns // 2 * 2))

    def reduction(self, size: int, even: bool = True) -> np.ndarray:
        """uint8 RGB `(3, size, size)` of the whole photo; `load` it first, with the same arguments."""
        return self._reductions[size, even]

    @property
    def display_HWC(self) -> np.ndarray:
        """uint8 BGR of at most `DISPLAY_SIDE`, with even sides; `load` it first."""
        if self._display is None:
            raise RuntimeError("load the photo first")
        return self._display
