"""How well a policy edits photos it has not seen: greedy episodes, baselines, and the best that could be had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rl_aesthetics.dataset import RLDataset
from rl_aesthetics.env import PhotoScores, Task
from rl_aesthetics.errors import ScoringError
from rl_aesthetics.rewards import Success
from rl_aesthetics.scoring import Scorer
from rl_aesthetics.transforms import algebra
from rl_aesthetics.transforms.space import EditSpace, View

Policy = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(observations uint8 `(B, 3, S, S)`, photos `(B,)`, edit states `(B,)`) to actions `(B,)`."""


@dataclass
class Episodes:
    """One finished episode for each photo of a split.

    Attributes:
        starts_N, finals_N: edit states before and after.
        actions: the action indices of each episode, STOP included.
        degraded_N, final_N, original_N: scores, float32.
        best_N: the best score reachable within the step limit, or None where it was not looked for.
        returns_N: undiscounted sum of the rewards.
    """

    starts_N: np.ndarray
    finals_N: np.ndarray
    actions: list[list[int]]
    degraded_N: np.ndarray
    final_N: np.ndarray
    original_N: np.ndarray
    returns_N: np.ndarray
    best_N: np.ndarray | None = None

    @property
    def steps_N(self) -> np.ndarray:
        """Steps taken, STOP included."""
        return np.array([len(actions) for actions in self.actions])

    @property
    def exact_N(self) -> np.ndarray:
        """Whether the result is the original, pixel for pixel."""
        return self.finals_N == algebra.ORIGINAL

    def success(self) -> Success:
        return Success.of(self.degraded_N, self.final_N, self.original_N, self.exact_N, self.best_N)


class Evaluation:
    """A split, a task and a scorer, on which policies are tried.

    Every photo gives one episode from its recorded degradation. Scores are asked for once and shared by all policies.

    Raises:
        ScoringError: where a score could not be had; an evaluation with holes would not be one.
    """

    def __init__(self, dataset: RLDataset, scorer: Scorer, task: Task, batch_size: int = 64):
        self.dataset, self.task, self.batch_size = dataset, task, batch_size
        self.space = EditSpace(task.actions)
        self.view = View(self.space, dataset.thumbnails(task.observation_size), dataset.original)
        same = scorer.size == task.observation_size
        juror_view = self.view if same else View(self.space, dataset.thumbnails(scorer.size), dataset.original)
        self._scores = PhotoScores(scorer, juror_view, cache_size=max(1 << 20, 4096 * len(dataset)))
        self.starts_N = dataset.start_states()
        self.photos_N = np.arange(len(dataset))

    def scores(self, photos_B: np.ndarray, states_B: np.ndarray, chunk: int = 1024) -> np.ndarray:
        """float32 `(B,)`."""
        parts = [self._scores(photos_B[k : k + chunk], states_B[k : k + chunk]) for k in range(0, len(photos_B), chunk)]
        scores = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        if np.isnan(scores).any():
            raise ScoringError("the juror did not answer; an evaluation needs every score")
        return scores

    def run(self, policy: Policy) -> Episodes:
        """Run every episode to its end, greedily by `policy`."""
        states_N, going_N = self.starts_N.copy(), np.ones(len(self.photos_N), bool)
        actions: list[list[int]] = [[] for _ in self.photos_N]
        for _ in range(self.task.max_steps):
            live = np.flatnonzero(going_N)
            for k in range(0, len(live), self.batch_size):
                rows = live[k : k + self.batch_size]
                chosen = np.asarray(policy(self.view(rows, states_N[rows]), rows, states_N[rows]))
                states_N[rows] = self.space.after(states_N[rows], chosen)
                for row, action in zip(rows, chosen, strict=True):
                    actions[row].append(int(action))
                if self.space.stop is not None:
                    going_N[rows[chosen == self.space.stop]] = False
        return self._judge(states_N, actions)

    def _judge(self, finals_N: np.ndarray, actions: list[list[int]]) -> Episodes:
        degraded = self.scores(self.photos_N, self.starts_N)
        final = self.scores(self.photos_N, finals_N)
        original = self.scores(self.photos_N, np.full(len(self.photos_N), algebra.ORIGINAL))
        steps = np.array([len(sequence) for sequence in actions])
        reward = self.task.reward  # telescopes: the differences of an episode add up to its improvement
        returns = reward(degraded, final, original, True) - (steps - 1) * getattr(reward, "step_penalty", 0.0)
        return Episodes(self.starts_N, finals_N, actions, degraded, final, original, returns)

    def best_scores(self, progress: Callable[[int, int], None] | None = None) -> np.ndarray:
        """The best score reachable from each degraded photo within the step limit, float32 `(N,)`; exhaustive.

        Only edit states count, so five edits of 14 lead to at most 1,797 images a photo and not to half a million.
        """
        best = np.empty(len(self.photos_N), np.float32)
        for photo in self.photos_N:
            reached = self._reachable(int(self.starts_N[photo]))
            best[photo] = self.scores(np.full(len(reached), photo), reached).max()
            if progress:
                progress(int(photo) + 1, len(self.photos_N))
        return best

    def _reachable(self, start: int) -> np.ndarray:
        reached = frontier = np.array([start])
        for _ in range(self.task.max_steps):
            following = np.unique(self.space.after(frontier[:, None], np.arange(len(self.space.edits))))
            frontier = np.setdiff1d(following, reached)
            reached = np.concatenate([reached, frontier])
        return reached

    def random_policy(self, seed: int = 0) -> Policy:
        """Every action equally often."""
        generator = np.random.default_rng(seed)
        return lambda observations, photos, states: generator.integers(0, len(self.space), len(photos))

    def stop_policy(self) -> Policy:
        """STOP at once, which leaves every photo as it is."""
        if self.space.stop is None:
            raise ValueError("this action space has no STOP")
        return lambda observations, photos, states: np.full(len(photos), self.space.stop)

    def juror_policy(self) -> Policy:
        """Ask the juror about every edit's result and take the best: greedy one-step search. Needs a juror to act."""

        def choose(observations, photos_B, states_B):
            following_BA = self.space.after(states_B[:, None], np.arange(len(self.space)))
            scores = self.scores(np.repeat(photos_B, len(self.space)), following_BA.ravel())
            scores_BA = scores.reshape(following_BA.shape)
            if self.space.stop is not None:  # STOP unless an edit is better
                scores_BA[:, self.space.stop] = np.nextafter(scores_BA[:, self.space.stop], np.inf)
            return scores_BA.argmax(1)

        return choose
