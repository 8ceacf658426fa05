"""What a training leaves in its output folder, in order, also when the disk is full for a while."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ray_cluster.checkpoints.checkpoint_store import CheckpointStore
from rl_aesthetics.errors import UserError
from rl_aesthetics.files.atomic import write_text
from rl_aesthetics.files.run_files import AGENT_FILE, EPOCH_AGENTS, FILMSTRIP, METRICS_FILE

_log = logging.getLogger(__name__)


class Records:
    """Does what it is told in order; what fails for want of disk space is tried again before the next thing is done.

    Nothing is lost and nothing changes places: a training must not end because a disk was full for an hour.
    """

    def __init__(self) -> None:
        self._owed: deque[Callable[[], None]] = deque()
        self._troubled = False

    def __len__(self) -> int:
        """How much is waiting."""
        return len(self._owed)

    def do(self, action: Callable[[], None]) -> None:
        """Do it after everything that is waiting, now or when there is room again.

        Args:
            action: may raise OSError, or a UserError that comes of one, and can then be called again.
        """
        self._owed.append(action)
        self.settle()

    def settle(self, last: bool = False) -> None:
        """Do what is waiting.

        Args:
            last: whether there is no later: then what fails is raised.

        Raises:
            UserError, OSError: only if `last`, as the action raised it.
        """
        while self._owed:
            try:
                self._owed[0]()
            except (OSError, UserError) as error:
                if last or not isinstance(error if isinstance(error, OSError) else error.__cause__, OSError):
                    raise
                if not self._troubled:
                    _log.warning("cannot write what there is to record (%s); it waits until it can be written", error)
                self._troubled = True
                return
            self._owed.popleft()
        if self._troubled:
            _log.warning("what was waiting is written")
            self._troubled = False


def append_line(file: Path, row: Mapping[str, float]) -> None:
    """Append a JSON line, wholly or not at all.

    Raises:
        OSError: there is no room for it.
    """
    line = json.dumps(row).encode() + b"\n"
    with file.open("ab", buffering=0) as opened:
        size = os.fstat(opened.fileno()).st_size
        try:
            if opened.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
        except OSError:
            with suppress(OSError):  # why it could not be written is what matters
                opened.truncate(size)
            raise


def write_lines(file: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Replace a file of JSON lines.

    Raises:
        UserError: it cannot be written.
    """
    write_text(file, "".join(json.dumps(row) + "\n" for row in rows))


def prepare(folder: Path, store: CheckpointStore, overwrite: bool, may_go_on: bool, goes_on: bool) -> Path:
    """Make the output folder.

    Args:
        store: where the training's checkpoints lie.
        overwrite: empty both of an earlier training.
        may_go_on: the training goes on from a checkpoint if there is one.
        goes_on: there is one.

    Raises:
        UserError: an earlier training is there and neither was asked for, or the folder cannot be written.
    """
    earlier = [
        path
        for path in (folder / name for name in (AGENT_FILE, METRICS_FILE, EPOCH_AGENTS, FILMSTRIP))
        if path.exists()
    ]
    names = store.names()
    finished_without = may_go_on and not goes_on and (folder / AGENT_FILE).exists()
    if finished_without or ((earlier or names) and not overwrite and not may_go_on):
        found = earlier[0] if earlier else f"{store.storage}/{names[-1]}"
        advice = "pass --overwrite" if finished_without else "pass --resume auto to go on with it, or --overwrite"
        raise UserError(f"{found} is there from an earlier training: choose another output or {advice}")
    try:
        if not goes_on:
            store.clear()
            for path in earlier:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        (folder / EPOCH_AGENTS).mkdir(parents=True, exist_ok=True)
        (folder / METRICS_FILE).touch()
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror or error}") from None
    return folder
