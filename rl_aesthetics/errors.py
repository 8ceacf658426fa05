"""What callers are told: the two kinds of failure that they are expected to handle, and how far long work has come."""

import difflib
from collections.abc import Callable, Iterable

Progress = Callable[[str, int, int], None]
"""Called as `progress(what, done, total)` while something long goes on; an unknown `total` grows with `done`."""


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
