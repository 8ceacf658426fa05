"""Files of settings, which people write by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from rl_aesthetics.errors import UserError

PRESETS = Path(__file__).parent / "presets"
"""The settings that ship; `configs` in a checkout is a link to them."""


def read_mapping(path: Path, kind: str) -> dict[str, Any]:
    """What a YAML file holds; nothing is an empty mapping.

    Args:
        kind: what the file is, for messages, such as "config".

    Raises:
        UserError: it is missing, unreadable, not YAML, or no mapping.
    """
    try:
        tree = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UserError(f"cannot read the {kind} {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict | None):
        raise UserError(f"{path} must hold a mapping of settings, not a {type(tree).__name__}")
    return tree or {}
