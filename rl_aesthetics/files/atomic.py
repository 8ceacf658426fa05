"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

from rl_aesthetics.errors import UserError


def write_file(file: Path, content: bytes) -> None:
    """Write a file beside and then by rename.

    Raises:
        UserError: its folder cannot be written.
    """
    beside = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    try:
        beside.write_bytes(content)
        os.replace(beside, file)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise UserError(f"cannot write {file}: {error.strerror}") from error
