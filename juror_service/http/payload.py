"""From what came over the wire to pixels, with every limit decided before anything is decoded or decompressed."""

from __future__ import annotations

import base64
import binascii
import io
import math
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from rl_aesthetics.errors import UserError
from rl_aesthetics.photos.formats import FORMATS
from rl_aesthetics.photos.read import to_rgb
from rl_aesthetics.photos.resize import reduce_image

_MAX_HEADER = 1000
"""Bytes of an npy header; numpy's own for a plain array takes 118."""


class PayloadError(Exception):
    """Something sent cannot be scored. The message is one line for the sender.

    Attributes:
        status: the HTTP status that says so: 400 not what it claims to be, 413 too large, 422 not an image.
    """

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class PayloadLimits:
    """Limits of one request.

    Attributes:
        body_bytes: of the body as sent.
        pixels: of all its images together.
        images: in a batch.
    """

    body_bytes: int = 32 * 1024 * 1024
    pixels: int = 64_000_000
    images: int = 256


def image_from_base64(text: str, limits: PayloadLimits, size: int) -> np.ndarray:
    """An encoded photo (JPEG, PNG, WebP, TIFF or BMP file) to uint8 RGB `(size, size, 3)`; its orientation is honoured.

    Raises:
        PayloadError: 400 not base64 or no photo, 413 too many pixels, 422 a photo that has no 8-bit RGB form.
    """
    with _opened(text, limits) as image:
        return _decoded(image, size)


def images_from_base64(
    texts: Sequence[str], limits: PayloadLimits, size: int
) -> tuple[list[np.ndarray], dict[int, str]]:
    """Several encoded photos, of which some may be bad.

    Returns:
        uint8 RGB `(size, size, 3)` of the good ones in order, and position -> reason for the bad ones.

    Raises:
        PayloadError: 413 too many images, or too many pixels together; decided before any is decoded.
    """
    if len(texts) > limits.images:
        raise PayloadError(413, f"{len(texts)} images, at most {limits.images} are taken")
    opened: dict[int, Image.Image] = {}
    refused: dict[int, str] = {}
    for position, text in enumerate(texts):
        try:
            opened[position] = _opened(text, limits)
        except PayloadError as error:
            refused[position] = str(error)
    pixels = sum(image.width * image.height for image in opened.values())
    if pixels > limits.pixels:
        raise PayloadError(413, f"the images have {pixels} pixels together, at most {limits.pixels} are taken")
    images = []
    for position, image in opened.items():
        try:
            with image:
                images.append(_decoded(image, size))
        except PayloadError as error:
            refused[position] = str(error)
    return images, refused


def _opened(text: str, limits: PayloadLimits) -> Image.Image:
    """A photo of which only the header was read."""
    try:
        encoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PayloadError(400, f"b64 is not base64: {error}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the limit below decides, and hostile metadata is no news
            image = Image.open(io.BytesIO(encoded), formats=FORMATS)
    except Image.UnidentifiedImageError as error:
        raise PayloadError(400, "not a JPEG, PNG, WebP, TIFF or BMP image") from error
    except Image.DecompressionBombError as error:
        raise PayloadError(413, f"the image has too many pixels, at most {limits.pixels} are taken") from error
    except Exception as error:  # decoders raise almost anything on hostile bytes
        raise PayloadError(400, f"the image is unreadable ({type(error).__name__})") from error
    if image.width * image.height > limits.pixels:
        raise PayloadError(413, f"the image has {image.width}×{image.height} pixels, at most {limits.pixels} are taken")
    return image


def _decoded(image: Image.Image, size: int) -> np.ndarray:
    try:
        image.load()
        rgb = np.asarray(to_rgb("the image", ImageOps.exif_transpose(image)))
    except UserError as error:
        raise PayloadError(422, str(error)) from error
    except Exception as error:  # decoders raise almost anything on hostile bytes
        raise PayloadError(400, f"the image is unreadable or truncated ({type(error).__name__})") from error
    return np.ascontiguousarray(reduce_image(rgb, size))


def image_from_array(content: bytes, limits: PayloadLimits, size: int) -> np.ndarray:
    """An npy file, or the one array of an npz file, with RGB `(H, W, 3)` uint8 to `(size, size, 3)`.

    Raises:
        PayloadError: 400 no such file or cut off, 413 too large, 422 another shape or type.
    """
    if content[:2] == b"PK":
        content = _only_member(content, limits)
    return np.ascontiguousarray(reduce_image(_array(content, limits, dimensions=3), size))


def images_from_array(content: bytes, limits: PayloadLimits, size: int) -> np.ndarray:
    """An npy file with RGB `(B, H, W, 3)` uint8 to `(B, size, size, 3)`; not copied if it has that size.

    Raises:
        PayloadError: as `image_from_array`; 413 also for too many images.
    """
    images_BHWC = _array(content, limits, dimensions=4)
    if images_BHWC.shape[1:3] == (size, size):
        return images_BHWC
    return np.stack([reduce_image(image, size) for image in images_BHWC])


def _array(content: bytes, limits: PayloadLimits, dimensions: int) -> np.ndarray:
    """The array of an npy file, read-only, if it is uint8 with that many dimensions and three channels last."""
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version} of the npy format")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran_order, dtype = read(file, max_header_size=_MAX_HEADER)
    except Exception as error:  # numpy parses the header as Python source, which can fail in many ways
        raise PayloadError(400, f"not a readable npy file ({type(error).__name__})") from error
    wanted = "(H, W, 3)" if dimensions == 3 else "(B, H, W, 3)"
    if dtype != np.uint8 or len(shape) != dimensions or shape[-1] != 3 or min(shape) < 1:
        raise PayloadError(422, f"needs uint8 {wanted} RGB without an empty side, got {dtype} {shape}")
    if math.prod(shape[:-1]) > limits.pixels:
        raise PayloadError(413, f"the array has {math.prod(shape[:-1])} pixels, at most {limits.pixels} are taken")
    if dimensions == 4 and shape[0] > limits.images:
        raise PayloadError(413, f"{shape[0]} images, at most {limits.images} are taken")
    pixels = np.frombuffer(content, np.uint8, offset=file.tell())
    if pixels.size != math.prod(shape):
        raise PayloadError(400, f"the npy file holds {pixels.size} bytes of pixels, its header says {math.prod(shape)}")
    return pixels.reshape(shape, order="F" if fortran_order else "C")


def _only_member(content: bytes, limits: PayloadLimits) -> bytes:
    """What is in an npz file of one array; its size is read from the directory before anything is inflated."""
    most = 3 * limits.pixels + _MAX_HEADER
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if len(members) != 1:
                raise PayloadError(422, f"the npz file holds {len(members)} arrays, needs exactly one")
            if members[0].file_size > most:
                raise PayloadError(413, f"the npz file inflates to {members[0].file_size} bytes, at most {most}")
            with archive.open(members[0]) as member:
                inflated = member.read(most + 1)  # the directory may lie
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError, NotImplementedError) as error:
        raise PayloadError(400, f"not a readable npz file ({type(error).__name__})") from error
    if len(inflated) > most:
        raise PayloadError(413, f"the npz file inflates to more than {most} bytes")
    return inflated
