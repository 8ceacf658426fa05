"""The environment: a degraded photo, edits or STOP, and a reward when the score rises.

`ImageEditEnv` is the readable reference, one photo at a time, edit by edit. `ImageEditVectorEnv` is what training runs:
many episodes side by side, canonical edit states in place of pixels, one scorer call a step holding only what no cache
knows. A property test holds the two to the same transitions.

The step limit ends an episode as `terminated`, not `truncated`: the guide pays the terminal bonus there, so it is part
of the task and nothing lies beyond it to bootstrap from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rl_aesthetics.dataset import RLDataset
from rl_aesthetics.episode_photos import EpisodePhotos
from rl_aesthetics.errors import ScoringError
from rl_aesthetics.reference import needs_reference
from rl_aesthetics.rewards import Reward, ScoreDifference
from rl_aesthetics.samplers import EpisodeSampler, PhotoOrder, VariantSampler
from rl_aesthetics.score_cache import ScoreCache
from rl_aesthetics.scoring import Scorer, reduce_image
from rl_aesthetics.transforms import REVERSIBLE, STOP, TRANSFORMS, photographic
from rl_aesthetics.transforms.space import EditSpace, View, check_shows_edits


@dataclass(frozen=True)
class Task:
    """What an episode is, apart from the photo.

    Attributes:
        actions: canonical names in the order of the action indices, `STOP` last or not at all.
        max_steps: the step limit; STOP counts as a step.
        reward: from scores to a reward.
        observation_size: side of the square observation, even.
        shows_edits: whether a fourth channel says which photographic edits were made. Without it a photo as it was
            given and another one as the agent made it may look the same, though one calls for edits and the other is
            the best that the agent knows; it then corrects its own corrections.
    """

    actions: tuple[str, ...] = (*REVERSIBLE, STOP)
    max_steps: int = 5
    reward: Reward = field(default_factory=ScoreDifference)
    observation_size: int = 64
    shows_edits: bool = False

    @property
    def observation_shape(self) -> tuple[int, int, int]:
        """`(3, S, S)`: RGB; `(4, S, S)` where it `shows_edits`."""
        return 3 + self.shows_edits, self.observation_size, self.observation_size

    def spaces(self) -> tuple[gym.spaces.Box, gym.spaces.Discrete]:
        """Observation space (uint8 `observation_shape`) and action space."""
        return gym.spaces.Box(0, 255, self.observation_shape, np.uint8), gym.spaces.Discrete(len(self.actions))


def pixel_change(before_BCHW: np.ndarray, after_BCHW: np.ndarray) -> np.ndarray:
    """Mean absolute difference of uint8 RGB images, float32 `(B,)` in [0, 1]; a fourth channel does not count."""
    before, after = (images[:, :3].reshape(len(images), -1).astype(np.int16) for images in (before_BCHW, after_BCHW))
    return (np.abs(after - before).mean(axis=1) / 255).astype(np.float32)


def _channels_first_rgb(image_BGR: np.ndarray, size: int) -> np.ndarray:
    return np.ascontiguousarray(reduce_image(image_BGR, size)[..., ::-1].transpose(2, 0, 1))


class ImageEditEnv(gym.Env):
    """One photo at a time, every edit applied to its full-size pixels and every score asked for. Photographic edits are
    parameters of one rendering from the degraded photo.

    `reset(options={"photo": i})` chooses the photo and `{"sequence": [names]}` its degradation, in place of the
    dataset's; `info` has the current `score`, the `original_score`, and the `edits` so far.

    Raises:
        ScoringError: from `reset` and `step`, when the scorer cannot answer.
    """

    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 2}

    def __init__(self, dataset: RLDataset, scorer: Scorer, task: Task | None = None, render_mode: str | None = None):
        self.dataset, self.scorer, self.task, self.render_mode = dataset, scorer, task or Task(), render_mode
        self.space = EditSpace(self.task.actions)
        if self.task.shows_edits:
            check_shows_edits(self.space)
        self.observation_space, self.action_space = self.task.spaces()

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        options = options or {}
        photo = options.get("photo")
        photo = int(self.np_random.integers(len(self.dataset))) if photo is None else int(photo)
        self.original = original = self.dataset.original(photo)
        self.image = self.dataset.degraded(photo)
        if "sequence" in options:
            self.image = original
            for name in options["sequence"]:
                self.image = TRANSFORMS[name](self.image)
        self.given, self.state = self.image, photographic.UNEDITED
        self.edits: list[str] = []
        self.original_score, self.score = self._score(original), self._score(self.image)
        self.degraded_score, self.first_observation = self.score, self._observation()
        return self.first_observation, self._info()

    def step(self, action: int):
        name = self.task.actions[action]
        if self.space.photographic:
            self.state = int(self.space.after(self.state, action))
            self.image = self.space.edit(self.given, self.state)
        elif name != STOP:
            self.image = TRANSFORMS[name](self.image)
        self.edits.append(name)
        last = name == STOP or len(self.edits) >= self.task.max_steps
        previous, self.score = self.score, self._score(self.image)
        observation = self._observation()
        reward = self.task.reward(
            previous,
            self.score,
            self.original_score,
            last,
            degraded_B=self.degraded_score,
            stopped_B=name == STOP,
            steps_B=len(self.edits),
            change_B=pixel_change(self.first_observation[None], observation[None])[0],
        )
        return observation, float(reward), last, False, self._info()

    def render(self) -> np.ndarray | None:
        """The photo as it stands, uint8 RGB `(H, W, 3)`."""
        return self.image[..., ::-1].copy() if self.render_mode == "rgb_array" else None

    def _score(self, image_BGR: np.ndarray) -> np.float32:
        reduced_RGB = reduce_image(image_BGR, self.scorer.size)[..., ::-1]
        if not needs_reference(self.scorer):
            return self.scorer.score([reduced_RGB])[0]
        framed = self.space.edit(self.original, int(photographic.framing_of(self.state)))
        return self.scorer.compare(reduced_RGB[None], reduce_image(framed, self.scorer.size)[None, ..., ::-1])[0]

    def _observation(self) -> np.ndarray:
        image_3SS = _channels_first_rgb(self.image, self.task.observation_size)
        if not self.task.shows_edits:
            return image_3SS
        return np.concatenate([image_3SS, photographic.edits_plane([self.state], self.task.observation_size)[0]])

    def _info(self) -> dict:
        return {"score": self.score, "original_score": self.original_score, "edits": tuple(self.edits)}


class PhotoScores:
    """Scores of (photo, edit state), each asked for once."""

    def __init__(self, scorer: Scorer, view: View, cache: ScoreCache | None = None):
        self.scorer, self.view = scorer, view
        self.cache = ScoreCache(scorer.fingerprint, 2_000_000) if cache is None else cache
        self.calls = 0

    def __call__(self, photos_B: np.ndarray, states_B: np.ndarray) -> np.ndarray:
        """float32 `(B,)`; NaN where the scorer could not answer."""
        scores, known = self.cache.lookup(photos_B, states_B)
        if not known.all():
            wanted, place = np.unique(np.stack([photos_B[~known], states_B[~known]]), axis=1, return_inverse=True)
            self.calls += 1
            try:
                fresh = self.score(*wanted)
            except ScoringError:
                return scores
            self.cache.store(*wanted, fresh)
            scores[~known] = fresh[place]
        return scores

    def score(self, photos_B: np.ndarray, states_B: np.ndarray) -> np.ndarray:
        """float32 `(B,)`, asked of the scorer whatever is known.

        Raises:
            ScoringError: it could not answer.
        """
        images_BHWC = self.view(photos_B, states_B).transpose(0, 2, 3, 1)
        if not needs_reference(self.scorer):
            return self.scorer.score(images_BHWC)
        return self.scorer.compare(images_BHWC, self.view.originals(photos_B, states_B).transpose(0, 2, 3, 1))


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
        self.num_envs, self.space = num_envs, EditSpace(task.actions)
        self.single_observation_space, self.single_action_space = task.spaces()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.photos = photos = photos or EpisodePhotos(dataset, self.space, task.observation_size)
        self.sampler = sampler or (
            VariantSampler(photos, fresh=False) if photos.given else EpisodeSampler(dataset.start_states())
        )
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


gym.register(
    "rl_aesthetics/ImageEdit-v0",
    entry_point=ImageEditEnv,
    vector_entry_point=ImageEditVectorEnv,
)
