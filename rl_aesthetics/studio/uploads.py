"""An uploaded photo on disk: refused from its header if it is too large, decoded when it is needed."""

from __future__ import annotations

import io
import threading
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from rl_aesthetics.photos.formats import FORMATS, PhotoError, looks_like_photo
from rl_aesthetics.photos.read import read_photo
from rl_aesthetics.photos.resize import reduce_image

DISPLAY_SIDE = 1600
"""Longer side of what is shown on the page; decisions and downloads come from every pixel of the original."""


def check_photo(path: Path, name: str, max_pixels: int) -> tuple[int, int, bytes | None]:
    """Look at a photo's header, before anything is decoded.

    Args:
        name: what its owner calls it, for the error.
        max_pixels: more are refused.

    Returns:
        Width, height and the embedded colour profile.

    Raises:
        PhotoError: it is no photo by its content, or has too few or too many pixels.
    """
    if not looks_like_photo(path):
        raise PhotoError(name, "not a JPEG, PNG, WebP, TIFF or BMP image, whatever its name says; choose a photo")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # max_pixels decides
            image = Image.open(path, formats=FORMATS)
        with image:
            width, height = image.size
            profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA", "P") else None
    except Image.DecompressionBombError:
        raise PhotoError(name, f"too large: at most {max_pixels // 1_000_000} megapixels are taken") from None
    except Exception as error:  # header parsers raise almost anything on hostile bytes; each is a reason, none a crash
        raise PhotoError(name, "its header is broken or cut off; export or upload it again") from error
    if width * height > max_pixels:
        raise PhotoError(
            name, f"too large: {width:,} × {height:,} pixels; at most {max_pixels // 1_000_000} megapixels are taken"
        )
    if min(width, height) < 2:
        raise PhotoError(name, f"{width} × {height} pixels are too few to edit")
    return width, height, profile


class PhotoFile:
    """A checked photo, whose pixels are decoded when asked for.

    Args:
        path: the file as it was uploaded; never served as it is.
        name: what its owner calls it.
        profile: its colour profile, which goes along with every copy.
    """

    def __init__(self, path: Path, name: str, profile: bytes | None = None):
        self.path, self.name, self.profile = path, name, profile
        self._reductions: dict[tuple[int, bool], np.ndarray] = {}
        self._display: np.ndarray | None = None
        self._lock = threading.Lock()
        self.width = self.height = 0

    def pixels(self) -> np.ndarray:
        """Every pixel, uint8 BGR `(H, W, 3)`, upright.

        Raises:
            PhotoError: it cannot be decoded, such as when its end is missing.
        """
        try:
            return read_photo(self.path)
        except PhotoError as error:
            raise PhotoError(self.name, error.reason) from error

    def even_pixels(self) -> np.ndarray:
        """`pixels` without the last row or column of an odd side, as half shifts need it."""
        photo_HWC = self.pixels()
        height, width = photo_HWC.shape[:2]
        return np.ascontiguousarray(photo_HWC[: height // 2 * 2, : width // 2 * 2])

    def load(self, sizes: tuple[int, ...], even: bool = True) -> None:
        """Decode once and keep what the page and the agent need: the display copy and the square reductions.

        Args:
            sizes: of the reductions.
            even: reduce `even_pixels` rather than `pixels`.

        Raises:
            PhotoError: as `pixels`.
        """
        with self._lock:
            missing = [size for size in sizes if (size, even) not in self._reductions]
            if self._display is not None and not missing:
                return
            whole = self.pixels()
            self.height, self.width = whole.shape[:2]
            cut = np.ascontiguousarray(whole[: self.height // 2 * 2, : self.width // 2 * 2])
            for size in missing:
                reduced = reduce_image(cut if even else whole, size)
                self._reductions[size, even] = np.ascontiguousarray(reduced[..., ::-1].transpose(2, 0, 1))
            scale = min(1.0, DISPLAY_SIDE / max(cut.shape[:2]))
            sides = [max(2, round(side * scale) // 2 * 2) for side in (cut.shape[1], cut.shape[0])]
            self._display = cut if scale == 1.0 else cv2.resize(cut, sides, interpolation=cv2.INTER_AREA)

    def reduction(self, size: int, even: bool = True) -> np.ndarray:
        """uint8 RGB `(3, size, size)` of the whole photo; `load` it first, with the same arguments."""
        return self._reductions[size, even]

    @property
    def display_HWC(self) -> np.ndarray:
        """uint8 BGR of at most `DISPLAY_SIDE`, with even sides; `load` it first."""
        if self._display is None:
            raise RuntimeError("load the photo first")
        return self._display


def encode(photo_HWC: np.ndarray, kind: str, profile: bytes | None = None, side: int | None = None) -> bytes:
    """A photo as a file, without any of the metadata that came with it except the colour profile.

    Args:
        photo_HWC: uint8 BGR.
        kind: `png` (lossless), `jpeg` (quality 95, full colour resolution) or `webp` (for the page).
        side: reduce the longer side to this first.
    """
    if side is not None and max(photo_HWC.shape[:2]) > side:
        scale = side / max(photo_HWC.shape[:2])
        sides = [max(1, round(length * scale)) for length in (photo_HWC.shape[1], photo_HWC.shape[0])]
        photo_HWC = cv2.resize(photo_HWC, sides, interpolation=cv2.INTER_AREA)
    options = {
        "png": {"compress_level": 1},  # level 6 takes four times as long for a fifth less, see `enhance`
        "jpeg": {"quality": 95, "subsampling": 0},
        "webp": {"quality": 86, "method": 1},  # method 4, the default, takes twice as long for 5 % less
    }[kind]
    file = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(photo_HWC[..., ::-1]))
    image.save(file, kind.upper(), icc_profile=profile, **options)
    return file.getvalue()
