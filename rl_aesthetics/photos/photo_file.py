"""A photo's file at its full depth: 8 and 16 bits in and out, with EXIF and colour profile, the right way up.

Pillow reads and writes 8 bits. It has no 16-bit colour, so there OpenCV decodes and encodes, and the metadata goes
along in PNG's own chunks; 16-bit TIFF is written by tifffile, with the profile and without EXIF.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from rl_aesthetics.photos.read import PhotoError, read_photo

_ORIENTATION = 0x0112
_BITS_PER_SAMPLE = 258
_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "TIFF": ".tif"}

_UPRIGHT = {
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: image.transpose(1, 0, 2)[:, ::-1],
    7: lambda image: image.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda image: image.transpose(1, 0, 2)[::-1],
}
"""What EXIF's orientations ask of whoever shows the pixels."""


@dataclass(frozen=True)
class PhotoFile:
    """A photo as it should be looked at, and what its file says besides.

    Attributes:
        pixels_HWC: uint8 or uint16 BGR `(H, W, 3)`.
        kind: Pillow's name of its format, such as `JPEG`.
        exif: its EXIF block, with the orientation set to upright; empty if there is none.
        icc_profile: its colour profile, where it belongs to these pixels.
    """

    pixels_HWC: np.ndarray
    kind: str
    exif: bytes = b""
    icc_profile: bytes | None = None

    @property
    def suffix(self) -> str:
        """Of a file of the same kind and depth; PNG for kinds that are only read."""
        return _SUFFIXES.get(self.kind, ".png")


def read_photo_file(path: str | Path) -> PhotoFile:
    """Read a photo at its full depth.

    Raises:
        PhotoError: as `sources.photo.read_photo`.
    """
    path = Path(path)
    kind, deep, orientation, exif, profile = _header(path)
    return PhotoFile(_read_deep(path, orientation) if deep else read_photo(path), kind, exif, profile)


def read_metadata(path: str | Path) -> tuple[bytes, bytes | None]:
    """EXIF block, orientation set to upright, and colour profile of a photo, without its pixels.

    Raises:
        PhotoError: as `read_photo_file`.
    """
    _, _, _, exif, profile = _header(Path(path))
    return exif, profile


def _header(path: Path) -> tuple[str, bool, int, bytes, bytes | None]:
    """(kind, 16 bits, orientation, EXIF block, colour profile)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `read_photo` refuses what is too large
            with Image.open(path) as image:
                kind, profile, exif = image.format or "", image.info.get("icc_profile"), image.getexif()
                deep, orientation = _is_deep(path, image), int(exif.get(_ORIENTATION, 1))
                # Grey and CMYK pixels become RGB, and their profiles would say something else about them.
                profile = profile if image.mode in ("RGB", "RGBA", "P") else None
                if orientation != 1:
                    exif[_ORIENTATION] = 1
                return kind, deep, orientation, exif.tobytes() if len(exif) else b"", profile
    except Exception as error:  # Pillow raises almost anything on a damaged header; reading the pixels names the reason
        read_photo(path)
        raise PhotoError(path, f"unreadable metadata ({' '.join(str(error).split())})") from error


def _is_deep(path: Path, image: Image.Image) -> bool:
    if image.format == "PNG":
        with open(path, "rb") as file:
            return file.read(25)[24:] == b"\x10"  # IHDR's bit depth
    return image.format == "TIFF" and 16 in image.tag_v2.get(_BITS_PER_SAMPLE, ())


def _read_deep(path: Path, orientation: int) -> np.ndarray:
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype != np.uint16:
        raise PhotoError(path, "unreadable or truncated (16 bits a channel)")
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    if image.shape[2] == 4:
        opaque = image[..., 3:].astype(np.float32) / 65535
        image = np.rint(image[..., :3] * opaque + 65535 * (1 - opaque)).astype(np.uint16)
    return np.ascontiguousarray(_UPRIGHT.get(orientation, lambda pixels: pixels)(image))
