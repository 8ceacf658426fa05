"""Unpack an archive of photos: nothing lands outside its folder, and nothing half unpacked is taken for whole."""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from rl_aesthetics.errors import Progress, UserError

_BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError),
    *(RuntimeError, NotImplementedError),  # zipfile's words for encryption and for unknown compression
)


def extract(archive: Path, kind: str, target: Path, progress: Progress | None = None) -> Path:
    """Unpack `archive` into the folder `target`, which appears, by rename, once everything is in it.

    Archives are refused as a whole if they hold absolute paths, paths that climb out with `..`, links, devices, or more
    than fits on the disk. Photo archives need none of these.

    Args:
        kind: `zip` or `tar` (compressed or not).

    Raises:
        UserError: the archive is broken or refused; nothing is left behind.
    """
    if target.exists():
        return target
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    partial.mkdir(parents=True)
    try:
        {"zip": _unzip, "tar": _untar}[kind](archive, partial, progress)
        partial.rename(target)
    except _BROKEN as error:
        raise UserError(f"{archive.name} cannot be unpacked: {' '.join(str(error).split())}") from error
    except OSError as error:
        raise UserError(f"{archive.name} cannot be unpacked to {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _unzip(archive: Path, folder: Path, progress: Progress | None) -> None:
    with zipfile.ZipFile(archive) as file:
        members = file.infolist()
        for member in members:
            _refuse_path(archive, member.filename)
            mode = member.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise UserError(f"{archive.name} is refused: {member.filename!r} is a link or a device, not a file")
        _check_space(archive, folder, sum(member.file_size for member in members))
        for number, member in enumerate(members, 1):
            file.extract(member, folder)
            if progress:
                progress("unpacking", number, len(members))


def _untar(archive: Path, folder: Path, progress: Progress | None) -> None:
    if not hasattr(tarfile, "data_filter"):
        raise UserError("this Python unpacks tar archives unsafely; update it (3.10.12, 3.11.4 or newer)")
    with tarfile.open(archive) as file:
        members = file.getmembers()
        _check_space(archive, folder, sum(member.size for member in members))
        for number, member in enumerate(members, 1):
            _refuse_path(archive, member.name)
            if not (member.isreg() or member.isdir()):
                raise UserError(f"{archive.name} is refused: {member.name!r} is a link or a device, not a file")
            file.extract(member, folder, filter="data")
            if progress:
                progress("unpacking", number, len(members))


def _refuse_path(archive: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise UserError(f"{archive.name} is refused: {name!r} would be written outside its folder")


def _check_space(archive: Path, folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise UserError(
            f"{archive.name} unpacks to {size / 1e9:.1f} GB, but {folder.parent} has {free / 1e9:.1f} GB free"
        )
