"""Photos as files, of 8 or 16 bits, with what came along with them."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
from PIL import Image

from rl_aesthetics.errors import UserError
from rl_aesthetics.photos.resize import eight_bits


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
    if suffix == ".jpg":
        pixels_HWC = eight_bits(pixels_HWC)
    if pixels_HWC.dtype == np.uint16:
        return _deep_png(pixels_HWC, exif, icc_profile) if suffix == ".png" else _deep_tiff(pixels_HWC, icc_profile)
    image, encoded = Image.fromarray(np.ascontiguousarray(pixels_HWC[..., ::-1])), io.BytesIO()
    # 24 megapixels at PNG level 1, 3, 6: 17.1, 15.7, 13.5 MB in 2.8, 4.2, 11.8 s. JPEG would blur sharp edges of colour
    # if it halved the resolution of colour.
    options: dict[str, Any] = {
        ".png": {"format": "PNG", "compress_level": 1},
        ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    }.get(suffix, {"format": "TIFF", "compression": "tiff_lzw"})
    if exif:
        options["exif"] = exif
    image.save(encoded, icc_profile=icc_profile, **options)
    return encoded.getvalue()


def encode_webp(pixels_HWC: np.ndarray, icc_profile: bytes | None = None, quality: int = 86, method: int = 1) -> bytes:
    """A copy for a page, with 8 bits and no metadata but the colour profile.

    Args:
        pixels_HWC: uint8 or uint16 BGR.
        method: of compression, 0 quick to 6 small; 4, Pillow's own, takes twice as long as 1 for 5 % less.
    """
    image, encoded = Image.fromarray(np.ascontiguousarray(eight_bits(pixels_HWC)[..., ::-1])), io.BytesIO()
    image.save(encoded, "WEBP", quality=quality, method=method, icc_profile=icc_profile)
    return encoded.getvalue()


def _deep_png(pixels_HWC: np.ndarray, exif: bytes, icc_profile: bytes | None) -> bytes:
    # The lower byte of 16 bits is noise, in which zlib searches for repetitions in vain: without it 24 megapixels take
    # 1.8 in place of 5.5 s of CPU and as much space, within 5 %.
    quick: tuple[int, ...] = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB)
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
