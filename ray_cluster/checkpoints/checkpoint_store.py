"""Where checkpoints of a training lie: written beside and renamed, verified when read, the newest and the best kept.

    storage/step_000000012000/     one checkpoint, named after its environment steps
        learner.safetensors …      its parts, see `state_tree.py`
        manifest.json              format, and size and SHA-256 of every part; written last

The storage is a folder, or an address that `pyarrow.fs` understands (`s3://bucket/run`, `gs://bucket/run`). Object
stores cannot rename; there a checkpoint counts as written once it has its manifest.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyarrow import ArrowException, fs

from ray_cluster.checkpoints.state_tree import pack, unpack
from rl_aesthetics.errors import UserError
from rl_aesthetics.files.redaction import without_login

FORMAT = 1
"""Version of the checkpoints; a reader refuses the ones it does not know."""

MANIFEST, SUFFIX = "manifest.json", ".safetensors"
_NAME = re.compile(r"step_\d{12}")
_PART = re.compile(r"[a-z0-9_]+\.safetensors")

_log = logging.getLogger(__name__)


class DamagedCheckpoint(Exception):
    """A checkpoint that is cut short, altered or unreadable; the one before it may do."""


class CheckpointStore:
    """The checkpoints of one training.

    Args:
        storage: folder or URI; made when the first checkpoint is written.
        keep: how many of the newest to keep, besides the best.

    Raises:
        UserError: the address is of a kind that `pyarrow.fs` does not know.
    """

    def __init__(self, storage: Path | str, keep: int = 2):
        self.storage, self.keep = without_login(str(storage)), keep  # what is shown; the login may be a secret
        address = str(storage) if "://" in str(storage) else str(Path(storage).absolute())
        try:
            self._files, self._root = fs.FileSystem.from_uri(address)
        except (ArrowException, OSError, ValueError) as error:
            raise UserError(
                f"cannot use {self.storage} for checkpoints: {without_login(str(error).splitlines()[0])}"
            ) from None
        self._renames = isinstance(self._files, fs.LocalFileSystem)

    def names(self) -> list[str]:
        """Names of the complete checkpoints, oldest first. What a crash left unfinished is not among them."""
        # Google's client lists a folder only where somebody made a marker for it, so what lies in folders is listed.
        selector = fs.FileSelector(self._root, allow_not_found=True, recursive=True)
        files = [e.path for e in self._files.get_file_info(selector) if e.type is fs.FileType.File]
        written = [path.removeprefix(f"{self._root}/").removesuffix(f"/{MANIFEST}") for path in files]
        return sorted(name for name in written if _NAME.fullmatch(name))

    def write(self, env_steps: int, parts: dict[str, Any], best: int | None = None) -> str:
        """Write a checkpoint, then delete those that are neither among the newest nor the best.

        Args:
            env_steps: environment steps done, which name it.
            parts: its parts by name, each a tree that `state_tree.pack` takes.
            best: environment steps of the checkpoint to keep beside the newest.

        Returns:
            its name.

        Raises:
            OSError: the storage is full or away; the unfinished checkpoint is gone again, the others are there.
        """
        name = f"step_{env_steps:012d}"
        target = f"{self._root}/.{name}.partial" if self._renames else f"{self._root}/{name}"
        try:
            self._delete(target)
            self._files.create_dir(target, recursive=True)
            manifest: dict[str, Any] = {"format": FORMAT, "env_steps": env_steps, "parts": {}}
            for part, tree in parts.items():
                data = pack(tree)
                self._put(f"{target}/{part}{SUFFIX}", data)
                manifest["parts"][part + SUFFIX] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            self._put(f"{target}/{MANIFEST}", json.dumps(manifest, indent=1).encode())
            if self._renames:
                self._delete(f"{self._root}/{name}")  # one of an earlier try at the same step
                self._files.move(target, f"{self._root}/{name}")
        except (OSError, ArrowException) as error:  # Google's client has other errors, too
            self._delete(target)
            if isinstance(error, OSError):
                raise
            raise OSError(without_login(str(error))) from error
        kept = self.names()
        for old in kept[: -self.keep]:
            if best is None or old != f"step_{best:012d}":
                self._delete(f"{self._root}/{old}")
        return name

    def read(self, name: str) -> dict[str, Any]:
        """The parts of a checkpoint.

        Raises:
            DamagedCheckpoint: a part is missing, cut short or altered.
            UserError: it is of another format.
        """
        try:
            manifest = json.loads(self._get(f"{self._root}/{name}/{MANIFEST}"))
            version = manifest["format"]
            listed = {file: (entry["bytes"], entry["sha256"]) for file, entry in manifest.get("parts", {}).items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedCheckpoint(f"its {MANIFEST} cannot be read ({error})") from error
        if version != FORMAT:
            raise UserError(
                f"{self.storage}/{name} is of checkpoint format {version!r}, this program reads {FORMAT}: go on with "
                "the version that wrote it, or start from its agent file with learner.initial_agent=FILE"
            )
        parts = {}
        for file, (size, digest) in listed.items():
            if not _PART.fullmatch(file):  # nothing outside the checkpoint is opened, whatever the manifest says
                raise DamagedCheckpoint(f"its {MANIFEST} names a part {file!r}")
            try:
                data = self._get(f"{self._root}/{name}/{file}")
            except OSError as error:
                raise DamagedCheckpoint(f"{file} cannot be read ({error})") from error
            if len(data) != size:
                raise DamagedCheckpoint(f"{file} has {len(data)} bytes, not {size}")
            if hashlib.sha256(data).hexdigest() != digest:
                raise DamagedCheckpoint(f"the content of {file} is not what was written")
            try:
                parts[file.removesuffix(SUFFIX)] = unpack(data)
            except ValueError as error:
                raise DamagedCheckpoint(f"{file}: {error}") from error
        return parts

    def newest(self, warn: Callable[[str], None] = _log.warning) -> tuple[str, dict[str, Any]] | None:
        """Name and parts of the newest checkpoint that is whole, None if there is none.

        Args:
            warn: told in one line of each damaged checkpoint that is passed over.

        Raises:
            UserError: the newest whole one is of another format.
        """
        for name in reversed(self.names()):
            try:
                return name, self.read(name)
            except DamagedCheckpoint as error:
                warn(f"checkpoint {self.storage}/{name} is damaged and passed over: {error}")
        return None

    def forget_after(self, name: str) -> None:
        """Delete the checkpoints that are newer than one of this storage; nothing if that one is not here."""
        names = self.names()
        for newer in names[names.index(name) + 1 :] if name in names else ():
            self._delete(f"{self._root}/{newer}")

    def clear(self) -> None:
        """Delete every checkpoint."""
        for name in self.names():
            self._delete(f"{self._root}/{name}")

    def _put(self, path: str, data: bytes) -> None:
        with self._files.open_output_stream(path) as stream:
            stream.write(data)
        if self._renames:
            with Path(path).open("rb") as file:
                os.fsync(file.fileno())

    def _get(self, path: str) -> bytes:
        with self._files.open_input_file(path) as file:
            return file.readall()

    def _delete(self, path: str) -> None:
        if self._files.get_file_info(path).type is fs.FileType.Directory:
            self._files.delete_dir(path)


def open_checkpoint(path: str) -> tuple[str, dict[str, Any]] | None:
    """Name and parts of what `--resume PATH` names: a checkpoint, or the newest whole one of a folder of them.

    Raises:
        UserError: the checkpoint named is damaged or of another format.
    """
    address, _, name = path.rstrip("/").rpartition("/")
    if not _NAME.fullmatch(name):
        return CheckpointStore(path).newest()
    try:
        return name, CheckpointStore(address or ".").read(name)
    except DamagedCheckpoint as error:
        raise UserError(
            f"checkpoint {path} is damaged: {error}; --resume {address or '.'} takes the newest whole one"
        ) from None
