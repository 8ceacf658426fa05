"""Made-up photos, whose natural look is known exactly, with a scorer and an agent that know it.

Each photo is the same scene with its own noise. The channels differ in brightness and in their gradients, so that each
of the 3,072 edit states looks different, and the closer to the scene, the higher the score.
"""

from functools import lru_cache

import numpy as np
import torch

from rl_aesthetics.agents.agent import AgentDescription, DQNAgent
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.edits.transforms import REVERSIBLE, STOP, TRANSFORMS
from rl_aesthetics.errors import ScoringError
from rl_aesthetics.networks.q_network import QNetwork
from rl_aesthetics.scores.scorer import FunctionScorer

NOISE = 8


def scene(height=64, width=64, seed=None):
    """uint8 BGR `(height, width, 3)`; without noise where there is no seed."""
    y, x = (np.arange(side)[:, None] / side - 0.5 for side in (height, width))
    x = x.T
    planes = [60 + 60 * x + 20 * y, 120 - 30 * x - 50 * y, 190 + 20 * x + 40 * y]
    photo = np.stack([plane + np.zeros((height, width)) for plane in planes], axis=2)
    if seed is not None:
        photo += np.random.default_rng(seed).integers(-NOISE, NOISE + 1, photo.shape)
    return np.clip(np.rint(photo), 0, 255).astype(np.uint8)


@lru_cache
def _scene_rgb(height, width):
    return scene(height, width)[..., ::-1].astype(np.int16)


def naturalness(image_RGB):
    """1 for the scene itself, less by the mean distance to it, in [0, 1]."""
    return 1 - np.abs(image_RGB - _scene_rgb(*image_RGB.shape[:2])).mean() / 255


def scorer(size=64):
    return FunctionScorer(naturalness, size, "naturalness")


class CountingScorer(FunctionScorer):
    """Remembers what it was asked, and fails when told to."""

    def __init__(self, size=64, function=naturalness):
        super().__init__(function, size, "counting")
        self.calls, self.failing = [], False

    def score(self, images):
        if self.failing:
            raise ScoringError("told to fail")
        self.calls.append([np.array(image) for image in images])
        return super().score(images)


def dataset(sequences, height=64, width=64, split="test"):
    """One photo a sequence of degradations."""
    return RLDataset.from_arrays([scene(height, width, k) for k in range(len(sequences))], sequences, split=split)


class SeesNaturalness(QNetwork):
    """A greedy one-step agent that is right by construction: values what an action leads to by its naturalness."""

    values_include_score = True

    def forward(self, observations_BCHW):
        images_BHWC = observations_BCHW.numpy().transpose(0, 2, 3, 1)
        values = [[self._value(image, name) for name in self.actions] for image in images_BHWC]
        return torch.tensor(values, dtype=torch.float32)

    def _value(self, image_RGB, name):
        if name == STOP:
            return naturalness(image_RGB) + 1e-3
        return naturalness(TRANSFORMS[name](image_RGB[..., ::-1])[..., ::-1])


def good_agent(actions=(*REVERSIBLE, STOP), max_steps=5, juror="naturalness", **described):
    description = AgentDescription("simple_cnn", tuple(actions), (3, 64, 64), max_steps, juror, **described)
    return DQNAgent(description, SeesNaturalness(actions, 64))
