"""Episodes of any policy on a split: what it did, and what came of it.

Validation during training runs these; `evaluate.py` puts an agent beside the baselines with them.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import lru_cache

import numpy as np

from rl_aesthetics.agents.edit_session import EditSession, Policy
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.datasets.degrade import is_reversible
from rl_aesthetics.edits import algebra
from rl_aesthetics.edits.space import edit_space
from rl_aesthetics.episodes.photo_scores import PhotoScores
from rl_aesthetics.episodes.photos import EpisodePhotos
from rl_aesthetics.episodes.task import Task
from rl_aesthetics.errors import ScoringError, UserError
from rl_aesthetics.evaluation.episodes import Episodes
from rl_aesthetics.photos.quality import pixel_change
from rl_aesthetics.scores.score_cache import ScoreCache
from rl_aesthetics.scores.scorer import Scorer

_RECENT_PHOTOS = 64  # full-size photos kept while edits that lose information are rendered, about 28 MB at 384 px


class Evaluation:
    """A split, a task and a scorer, on which policies are tried.

    Every photo gives one episode from its recorded degradation. Scores are asked for once and shared by all policies.

    Raises:
        ScoringError: where a score could not be had; an evaluation with holes would not be one.
        UserError: the edits are reversible, and the split holds degradations that cannot be undone: they have no edit
            state to begin in.
    """

    def __init__(self, dataset: RLDataset, scorer: Scorer, task: Task, batch_size: int = 64):
        self.space = edit_space(task.actions)
        one_way = {r.transformation for r in dataset.records if not is_reversible(r.sequence)}
        if self.space.is_group and one_way:
            raise UserError(
                f"{dataset.root or 'the dataset'} ({dataset.split}): what {', '.join(sorted(one_way))} did to a photo "
                "cannot be undone by edits; generate a dataset with reversible transformations"
            )
        self.dataset, self.scorer, self.task, self.batch_size = dataset, scorer, task, batch_size
        self.photos = EpisodePhotos(dataset, self.space, task.observation_size)
        self.photo = lru_cache(_RECENT_PHOTOS)(self.photos.photo)
        self.view = self.photos.view(task.observation_size, task.shows_edits)
        same = scorer.size == task.observation_size and not task.shows_edits
        juror_view = self.view if same else self.photos.view(scorer.size)
        for view in (self.view, juror_view):
            view.photo = self.photo
        # Enough for every state of the search, 256 MB at most.
        cache = ScoreCache(scorer.fingerprint, min(max(1 << 20, 4096 * len(dataset)), 1 << 24))
        self._scores = PhotoScores(scorer, juror_view, cache)
        self.starts_N = self.photos.start_states()
        self.photos_N = np.arange(len(dataset))

    def at_depth(self, depth: int, seed: int = 0) -> Evaluation:
        """The same photos, each with a degradation of this depth in place of the recorded one; scores are shared."""
        other = copy.copy(self)
        states = np.flatnonzero(depth == algebra.DEPTH)
        other.starts_N = np.random.default_rng([seed, depth]).choice(states, len(self.photos_N))
        return other

    def result(self, place: int, state: int) -> np.ndarray:
        """A photo of the split in an edit state, at the dataset's size: uint8 `(H, W, 3)` BGR."""
        return self.space.render(self.photo(place), state)

    def scores(self, photos_B: np.ndarray, states_B: np.ndarray, chunk: int = 1024) -> np.ndarray:
        """float32 `(B,)`."""
        parts = [self._scores(photos_B[k : k + chunk], states_B[k : k + chunk]) for k in range(0, len(photos_B), chunk)]
        scores = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        if np.isnan(scores).any():
            raise ScoringError("the juror did not answer; an evaluation needs every score")
        return scores

    def run(self, policy: Policy) -> Episodes:
        """Run every episode to its end, greedily by `policy`."""
        session = EditSession(self.space, self.view, self.photos_N, self.starts_N, batch_size=self.batch_size)
        session.run(self.task.max_steps, policy)
        number = {name: action for action, name in enumerate(self.space.actions)}
        steps = [session.steps(row) for row in range(len(self.photos_N))]
        actions = [[number[step.action] for step in taken] for taken in steps]
        paths = [
            [*(look.state for look in looks), *(looks[-1].state for step in taken if not step.applied)]
            for looks, taken in zip(session.looks, steps, strict=True)
        ]
        return self._scored(actions, paths)

    def _scored(self, actions: list[list[int]], paths: list[list[int]]) -> Episodes:
        finals_N = np.array([path[-1] for path in paths], np.int64)
        degraded_N = self.scores(self.photos_N, self.starts_N)
        final_N = self.scores(self.photos_N, finals_N)
        original_N = self.scores(self.photos_N, np.full(len(self.photos_N), self.photos.original_state))
        exact_N = self._exact(finals_N, final_N, original_N)
        episodes = Episodes(
            self.starts_N, finals_N, actions, paths, degraded_N, final_N, original_N, np.zeros(0), exact_N
        )
        return replace(episodes, returns_N=self._returns(episodes))

    def _exact(self, finals_N: np.ndarray, final_N: np.ndarray, original_N: np.ndarray) -> np.ndarray:
        if not self.photos.acts_on_given:
            return np.asarray(finals_N == algebra.ORIGINAL)
        exact_N = np.zeros(len(finals_N), bool)
        for place in np.flatnonzero(np.isclose(final_N, original_N, atol=1e-5)).tolist():  # equal pixels, equal scores
            result_HWC = self.result(place, int(finals_N[place]))
            exact_N[place] = np.array_equal(result_HWC, self.dataset.original(place))
        return exact_N

    def _returns(self, episodes: Episodes) -> np.ndarray:
        """Undiscounted sums `(N,)` of what the environment would have paid on the way."""
        reward, count = self.task.reward, len(episodes.actions)
        change_N = np.zeros(count, np.float32)
        if reward.prices_change:
            for k in range(0, count, self.batch_size):
                rows = self.photos_N[k : k + self.batch_size]
                before, after = (self.view(rows, states_N[rows]) for states_N in (self.starts_N, episodes.finals_N))
                change_N[rows] = pixel_change(before, after)
        returns_N, previous_N = np.zeros(count, np.float32), episodes.degraded_N.copy()
        for step, rows, taken_B, states_B in episodes.by_step():
            new_B = self.scores(self.photos_N[rows], states_B)
            returns_N[rows] += reward(
                previous_N[rows],
                new_B,
                episodes.original_N[rows],
                episodes.steps_N[rows] == step,
                degraded_B=episodes.degraded_N[rows],
                stopped_B=np.zeros(len(rows), bool) if self.space.stop is None else taken_B == self.space.stop,
                steps_B=step,
                change_B=change_N[rows],
            )
            previous_N[rows] = new_B
        return returns_N
