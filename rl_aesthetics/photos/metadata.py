"""What a photo's file says besides its pixels: format, size, depth, EXIF block, colour profile."""

from __future__ import annotations

import warnings
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
        orientation: EXIF's, 1 to 8; 1 is upright.
        exif: its EXIF block, with the orientation set to upright; empty if there is none.
        icc_profile: its colour profile, where it belongs to its RGB pixels.
    """

    kind: str
    width: int
    height: int
    deep: bool
    orientation: int
    exif: bytes
    icc_profile: bytes | None


def read_header(path: str | Path) -> PhotoHeader:
    """Read a photo's header.

    Raises:
        PhotoError: missing, not an image of the `FORMATS`, broken, or of more than `MAX_PIXELS` pixels.
    """
    path = Path(path)
    with reasons(path), warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS decides
        with Image.open(path, formats=FORMATS) as image:
            check_size(path, *image.size)
            exif = image.getexif()
            orientation = int(exif.get(_ORIENTATION, 1))
            if orientation != 1:
                exif[_ORIENTATION] = 1
            return PhotoHeader(
                image.format or "",
                *image.size,
                deep=_is_deep(path, image),
                orientation=orientation,
                exif=exif.tobytes() if len(exif) else b"",
                # Grey and CMYK pixels become RGB, and their profiles would say something else about them.
                icc_profile=image.info.get("icc_profile") if image.mode in ("RGB", "RGBA", "P") else None,
            )


def check_size(path: str | Path, width: int, height: int) -> None:
    """Raise PhotoTooLarge if a photo has more than `MAX_PIXELS` pixels."""
    if width * height > MAX_PIXELS:
        raise PhotoTooLarge(path, f"too large: {width}×{height} pixels, at most {MAX_PIXELS // 1_000_000} million")


def _is_deep(path: Path, image: Image.Image) -> bool:
    if image.format == "PNG":
        with open(path, "rb") as file:
            return file.read(25)[24:] == b"\x10"  # IHDR's bit depth
    return image.format == "TIFF" and 16 in image.tag_v2.get(_BITS_PER_SAMPLE, ())  # type: ignore[attr-defined]
