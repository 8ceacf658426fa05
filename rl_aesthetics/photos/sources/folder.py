"""A folder of one's own photos."""

from __future__ import annotations

import os
from pathlib import Path

from rl_aesthetics.errors import UserError
from rl_aesthetics.photos.formats import SUFFIXES, PhotoError, looks_like_photo
from rl_aesthetics.photos.sources.source import Photo, PhotoSource, Skipped


def open_folder(folder: str | Path, name: str | None = None) -> PhotoSource:
    """List the photos of a folder and of all folders in it, sorted by relative path.

    A file counts as a photo by its first bytes. What only has the name of one is listed as skipped; hidden files and
    files of other kinds are passed over. Folders that are links are not entered, so that loops cannot happen.

    Args:
        name: of the source; the folder's own name if left out.

    Raises:
        UserError: there is no such folder, it cannot be read, or it holds no photo.
    """
    folder = Path(folder)
    if folder.is_file():
        raise UserError(f"{folder} is a file; give the folder of photos that it is in")
    if not folder.is_dir():
        raise UserError(f"no folder of photos at {folder}")
    photos, skipped = [], []

    def unreadable(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise UserError(f"{folder} cannot be read: {error.strerror}") from error
        skipped.append(Skipped(_relative(error.filename, folder), f"folder cannot be read ({error.strerror})"))

    for where, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for file in files:
            path = Path(where, file)
            if file.startswith("."):
                continue
            relative = _relative(path, folder)
            try:
                if looks_like_photo(path):
                    photos.append(Photo(path, relative, relative))
                elif path.suffix.lower() in SUFFIXES:
                    skipped.append(Skipped(relative, "not a JPEG, PNG, WebP, TIFF or BMP image"))
            except PhotoError as error:
                skipped.append(Skipped(relative, error.reason))
    if not photos:
        also = f"; {len(skipped)} files with a photo's name are none, e.g. {skipped[0].file}" if skipped else ""
        raise UserError(f"no photo in {folder} or its folders (JPEG, PNG, WebP, TIFF or BMP){also}")
    return PhotoSource(
        name or folder.resolve().name,
        tuple(sorted(photos, key=lambda photo: photo.name)),
        tuple(sorted(skipped, key=lambda file: file.file)),
    )


def _relative(path: str | Path, folder: Path) -> str:
    # Bytes that are no UTF-8 in a file's name would end up in JSON as lone surrogates, which many readers refuse.
    return Path(path).relative_to(folder).as_posix().encode("utf-8", "backslashreplace").decode("utf-8")
