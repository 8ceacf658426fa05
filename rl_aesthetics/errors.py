"""The two kinds of failure that callers are expected to handle."""


class UserError(Exception):
    """Something the user gave is wrong. The message is one line: what is wrong, where, and what to do.

    The command line prints it and exits with code 2; it never shows a traceback for it.
    """


class ScoringError(RuntimeError):
    """A scorer could not answer. No score is ever made up in its place: the episode is dropped and counted."""
