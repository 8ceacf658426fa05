"""Folders that appear whole or not at all.

A long run writes into a hidden sibling of its output and renames it at the end. A run that is killed leaves only the
sibling, which the next run for the same output removes. All names are in the output's parent folder:

    .NAME.partial-XXXX    being written; locked by its run, so that nobody removes it from under a run that lives
    .NAME.replaced-XXXX   the old output, for the moment between two renames
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from rl_aesthetics.errors import UserError

_LOCK = ".lock"


class StagedFolder:
    """A context in which a folder is written aside; `commit` makes it the output, leaving without it removes it.

        with StagedFolder(Path("runs/data"), overwrite=False, is_ours=looks_like_a_dataset) as staged:
            (staged.path / "file").write_text("...")
            staged.commit()

    Attributes:
        output: the folder that appears.
        path: where to write until then.
    """

    def __init__(self, output: Path, overwrite: bool, is_ours: Callable[[Path], bool]):
        """
        Args:
            output: must not exist, or be an empty folder, unless `overwrite`.
            overwrite: replace an output that is there.
            is_ours: tells whether a folder is of the kind that will be written; nothing else is ever replaced.
        """
        self.output, self.overwrite, self.is_ours = Path(os.path.abspath(output)), overwrite, is_ours
        self._made: list[Path] = []
        self._lock: int | None = None

    def __enter__(self) -> StagedFolder:
        """Check the output, clean up after killed runs and make the folder to write into.

        Raises:
            UserError: the output exists and may not be replaced, or its parent cannot be written.
        """
        parent = self.output.parent
        try:
            self._make_parents(parent)
            self._recover(parent)
            self._check_output()
            self.path = parent / f".{self.output.name}.partial-{secrets.token_hex(4)}"
            self.path.mkdir()
            self._lock = os.open(self.path / _LOCK, os.O_CREAT | os.O_RDWR)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.__exit__()
            raise UserError(f"cannot write to {parent}: {error.strerror}") from error
        except UserError:
            self.__exit__()
            raise
        return self

    def commit(self) -> None:
        """Make the folder the output, in the place of what was there.

        Raises:
            UserError: something else has appeared there meanwhile, or renaming failed.
        """
        try:
            self._check_output()
            (self.path / _LOCK).unlink()
            if self.output.exists():
                aside = self.output.with_name(f".{self.output.name}.replaced-{secrets.token_hex(4)}")
                self.output.rename(aside)
                try:
                    self.path.rename(self.output)
                except OSError:
                    aside.rename(self.output)
                    raise
                shutil.rmtree(aside)
            else:
                self.path.rename(self.output)
        except OSError as error:
            raise UserError(f"cannot write {self.output}: {error.strerror}") from error
        self._made.clear()

    def __exit__(self, *exception: object) -> None:
        if hasattr(self, "path"):
            shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        for folder in self._made:
            try:
                folder.rmdir()
            except OSError:  # somebody else uses it by now
                break

    def _check_output(self) -> None:
        if not os.path.lexists(self.output):
            return
        if not self.output.is_dir() or self.output.is_symlink():
            raise UserError(f"{self.output} exists and is no folder: choose another output")
        if not any(self.output.iterdir()):
            return
        if not self.overwrite:
            raise UserError(f"{self.output} exists already: choose another output, or replace it with --overwrite")
        if not self.is_ours(self.output):
            raise UserError(f"{self.output} is no dataset, so --overwrite does not delete it: choose another output")

    def _make_parents(self, parent: Path) -> None:
        missing = []
        while not parent.exists():
            missing.append(parent)
            parent = parent.parent
        for folder in reversed(missing):
            folder.mkdir()
            self._made.insert(0, folder)

    def _recover(self, parent: Path) -> None:
        replaced = sorted(parent.glob(f".{_escaped(self.output.name)}.replaced-*"))
        if replaced and not self.output.exists():  # killed between the two renames: the old output is still good
            replaced.pop().rename(self.output)
        partial = [p for p in parent.glob(f".{_escaped(self.output.name)}.partial-*") if not _is_locked(p)]
        for leftover in (*replaced, *partial):
            shutil.rmtree(leftover)


def _is_locked(folder: Path) -> bool:
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _escaped(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)
