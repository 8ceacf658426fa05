"""The two kinds of failure that callers are expected to handle, and what helps to say them well."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user gave is wrong. The message is one line: what is wrong, where, and what to do.

    The command line prints it and exits with code 2; it never shows a traceback for it.
    """


class ScoringError(RuntimeError):
    """A scorer could not answer. No score is ever made up in its place: the episode is dropped and counted."""


def closest(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'swap_gb'?)` or nothing, to end an error about an unknown name."""
    match = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.5)
    return f" (did you mean {match[0]!r}?)" if match else ""
