"""The reference score as a juror's name: similarity to the original, which only training and evaluation know."""

from __future__ import annotations

from juror_service.jurors.registry import Juror
from rl_aesthetics.scores.reference import ReferenceScorer

JUROR = Juror(
    title="similarity to the original in CIELab, for training and evaluation alone",
    licence="Apache-2.0",
    size=ReferenceScorer.size,
    weights="none",
    weights_bytes=0,
    load=ReferenceScorer,
    score_range=(-0.1, 1.0),
)
