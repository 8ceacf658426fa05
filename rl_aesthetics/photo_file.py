"""A photo's file at its full depth: 8 and 16 bits in and out, with EXIF and colour profile, the right way up.

Pillow reads and writes 8 bits. It has no 16-bit colour, so there OpenCV decodes and encodes, and the metadata goes
along in PNG's own chunks; 16-bit TIFF is written by tifffile, with the profile and without EXIF.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from rl_aesthetics.errors import UserError
from rl_aesthetics.sources.photo import PhotoError, read_photo

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


def encode_photo(pixels_HWC: np.ndarray, suffix: str, exif: bytes = b"", icc_profile: bytes | None = None) -> bytes:
    """A file's bytes: `.png` and `.tif` lose nothing and keep the depth, `.jpg` has 8 bits and quality 95.

    Args:
        pixels_HWC: uint8 or uint16 BGR.

    Raises:
        UserError: the format is not known.
    """
    if suffix == ".jpeg":
        suffix = ".jpg"
    if suffix not in (".png", ".tif", ".tiff", ".jpg"):
        raise UserError(f"photos are written as .png, .tif or .jpg, not {suffix}")
    if pixels_HWC.dtype == np.uint16 and suffix == ".jpg":
        pixels_HWC = (pixels_HWC >> 8).astype(np.uint8)
    if pixels_HWC.dtype == np.uint16:
        return _deep_png(pixels_HWC, exif, icc_profile) if suffix == ".png" else _deep_tiff(pixels_HWC, icc_profile)
    image, encoded = Image.fromarray(np.ascontiguousarray(pixels_HWC[..., ::-1])), io.BytesIO()
    # 24 megapixels at PNG level 1, 3, 6: 17.1, 15.7, 13.5 MB in 2.8, 4.2, 11.8 s. JPEG would blur sharp edges of colour
    # if it halved the resolution of colour.
    options = {
        ".png": {"format": "PNG", "compress_level": 1},
        ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    }.get(suffix, {"format": "TIFF", "compression": "tiff_lzw"})
    if exif:
        options["exif"] = exif
    image.save(encoded, icc_profile=icc_profile, **options)
    return encoded.getvalue()


def _deep_png(pixels_HWC: np.ndarray, exif: bytes, icc_profile: bytes | None) -> bytes:
    # The lower byte of 16 bits is noise, in which zlib searches for repetitions in vain: without it 24 megapixels take
    # 1.8 in place of 5.5 s of CPU and as much space, within 5 %.
    quick = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB)
    quick += (cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
    encoded, data = cv2.imencode(".png", pixels_HWC, quick)
    if not encoded:
        raise RuntimeError("OpenCV could not encode a 16-bit PNG")
    png, chunks = data.tobytes(), b""
    if icc_profile:
        chunks += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc_profile))
    if exif:
        chunks += _chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))
    after_header = 8 + 25  # the signature and IHDR, which must come first
    return png[:after_header] + chunks + png[after_header:]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _deep_tiff(pixels_HWC: np.ndarray, icc_profile: bytes | None) -> bytes:
    import tifffile  # takes a while to load, and few photos need it

    encoded = io.BytesIO()
    rgb_HWC = np.ascontiguousarray(pixels_HWC[..., ::-1])
    tifffile.imwrite(encoded, rgb_HWC, photometric="rgb", iccprofile=icc_profile, metadata=None)
    return encoded.getvalue()
