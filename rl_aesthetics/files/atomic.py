"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

from rl_aesthetics.errors import UserError


def write_file(file: Path, content: bytes) -> None:
    """Write a file beside and then by rename, so that a reader never finds half of one.

    Raises:
        UserError: its folder cannot be written; its cause is the OSError.
    """
    beside = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    try:
        beside.write_bytes(content)
        os.replace(beside, file)
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def write_text(file: Path, text: str) -> None:
    """`write_file` of text, in UTF-8."""
    write_file(file, text.encode())
