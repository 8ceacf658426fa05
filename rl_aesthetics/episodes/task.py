"""What an episode is, apart from the photo."""

from __future__ import annotations

from dataclasses import dataclass, field

import gymnasium as gym
import numpy as np

from rl_aesthetics.edits.transforms import REVERSIBLE, STOP
from rl_aesthetics.rewards import Reward, ScoreDifference


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
