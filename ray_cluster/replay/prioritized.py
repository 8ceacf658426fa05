"""Replay in proportion to the errors (arXiv 1511.05952)."""

from __future__ import annotations

import numpy as np

from ray_cluster.replay.replay import ReplayBuffer
from ray_cluster.replay.sum_tree import SumTree


class PrioritizedReplayBuffer(ReplayBuffer):
    """Draws transitions in proportion to p = (|TD error| + ε)^α, after Schaul et al., arXiv 1511.05952.

    New transitions get the largest p that there has been, so that each is likely to be looked at soon. What is drawn
    more often than it is met is given less weight in the loss (`weights`).

    Args:
        alpha: 0 draws uniformly, 1 in proportion to the errors.
        epsilon: added to the errors, so that none is never drawn again.
    """

    def __init__(
        self, capacity: int, frame_shape: tuple[int, ...] | None = None, alpha: float = 0.6, epsilon: float = 1e-3
    ):
        super().__init__(capacity, frame_shape)
        self.alpha, self.epsilon, self.largest = alpha, epsilon, 1.0
        self.priorities = SumTree(capacity)

    @property
    def nbytes(self) -> int:
        return super().nbytes + self.priorities.nbytes

    def add(
        self, transitions: np.ndarray, frames: np.ndarray | None = None, notes: np.ndarray | None = None
    ) -> np.ndarray:
        rows = super().add(transitions, frames, notes)
        self.priorities[rows] = self.largest
        return rows

    def sample(self, count: int, generator: np.random.Generator, minibatches: int = 1) -> np.ndarray:
        return self.priorities.sample(count, generator, minibatches)

    def weights(self, rows: np.ndarray, beta: float, minibatches: int = 1) -> np.ndarray:
        """Importance weights float32 `(B,)` in (0, 1]: (N p / Σp)^−β over the largest of its minibatch.

        Args:
            beta: 1 makes up for the uneven drawing in full, 0 not at all.
        """
        weights = (self.size * self.priorities[rows] / self.priorities.total) ** -beta
        weights = weights.reshape(minibatches, -1)
        return (weights / weights.max(1, keepdims=True)).ravel().astype(np.float32)

    def update_priorities(self, rows: np.ndarray, td_errors: np.ndarray) -> None:
        """Priorities of `rows` from their latest TD errors, float `(B,)`; of a row given twice the last one counts.

        Where an error is no number, which the learner learns nothing from, the priority stays.
        """
        known = np.isfinite(td_errors)
        priorities = (np.abs(td_errors[known]) + self.epsilon) ** self.alpha
        self.priorities[rows[known]] = priorities
        self.largest = max(self.largest, float(priorities.max(initial=0.0)))

    def get_state(self) -> dict:
        return super().get_state() | {
            "priorities": self.priorities[np.arange(self.size)],
            "largest_priority": self.largest,
        }

    def set_state(self, state: dict) -> None:
        super().set_state(state)
        self.largest = state.get("largest_priority", 1.0)
        self.priorities[np.arange(self.capacity)] = 0.0
        self.priorities[np.arange(self.size)] = state.get("priorities", self.largest)  # none if it was saved uniform
