"""The environment that training runs: many episodes side by side, edit states in place of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.edits.space import edit_space
from rl_aesthetics.episodes.photo_scores import PhotoScores
from rl_aesthetics.episodes.photos import EpisodePhotos
from rl_aesthetics.episodes.start_states import PhotoOrder, episode_order
from rl_aesthetics.episodes.task import Task
from rl_aesthetics.photos.quality import pixel_change
from rl_aesthetics.scores.score_cache import ScoreCache
from rl_aesthetics.scores.scorer import Scorer


class ImageEditVectorEnv(VectorEnv):
    """Many episodes side by side over one dataset; autoreset NEXT_STEP, as RLlib's new API stack needs.

    `info` has, for every sub-environment, `photo` and `state` (its number in the dataset and its edit state),
    `previous_state`, `score`, `previous_score`, and, where an episode has just ended, `degraded_score`,
    `original_score`, `exact` and `steps`. A step that could not be scored ends its episode with `dropped` set, reward 0
    and `truncated`; whoever collects transitions throws that episode away. No images are in `info`.

    Args:
        sampler: which episodes to run; the dataset's own, shuffled, if left out.
        cache: scores that are known already, where new ones are remembered; an empty one if left out.
        photos: what episodes begin with; the dataset's own if left out.
    """

    metadata: ClassVar = {"autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(
        self,
        dataset: RLDataset,
        scorer: Scorer,
        task: Task | None = None,
        num_envs: int = 8,
        sampler: PhotoOrder | None = None,
        cache: ScoreCache | None = None,
        photos: EpisodePhotos | None = None,
    ):
        self.task = task = task or Task()
        self.num_envs, self.space = num_envs, edit_space(task.actions) if photos is None else photos.space
        self.single_observation_space, self.single_action_space = task.spaces()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.photos = photos = photos or EpisodePhotos(dataset, self.space, task.observation_size)
        self.sampler = sampler or episode_order(photos)
        self.view = juror_view = photos.view(task.observation_size, task.shows_edits)
        if scorer.size != task.observation_size or task.shows_edits:
            juror_view = photos.view(scorer.size)
        self.scores = PhotoScores(scorer, juror_view, cache)
        self.dropped_episodes = 0
        zeros = np.zeros(num_envs, int)
        self.photos_B, self.states_B, self.starts_B, self.steps_B = (zeros.copy() for _ in range(4))
        self.ended_B = np.ones(num_envs, bool)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        if seed is not None:
            self.sampler.seed(seed)
        self._begin(np.arange(self.num_envs))
        return self.view(self.photos_B, self.states_B), {"photo": self.photos_B.copy(), "state": self.states_B.copy()}

    def step(self, actions_B: Sequence[int]):
        actions_B = np.asarray(actions_B)
        resetting_B, before_B = self.ended_B.copy(), self.states_B.copy()
        live = np.flatnonzero(~resetting_B)
        self.states_B[live] = self.space.after(before_B[live], actions_B[live])
        self.steps_B[live] += 1
        stopped_B = actions_B == self.space.stop if self.space.stop is not None else np.zeros(self.num_envs, bool)
        last_B = ~resetting_B & (stopped_B | (self.steps_B >= self.task.max_steps))

        wanted = [(live, before_B), (live, self.states_B)]
        ends = np.flatnonzero(last_B)
        wanted += [(ends, np.full(self.num_envs, self.photos.original_state)), (ends, self.starts_B)]
        scores = self.scores(
            np.concatenate([self.photos_B[rows] for rows, _ in wanted]),
            np.concatenate([states[rows] for rows, states in wanted]),
        )
        previous_B, new_B, original_B, degraded_B = (np.full(self.num_envs, np.nan, np.float32) for _ in range(4))
        cut = np.cumsum([len(rows) for rows, _ in wanted])[:-1]
        for column, (rows, _), part in zip(
            (previous_B, new_B, original_B, degraded_B), wanted, np.split(scores, cut), strict=True
        ):
            column[rows] = part

        unknown_B = np.isnan(previous_B) | np.isnan(new_B) | (last_B & (np.isnan(original_B) | np.isnan(degraded_B)))
        dropped_B = ~resetting_B & unknown_B
        scored_B = ~resetting_B & ~unknown_B
        rewards_B = np.zeros(self.num_envs, np.float32)
        paid_B = self.task.reward(
            previous_B,
            new_B,
            original_B,
            last_B,
            degraded_B=degraded_B,
            stopped_B=stopped_B,
            steps_B=self.steps_B,
            change_B=self._change(ends),
        )
        rewards_B[scored_B] = paid_B[scored_B]
        self.dropped_episodes += int(dropped_B.sum())
        terminated_B = last_B & scored_B
        info = {
            "previous_state": before_B,
            "previous_score": previous_B,
            "score": new_B,
            "dropped": dropped_B,
            "degraded_score": degraded_B,
            "original_score": original_B,
            "exact": terminated_B & (self.states_B == self.photos.original_state),
        }
        self.ended_B = terminated_B | dropped_B
        self._begin(np.flatnonzero(resetting_B))
        info |= {"photo": self.photos_B.copy(), "state": self.states_B.copy(), "steps": self.steps_B.copy()}
        return self.view(self.photos_B, self.states_B), rewards_B, terminated_B, dropped_B, info

    def _change(self, ends: np.ndarray) -> np.ndarray:
        """How far the episodes that end here have taken their photos, `(B,)`, where the reward wants to know."""
        change_B = np.zeros(self.num_envs, np.float32)
        if self.task.reward.prices_change and len(ends):
            before, after = (self.view(self.photos_B[ends], states[ends]) for states in (self.starts_B, self.states_B))
            change_B[ends] = pixel_change(before, after)
        return change_B

    def _begin(self, rows: np.ndarray) -> None:
        for row in rows:
            self.photos_B[row], self.starts_B[row] = self.sampler()
        self.states_B[rows], self.steps_B[rows], self.ended_B[rows] = self.starts_B[rows], 0, False
