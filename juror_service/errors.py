"""Why a score could not be had. All are `ScoringError`s: whoever does not care about the reason catches that one."""

from __future__ import annotations

import numpy as np

from rl_aesthetics.errors import ScoringError


class QueueFull(ScoringError):
    """Too much is waiting already; the request was refused before it cost anything.

    Attributes:
        retry_after_s: after how many seconds there should be room, by the recent pace.
    """

    def __init__(self, message: str, retry_after_s: float = 1.0):
        super().__init__(message)
        self.retry_after_s = retry_after_s

    def __reduce__(self):
        return type(self), (self.args[0], self.retry_after_s)


class DeadlineExceeded(ScoringError):
    """The request's time ran out before its answer was there. A late answer is thrown away."""


class Closed(ScoringError):
    """The juror is shutting down: it finishes what it accepted and takes nothing new."""


class ImageFailed(ScoringError):
    """The juror could not score some images of a request; the others have their scores.

    Attributes:
        errors: position of a failed image in the request -> what went wrong.
        scores_B: float32 `(B,)`, NaN at the failed positions.
    """

    def __init__(self, errors: dict[int, str], scores_B: np.ndarray):
        position, reason = next(iter(errors.items()))
        super().__init__(f"{len(errors)} of {len(scores_B)} images could not be scored; image {position}: {reason}")
        self.errors, self.scores_B = errors, scores_B

    def __reduce__(self):
        return type(self), (self.errors, self.scores_B)
