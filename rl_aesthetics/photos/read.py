"""Reading one photo from a file: any sensible file becomes upright BGR pixels, any other says why it does not.

Pillow decodes 8 bits. It has no 16-bit colour, so there OpenCV decodes.
"""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageOps

from rl_aesthetics.photos.formats import FORMATS, PhotoError, reasons
from rl_aesthetics.photos.metadata import check_size, read_exif, read_header
from rl_aesthetics.photos.resize import crop_even, fit_within, fitted_sides

MIN_SIDE = 64
"""A photo whose shorter side is smaller than the observation has less to show than the agent can see."""

_TINT = 8
_TINTED_SHARE = 1e-3

_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "TIFF": ".tif"}


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
    """Read a photo at its full depth, the right way up, with EXIF block and colour profile.

    Raises:
        PhotoError: as `read_photo`.
    """
    path = Path(path)
    header, exif = read_header(path), read_exif(path)
    pixels_HWC = _read_deep(path, exif.orientation) if header.deep else read_photo(path)
    return PhotoFile(pixels_HWC, header.kind, exif.block, header.icc_profile)


def read_photo(path: str | Path, at_least: int | None = None) -> np.ndarray:
    """Read a photo as it should be looked at, in 8 bits.

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
    with reasons(path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS decides
            image = Image.open(path, formats=FORMATS)
        with image:
            width, height = image.size
            check_size(path, width, height)
            if at_least is not None:
                scale = at_least / max(width, height)
                image.draft(None, (math.ceil(width * scale), math.ceil(height * scale)))
            image.load()
            # Pillow turns the pixels and drops the orientation tag; a broken EXIF block raises here.
            rgb = to_rgb(path, ImageOps.exif_transpose(image))
    return np.ascontiguousarray(np.asarray(rgb)[..., ::-1])


def _read_deep(path: Path, orientation: int) -> np.ndarray:
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype != np.uint16:
        raise PhotoError(path, "unreadable or truncated (16 bits a channel)")
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    if image.shape[2] == 4:
        opaque = image[..., 3:].astype(np.float32) / 65535
        image = np.rint(image[..., :3] * opaque + 65535 * (1 - opaque)).astype(np.uint16)
    return np.ascontiguousarray(_upright(image, orientation))


def _upright(image_HWC: np.ndarray, orientation: int) -> np.ndarray:
    """What EXIF's orientations ask of whoever shows the pixels."""
    if orientation > 4:
        image_HWC = image_HWC.transpose(1, 0, 2)
    rows = slice(None, None, -1) if orientation in (3, 4, 7, 8) else slice(None)
    columns = slice(None, None, -1) if orientation in (2, 3, 6, 7) else slice(None)
    return image_HWC[rows, columns]


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
            managed = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            managed = None  # a broken profile says nothing about the pixels
        return image.convert("RGB") if managed is None else managed
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
    rows, columns = fitted_sides(height, width, max_size)
    if min(height, width) < MIN_SIDE:
        raise PhotoError(path, f"too small: {width}×{height} pixels, the shorter side needs {MIN_SIDE}")
    if min(rows, columns) < MIN_SIDE:
        raise PhotoError(path, f"too narrow: {columns}×{rows} at the dataset's size, {MIN_SIDE} is the least")
    photo_HWC = fit_within(photo_HWC, max_size)
    if is_grey(photo_HWC):
        raise PhotoError(path, "grey only: edits of its colours would change nothing")
    return crop_even(photo_HWC)


def is_grey(photo_HWC: np.ndarray) -> bool:
    """Whether a photo has no colour to speak of: fewer than 1 in 1,000 pixels whose channels differ by more than 8.

    Swapping its channels would leave it as it is, so what was done to it could not be told; JPEG noise is within 8.
    """
    spread = photo_HWC.max(axis=2) - photo_HWC.min(axis=2)
    return float((spread > _TINT).mean()) < _TINTED_SHARE
