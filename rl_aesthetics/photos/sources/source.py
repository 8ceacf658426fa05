"""What a source of photos is: a list of photos that can be read, and a list of files that cannot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Photo:
    """One photo, or one tile of a photo, not yet read.

    Attributes:
        path: the file to read, on this machine.
        name: identifies it within its source, on every machine: a relative path, with a media fragment
            (`#xywh=left,top,width,height`) for a tile.
        group: the photo that it is part of, or shows again; a group never spans two splits.
        box: `(left, top, width, height)` of a tile in pixels, after EXIF orientation; None for the whole photo.
    """

    path: Path
    name: str
    group: str
    box: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class Skipped:
    """A file that was not used.

    Attributes:
        file: relative to the source.
        reason: a phrase, e.g. `grey only`.
    """

    file: str
    reason: str


@dataclass(frozen=True)
class PhotoSource:
    """Photos in a fixed order.

    Attributes:
        name: of the source, for people; never a path of this machine.
        photos: sorted by name.
        skipped: files that were seen to be unusable without decoding them.
    """

    name: str
    photos: tuple[Photo, ...]
    skipped: tuple[Skipped, ...] = ()
