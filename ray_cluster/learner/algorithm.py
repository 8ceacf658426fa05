"""What a learning algorithm is: everything that the actor-learner does not know.

Sampling, replaying in proportion, sending weights, and checkpoints are the same for all; an `Algorithm` says what is
remembered of a transition, what a batch's columns are, and, in its module, what the loss is. To add one, subclass
`Algorithm`, or one that there is, in a file of its own, and list it in `algorithms.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from ray_cluster.learner.q_module import QModule
from ray_cluster.replay.replay import ReplayBuffer
from ray_cluster.replay.transition import MakeNotes
from rl_aesthetics.config.learner import Learner
from rl_aesthetics.plan.run_plan import RunPlan


class Algorithm(ABC):
    """One way of learning from what rollout workers send.

    Args:
        plan: the run's.

    Attributes:
        module: acts, and has the loss (`forward_train`).
        replay: the central replay buffer.
    """

    module: ClassVar[type[QModule]]
    replay: ReplayBuffer

    def __init__(self, plan: RunPlan):
        self.plan, self.config = plan, plan.config

    @classmethod
    def module_options(cls, learner: Learner) -> dict[str, Any]:
        """What its module is told besides the network and the actions."""
        return {}

    @classmethod
    def stores_frames(cls, learner: Learner) -> bool:
        """Whether rollout workers send observations and the replay buffer keeps them."""
        return learner.replay == "frames"

    @classmethod
    def notes(cls, plan: RunPlan) -> MakeNotes | None:
        """What rollout workers note of each state; None if nothing. Sent to them, so it can be pickled."""
        return None

    @abstractmethod
    def columns(
        self, rows: np.ndarray, generator: np.random.Generator, minibatches: int, progress: float
    ) -> dict[str, Tensor]:
        """What the module learns from, tensors `(B, …)` on the CPU.

        Args:
            rows: of the replay buffer, int `(B,)`; those of a minibatch lie next to each other.
            generator: for whatever is random.
            minibatches: how many there are, of one size.
            progress: how much of the training is done, in [0, 1].
        """

    def learned(self, rows: np.ndarray, results: Sequence[Mapping[str, Tensor]]) -> None:
        """Take in what the learners answered, each about a part of the rows, one after the other."""
        return  # most have no use for it

    def set_replay(self, state: dict[str, Any]) -> None:
        """Go on with a captured replay buffer (`ReplayBuffer.get_state`)."""
        self.replay.set_state(state)
