"""Secrets stay out of what is written down: logs, configuration files, agents, checkpoints, MLflow, job metadata."""

from __future__ import annotations

import re
from typing import Any

SECRET_NAME = re.compile(r"token|secret|password|api_?key|credential", re.IGNORECASE)
"""Settings whose names speak of a secret."""

_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")


def without_login(text: str) -> str:
    """The text with `user:password@` in URLs blotted out."""
    return _LOGIN.sub("***@", text)


def has_login(text: str) -> bool:
    """Whether a URL in the text has a login, be it blotted out."""
    return text != _LOGIN.sub("", text)


def without_secrets(tree: Any) -> Any:
    """A JSON tree without the entries whose names speak of a secret, and without the logins in its URLs.

    Secrets are left out, not blotted out: who reads the tree again then falls back on the environment (`JUROR_TOKEN`).
    """
    if isinstance(tree, dict):
        return {name: without_secrets(value) for name, value in tree.items() if not SECRET_NAME.search(str(name))}
    if isinstance(tree, list):
        return [without_secrets(value) for value in tree]
    return without_login(tree) if isinstance(tree, str) else tree
