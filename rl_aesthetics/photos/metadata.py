"""What a photo's file says besides its pixels: format, size, depth, EXIF block, colour profile."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from rl_aesthetics.photos.formats import FORMATS, MAX_PIXELS, PhotoTooLarge, reasons

_ORIENTATION = 0x0112
_BITS_PER_SAMPLE = 258


@dataclass(frozen=True)
class PhotoHeader:
    """A photo's header, read without decoding a pixel.

    Attributes:
        kind: Pillow's name of the format, one of `FORMATS`.
        width, height: as the pixels are stored, before the orientation is applied.
        deep: whether its channels have 16 bits.
        icc_profile: its colour profile, where it belongs to its RGB pixels.
    """

    kind: str
    width: int
    height: int
    deep: bool
    icc_profile: bytes | None


@dataclass(frozen=True)
class Exif:
    """A photo's EXIF block.

    Attributes:
        block: with the orientation set to upright; empty if there is none.
        orientation: as the file says, 1 to 8; 1 is upright.
    """

    block: bytes = b""
    orientation: int = 1


def read_header(path: str | Path) -> PhotoHeader:
    """Read a photo's header.

    Raises:
        PhotoError: missing, not an image of the `FORMATS`, broken, or of more than `MAX_PIXELS` pixels.
    """
    path = Path(path)
    with _opened(path) as image:
        # Grey and CMYK pixels become RGB, and their profiles would say something else about them.
        profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA", "P") else None
        return PhotoHeader(image.format or "", *image.size, _is_deep(path, image), profile)


def read_exif(path: str | Path) -> Exif:
    """Read a photo's EXIF block. A PNG is decoded for it, since there it may come after the pixels.

    Raises:
        PhotoError: as `read_header`, or cut off.
    """
    with _opened(Path(path)) as image:
        exif = image.getexif()
        orientation = int(exif.get(_ORIENTATION, 1))
        if orientation != 1:
            exif[_ORIENTATION] = 1
        return Exif(exif.tobytes() if len(exif) else b"", orientation)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    with reasons(path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS decides
            image = Image.open(path, formats=FORMATS)
        with image:
            check_size(path, *image.size)
            yield image


def check_size(path: str | Path, width: int, height: int) -> None:
    """Raise PhotoTooLarge if a photo has more than `MAX_PIXELS` pixels."""
    if width * height > MAX_PIXELS:
        raise PhotoTooLarge(path, f"too large: {width}×{height} pixels, at most {MAX_PIXELS // 1_000_000} million")


def _is_deep(path: Path, image: Image.Image) -> bool:
    if image.format == "PNG":
        with open(path, "rb") as file:
            return file.read(25)[24:] == b"\x10"  # IHDR's bit depth
    return image.format == "TIFF" and 16 in image.tag_v2.get(_BITS_PER_SAMPLE, ())  # type: ignore[attr-defined]
