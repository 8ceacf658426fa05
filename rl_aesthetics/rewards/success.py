"""What counts as success."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Success:
    """The four numbers of an evaluation, always under these names.

    Attributes:
        improved: share of episodes whose final score is above the degraded photo's (the guide's success rate).
        recovered: share whose final score is at least the original's.
        exact: share whose pixels equal the original's.
        oracle_fraction: mean improvement over the mean of the best improvement that exhaustive search finds within the
            step limit; None where no such search was made.
    """

    improved: float
    recovered: float
    exact: float
    oracle_fraction: float | None = None

    @classmethod
    def of(cls, degraded_B, final_B, original_B, exact_B, best_B=None) -> Success:
        """Measure a batch of episodes from their scores (float, `(B,)` each) and pixel equality (bool).

        Args:
            best_B: the best score reachable from each degraded photo within the step limit, if it is known.
        """
        degraded_B, final_B = np.asarray(degraded_B, np.float64), np.asarray(final_B, np.float64)
        fraction = None
        if best_B is not None:
            possible = float(np.mean(np.asarray(best_B, np.float64) - degraded_B))
            fraction = float(np.mean(final_B - degraded_B)) / possible if possible > 0 else None
        return cls(
            improved=float(np.mean(final_B > degraded_B)),
            recovered=float(np.mean(final_B >= np.asarray(original_B))),
            exact=float(np.mean(exact_B)),
            oracle_fraction=fraction,
        )
