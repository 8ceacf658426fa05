"""What the agent is paid for, and what counts as success."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ScoreDifference:
    """The guide's reward: `new − previous − step_penalty`, plus `terminal_bonus` on the last step of an episode
    (STOP, or the step limit) when the new score is at least the original photo's.

    Attributes:
        step_penalty: the price of each step, STOP included, in units of the score.
        terminal_bonus: paid once, at the end.
    """

    step_penalty: float = 0.01
    terminal_bonus: float = 0.1

    def __call__(self, previous_B, new_B, original_B, last_B) -> np.ndarray:
        """Rewards float32 `(B,)` from scores before and after the step, of the original, and whether it was the last.

        All arguments broadcast; STOP leaves the photo as it is, so its `new` is its `previous`.
        """
        previous_B, new_B, original_B = (np.asarray(x, np.float32) for x in (previous_B, new_B, original_B))
        bonus = self.terminal_bonus * (np.asarray(last_B) & (new_B >= original_B))
        return np.asarray(new_B - previous_B - self.step_penalty + bonus, np.float32)


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
