"""An append-only file of what there is to tell MLflow, and of how much of it was told.

The file is the queue: `append` costs a training loop one `write` to the page cache, needs no memory, and what it wrote
survives the death of the process. The sender reads from the same file and leaves notes in it. Every line is a JSON
object; a line with `record` is something to send, one with `note` says what became of it:

    {"record": "run", "key": …, "experiment": …, "name": …, "uri": …, "time": ms}
    {"record": "entries", "metrics"|"params"|"tags": {name: value}, "step": …, "time": ms}
    {"record": "artifact", "path": relative to this file's folder or absolute, "artifact_path": …, "time": ms}
    {"record": "finish", "status": …, "time": ms}
    {"note": "sent", "upto": byte offset, "key": …, "run_id": …, "to": uri}
    {"note": "set_aside"|"accepted", "at": byte offset, "to": uri}

Several runs may follow each other in one file, when the folder of an unsent run is used again.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from rl_aesthetics.errors import UserError
from rl_aesthetics.files.run_files import SPOOL_FILE

_BLOCK_BYTES = 1 << 18


class Line(NamedTuple):
    """One line of the file: the byte offsets where it begins and where the next one does, and what it says."""

    start: int
    end: int
    content: dict[str, Any]


def spool_path(run: Path) -> Path:
    """The spool of a run: `run` itself if it names a `.jsonl` file, else the usual file in that folder."""
    return run if run.suffix == ".jsonl" else run / SPOOL_FILE


class Spool:
    """The file, open and locked for this process. `append` may be called from any thread.

    Args:
        path: made if it does not exist, its folder too; one that an earlier process left is continued.

    Raises:
        UserError: another process has it open, or it cannot be written.
    """

    def __init__(self, path: Path):
        self.path = path
        self._links = path.with_suffix("")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab+", buffering=0)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise UserError(
                f"{path.parent} belongs to a run that is still going on (it has {path.name} open)"
            ) from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP):  # some network file systems have no locks
                raise
        self._lock = threading.Lock()
        self._end_torn_line()

    def append(self, content: dict[str, Any]) -> None:
        """Write one line; it is with the operating system when this returns.

        Raises:
            OSError: the disk is full or gone; nothing of the line was written.
            ValueError: the spool was closed.
        """
        line = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            size = os.fstat(self._file.fileno()).st_size
            try:
                if self._file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            except OSError:
                with suppress(OSError):  # else the next line would be taken for the end of this one, and be lost
                    self._file.truncate(size)
                raise

    def lines(self, start: int = 0) -> Iterator[Line]:
        """The whole lines from a byte offset on. A line that a crash cut short is passed over.

        Raises:
            ValueError: the spool was closed.
        """
        rest = b""
        position = start
        while block := self._read(position + len(rest)):
            *whole, rest = (rest + block).split(b"\n")
            for line in whole:
                end = position + len(line) + 1
                try:
                    content = json.loads(line)
                except ValueError:
                    content = None
                if isinstance(content, dict):
                    yield Line(position, end, content)
                position = end

    def keep(self, source: Path) -> str:
        """Hold on to a file or folder until it was sent, even when it is replaced or deleted meanwhile.

        It is hard-linked, which takes no time and no space; on another file system only its path is remembered.

        Returns:
            What to write as an artifact's `path`.

        Raises:
            OSError: `source` does not exist.
        """
        source.stat()
        kept = self._links / uuid.uuid4().hex[:12] / source.name
        try:
            if source.is_dir():
                shutil.copytree(source, kept, copy_function=os.link)
            else:
                kept.parent.mkdir(parents=True)
                os.link(source, kept)
        except (OSError, shutil.Error):
            shutil.rmtree(kept.parent, ignore_errors=True)
            return str(source.absolute())
        return str(kept.relative_to(self.path.parent))

    def release(self, path: str) -> None:
        """Give back what `keep` returned; files outside the spool's own folder are left alone."""
        if not os.path.isabs(path) and not self._file.closed:
            shutil.rmtree((self.path.parent / path).parent, ignore_errors=True)

    def close(self) -> None:
        """Close the file, which frees its lock; a second call does nothing. From any thread."""
        with self._lock:
            self._file.close()

    def delete(self) -> None:
        """Remove the file and everything it kept, once all of it was sent.

        Raises:
            ValueError: the spool was closed, and may be somebody else's by now.
        """
        with self._lock:
            self._file.fileno()
            self.path.unlink(missing_ok=True)
            shutil.rmtree(self._links, ignore_errors=True)

    def _read(self, position: int) -> bytes:
        with self._lock:  # else its number could be another file's when it is used
            return os.pread(self._file.fileno(), _BLOCK_BYTES, position)

    def _end_torn_line(self) -> None:
        size = os.fstat(self._file.fileno()).st_size
        if size and os.pread(self._file.fileno(), 1, size - 1) != b"\n":
            self._file.write(b"\n")
