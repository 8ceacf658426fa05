"""Which files are photos, and how one that is none, or is broken, says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from rl_aesthetics.errors import UserError

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")
SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".dib"))

MAX_PIXELS = 178_000_000
"""More pixels than this are refused from the header, before anything is decoded: 534 MB as RGB. The largest of today's
single-shot sensors that are in common use stay below it, and Pillow refuses at about the same size."""


class PhotoError(UserError):
    """A photo cannot be used. Carries the `path` and the `reason`, a phrase without the path."""

    def __init__(self, path: str | Path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = Path(path), reason

    def __reduce__(self) -> tuple[type[PhotoError], tuple[Path, str]]:
        # exceptions are rebuilt from `args` by default, which holds the whole message
        return type(self), (self.path, self.reason)


class PhotoTooLarge(PhotoError):
    """A photo has more pixels than are taken."""


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


@contextmanager
def reasons(path: str | Path) -> Iterator[None]:
    """Whatever a decoder raises on this file becomes a `PhotoError` with its reason."""
    try:
        yield
    except PhotoError:
        raise
    except UnidentifiedImageError as error:
        raise PhotoError(path, "not a JPEG, PNG, WebP, TIFF or BMP image") from error
    except Image.DecompressionBombError as error:
        raise PhotoTooLarge(path, f"too large: more than {MAX_PIXELS // 1_000_000} million pixels") from error
    except FileNotFoundError as error:
        raise PhotoError(path, "no such file") from error
    except IsADirectoryError as error:
        raise PhotoError(path, "a folder, not a photo") from error
    except Exception as error:  # decoders raise almost anything on hostile bytes; each is a reason, none a crash
        detail = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise PhotoError(path, f"unreadable or truncated ({' '.join(detail.split())})") from error
