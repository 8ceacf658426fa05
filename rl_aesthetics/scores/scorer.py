"""The contract between whoever needs a score and whoever can give one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, TypeGuard

import numpy as np

Images = Sequence[np.ndarray] | np.ndarray
"""uint8 RGB images `(size, size, 3)`, or all of them in one array."""


class Scorer(Protocol):
    """Turns pixels into a score; higher is better.

    The environment gets one injected and never knows whether it is a function, a Ray actor or an HTTP service.

    Attributes:
        size: side in pixels of the square images that the scorer looks at. Callers reduce to it before sending
            (`reduce_image`), because pixels that nobody looks at should never travel.
        fingerprint: names model, weights and preprocessing; scores are comparable only under one fingerprint.
    """

    size: int
    fingerprint: str

    def score(self, images: Images) -> np.ndarray:
        """Score images, uint8 `(size, size, 3)` RGB each, in order.

        Returns:
            float32 array of shape `(len(images),)`; empty for no images.

        Raises:
            ScoringError: an answer could not be had. There is never a made-up score.
        """
        ...


class FullReferenceScorer(Protocol):
    """A `Scorer` that compares with originals, a full-reference measure as image quality assessment calls it.

    Attributes:
        full_reference: says so; other scorers need not have it.
    """

    size: int
    fingerprint: str
    full_reference: Literal[True]

    def score(self, images: Images, originals: Images | None = None) -> np.ndarray:
        """As `Scorer.score`, each image beside its original of the same shape.

        Raises:
            ScoringError: no originals were given, besides the reasons of every scorer.
        """
        ...


def is_full_reference(scorer: Scorer) -> TypeGuard[FullReferenceScorer]:
    """Whether a scorer compares with originals in place of judging images alone."""
    return bool(getattr(scorer, "full_reference", False))


def score_beside(scorer: Scorer, images: Images, originals: Callable[[], Images]) -> np.ndarray:
    """Scores float32 `(B,)` of images; their originals are made for who compares with them, and for nobody else.

    Raises:
        ScoringError: an answer could not be had.
    """
    return scorer.score(images, originals()) if is_full_reference(scorer) else scorer.score(images)


class FunctionScorer:
    """A plain function as a `Scorer`, for tests and for rewards of one's own."""

    def __init__(self, function: Callable[[np.ndarray], float], size: int = 64, fingerprint: str | None = None):
        self.function, self.size = function, size
        self.fingerprint = fingerprint or f"function:{getattr(function, '__qualname__', repr(function))}"

    def score(self, images: Images) -> np.ndarray:
        return np.array([self.function(image) for image in images], np.float32).reshape(len(images))
