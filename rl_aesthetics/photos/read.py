"""Reading one photo from a file: any sensible file becomes 8-bit BGR, any other says why it does not."""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageOps

from rl_aesthetics.errors import UserError

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")
SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".dib"))

MAX_PIXELS = 178_000_000
"""More pixels than this are refused from the header, before anything is decoded: 534 MB as RGB. The largest of today's
single-shot sensors that are in common use stay below it, and Pillow refuses at about the same size."""

MIN_SIDE = 64
"""A photo whose shorter side is smaller than the observation has less to show than the agent can see."""

_TINT = 8
_TINTED_SHARE = 1e-3


class PhotoError(UserError):
    """A photo cannot be used. Carries the `path` and the `reason`, a phrase without the path."""

    def __init__(self, path: str | Path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = Path(path), reason

    def __reduce__(self):  # exceptions are rebuilt from `args` by default, which holds the whole message
        return type(self), (self.path, self.reason)


def looks_like_photo(path: Path) -> bool:
    """Whether a file's first bytes are those of one of the `FORMATS`, whatever its name says.

    Raises:
        PhotoError: the file cannot be opened.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(12)
    except OSError as error:
        raise PhotoError(path, f"cannot be read ({error.strerror})") from error
    return head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"BM")) or (
        head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    )


def read_photo(path: str | Path, at_least: int | None = None) -> np.ndarray:
    """Read a photo as it should be looked at.

    The format is told by the content. EXIF orientation is applied; of several pages or frames the first is taken.
    16-bit values keep their upper eight bits, transparency is laid over white, palettes are looked up, and CMYK goes
    through its embedded colour profile to sRGB (without one, through the plain formula).

    Args:
        path: a JPEG, PNG, WebP, TIFF or BMP file.
        at_least: if given, a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, which is several times quicker, as
            long as its longer side stays at least this many pixels.

    Returns:
        uint8 `(H, W, 3)` BGR, contiguous.

    Raises:
        PhotoError: missing, not an image of these formats, truncated, more than `MAX_PIXELS` pixels (decided from the
            header, before decoding), or of a pixel type without a defined range.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS decides
            image = Image.open(path, formats=FORMATS)
        with image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise PhotoError(path, f"too large: {width}×{height} pixels, at most {MAX_PIXELS // 1_000_000} million")
            if at_least is not None:
                scale = at_least / max(width, height)
                image.draft(None, (math.ceil(width * scale), math.ceil(height * scale)))
            image.load()
            # Pillow turns the pixels and drops the orientation tag; a broken EXIF block raises here.
            rgb = to_rgb(path, ImageOps.exif_transpose(image))
    except PhotoError:
        raise
    except Image.UnidentifiedImageError as error:
        raise PhotoError(path, "not a JPEG, PNG, WebP, TIFF or BMP image") from error
    except Image.DecompressionBombError as error:
        raise PhotoError(path, f"too large: more than {MAX_PIXELS // 1_000_000} million pixels") from error
    except FileNotFoundError as error:
        raise PhotoError(path, "no such file") from error
    except IsADirectoryError as error:
        raise PhotoError(path, "a folder, not a photo") from error
    except Exception as error:  # decoders raise almost anything on hostile bytes; each is a reason, none a crash
        detail = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise PhotoError(path, f"unreadable or truncated ({' '.join(detail.split())})") from error
    return np.ascontiguousarray(np.asarray(rgb)[..., ::-1])


def to_rgb(path: str | Path, image: Image.Image) -> Image.Image:
    """Any mode to 8-bit RGB: 16 bits keep their upper half, transparency is laid on white.

    Args:
        path: named in the error.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise PhotoError(path, "32-bit pixels have no defined range; save it with 8 or 16 bits a channel")
    if image.mode == "CMYK" and (profile := image.info.get("icc_profile")):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            return image.convert("RGB")  # a broken profile says nothing about the pixels
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def prepare_photo(photo_HWC: np.ndarray, max_size: int, path: str | Path = "") -> np.ndarray:
    """Make a photo what a dataset holds: longer side at most `max_size`, even sides, never enlarged.

    Args:
        photo_HWC: uint8 `(H, W, 3)` BGR.
        path: for the error.

    Raises:
        PhotoError: it is too small, too narrow, or has no colour.
    """
    height, width = photo_HWC.shape[:2]
    scale = min(1.0, max_size / max(height, width))
    scaled = (max(1, round(width * scale)), max(1, round(height * scale)))
    if min(height, width) < MIN_SIDE:
        raise PhotoError(path, f"too small: {width}×{height} pixels, the shorter side needs {MIN_SIDE}")
    if min(scaled) < MIN_SIDE:
        raise PhotoError(path, f"too narrow: {scaled[0]}×{scaled[1]} at the dataset's size, {MIN_SIDE} is the least")
    if scaled != (width, height):
        photo_HWC = cv2.resize(photo_HWC, scaled, interpolation=cv2.INTER_AREA)
    if is_grey(photo_HWC):
        raise PhotoError(path, "grey only: edits of its colours would change nothing")
    # Half shifts of an odd side would not undo themselves: one row or column goes.
    return np.ascontiguousarray(photo_HWC[: scaled[1] // 2 * 2, : scaled[0] // 2 * 2])


def is_grey(photo_HWC: np.ndarray) -> bool:
    """Whether a photo has no colour to speak of: fewer than 1 in 1,000 pixels whose channels differ by more than 8.

    Swapping its channels would leave it as it is, so what was done to it could not be told; JPEG noise is within 8.
    """
    spread = photo_HWC.max(axis=2) - photo_HWC.min(axis=2)
    return float((spread > _TINT).mean()) < _TINTED_SHARE
