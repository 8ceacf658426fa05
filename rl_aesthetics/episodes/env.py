"""The environment: a degraded photo, edits or STOP, and a reward when the score rises.

`ImageEditEnv` is the readable reference, one photo at a time, edit by edit. `ImageEditVectorEnv` is what training runs:
many episodes side by side, canonical edit states in place of pixels, one scorer call a step holding only what no cache
knows. A property test holds the two to the same transitions.

The step limit ends an episode as `terminated`, not `truncated`: the guide pays the terminal bonus there, so it is part
of the task and nothing lies beyond it to bootstrap from.
"""

from __future__ import annotations

from typing import ClassVar

import gymnasium as gym
import numpy as np

from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.edits.space import check_shows_edits, edit_space
from rl_aesthetics.edits.transforms import STOP, TRANSFORMS
from rl_aesthetics.episodes.task import Task
from rl_aesthetics.photos.quality import pixel_change
from rl_aesthetics.photos.resize import reduce_image
from rl_aesthetics.scores.scorer import Scorer, score_beside


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
        self.space = edit_space(self.task.actions)
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
        self.given, self.state = self.image, 0
        self.edits: list[str] = []
        self.original_score, self.score = self._score(original), self._score(self.image)
        self.degraded_score, self.first_observation = self.score, self._observation()
        return self.first_observation, self._info()

    def step(self, action: int):
        name = self.task.actions[action]
        if self.space.acts_on_given:
            self.state = int(self.space.after(self.state, action))
            self.image = self.space.render(self.given, self.state)
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
        seen = [reduce_image(image_BGR, self.scorer.size)[..., ::-1]]
        return score_beside(self.scorer, seen, self._framed_original)[0]

    def _framed_original(self) -> list[np.ndarray]:
        framed_BGR = self.space.render(self.original, int(self.space.framing(self.state)))
        return [reduce_image(framed_BGR, self.scorer.size)[..., ::-1]]

    def _observation(self) -> np.ndarray:
        image_3SS = _channels_first_rgb(self.image, self.task.observation_size)
        if not self.task.shows_edits:
            return image_3SS
        edits_11SS = self.space.edits_plane(np.array([self.state]), self.task.observation_size)
        return np.concatenate([image_3SS, edits_11SS[0]])

    def _info(self) -> dict:
        return {"score": self.score, "original_score": self.original_score, "edits": tuple(self.edits)}
