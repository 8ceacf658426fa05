"""What became of the photos of a split under one policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rl_aesthetics.rewards import Success


@dataclass
class Episodes:
    """One finished episode for each photo of a split.

    Attributes:
        starts_N, finals_N: edit states before and after.
        actions: the action indices of each episode, STOP included.
        paths: the edit states of each episode, as it began and after each action.
        degraded_N, final_N, original_N: scores, float32.
        best_N: the best score reachable within the step limit, or None where it was not looked for.
        returns_N: undiscounted sum of the rewards.
        exact_N: whether the result is the original, pixel for pixel.
    """

    starts_N: np.ndarray
    finals_N: np.ndarray
    actions: list[list[int]]
    paths: list[list[int]]
    degraded_N: np.ndarray
    final_N: np.ndarray
    original_N: np.ndarray
    returns_N: np.ndarray
    exact_N: np.ndarray
    best_N: np.ndarray | None = None

    @property
    def steps_N(self) -> np.ndarray:
        """Steps taken, STOP included."""
        return np.array([len(actions) for actions in self.actions], np.int64)

    def by_step(self) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        """For step 1, 2, …: its number, the episodes that take it `(B,)`, their actions and the states they lead to."""
        for step in range(1, int(self.steps_N.max(initial=0)) + 1):
            rows = np.flatnonzero(self.steps_N >= step)
            taken_B = np.array([self.actions[row][step - 1] for row in rows], np.int64)
            yield step, rows, taken_B, np.array([self.paths[row][step] for row in rows], np.int64)

    def of(self, rows: np.ndarray) -> Episodes:
        """Some of the episodes, by their places."""
        return Episodes(
            self.starts_N[rows],
            self.finals_N[rows],
            [self.actions[row] for row in rows],
            [self.paths[row] for row in rows],
            self.degraded_N[rows],
            self.final_N[rows],
            self.original_N[rows],
            self.returns_N[rows],
            self.exact_N[rows],
            None if self.best_N is None else self.best_N[rows],
        )

    def success(self) -> Success:
        """The four numbers."""
        return Success.of(self.degraded_N, self.final_N, self.original_N, self.exact_N, self.best_N)
