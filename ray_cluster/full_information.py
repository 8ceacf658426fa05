"""Learning from every action at once, where its reward is known without taking it.

The reference score needs no juror, and what an edit does is computed, not observed. So a visited state tells the reward
of all its actions. Without discounted future (γ = 0) that reward is the whole target, and one state teaches A values in
place of one: Q(s, a) = E[similarity after − similarity before | what is seen], a greedy step towards the original, and
STOP where no step is expected to help. Behaviour, environment, replay and actor-learner are those of the DQN.

With γ > 0 the values of actions that were not taken would need the value of states that nobody visited.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch

from ray_cluster.learner import ActorLearnerDQN
from ray_cluster.rl_module import LOSS, TD_ERROR, TD_TARGET, QModule
from ray_cluster.rollout import Fragment
from rl_aesthetics.action_rewards import ActionRewards

ACTION_REWARDS, SPREADS = "action_rewards", "spreads"
_LEAST_SPREAD = 0.01  # of an action's rewards; STOP's are all 0
_MEASURED = 256  # photos, in the degradation that was recorded, that the spreads are measured on


class FullInformationModule(QModule):
    """`QModule` whose loss is the squared error of all actions' values, each in units of its rewards' spread.

    Three steps of tint change a photo four times as much as one of temperature. Without the division most of the loss
    would be how bad great edits are, where what matters is which small one is good.
    """

    def _forward_train(self, batch: dict[str, Any], **kwargs) -> dict[str, Any]:
        """Loss and largest error, float32 `(B,)`, and the targets `(B, A)`: the rewards themselves."""
        values_BA, targets_BA = self.network(batch[Columns.OBS]), batch[ACTION_REWARDS]
        errors_BA = values_BA - targets_BA
        loss_B = (errors_BA / batch[SPREADS]).square().sum(1)
        return {LOSS: loss_B, TD_ERROR: errors_BA.detach().abs().amax(1), TD_TARGET: targets_BA}


class FullInformationDQN(ActorLearnerDQN):
    """`ActorLearnerDQN` that keeps the rewards of all actions beside the replay buffer, float16 `(capacity, A)`."""

    def setup(self, config) -> None:
        super().setup(config)
        settings = config.env_config
        self.rewards_of = ActionRewards(settings["dataset"], settings["task"], settings["variants"])
        self.action_rewards = np.zeros((self.replay.capacity, len(settings["task"].actions)), np.float16)
        recorded_N = np.arange(min(len(settings["dataset"]), _MEASURED))
        spread_A = self.rewards_of(recorded_N, np.zeros(len(recorded_N), np.int64)).std(0)
        self.spread_A = torch.from_numpy(np.maximum(spread_A, _LEAST_SPREAD).astype(np.float32))
        self.rewarded = np.zeros(self.replay.capacity, bool)  # rows that a checkpoint brought back are not, at first

    def _take(self, fragments: list[Fragment]) -> None:
        for fragment in fragments:
            rows = (self.replay.position + np.arange(len(fragment.transitions))) % self.replay.capacity
            super()._take([fragment])
            self._reward(rows)
        if not fragments:
            super()._take(fragments)  # which knows how long to wait for some

    def _reward(self, rows: np.ndarray) -> None:
        if len(rows):
            transitions = self.replay.transitions[rows]
            self.action_rewards[rows] = self.rewards_of(transitions["photo"], transitions["state"])
            self.rewarded[rows] = True

    def _learn(self, updates: int) -> None:
        size = self.settings.rl_training.training.batch_size
        rows = self.replay.sample(updates * size, self.generator, updates)
        self._reward(np.unique(rows[~self.rewarded[rows]]))
        columns = {
            Columns.OBS: torch.from_numpy(self.replay.frames[rows]),
            ACTION_REWARDS: torch.from_numpy(self.action_rewards[rows].astype(np.float32)),
            SPREADS: self.spread_A.repeat(len(rows), 1),
        }
        self.learner_group.update(
            batch=MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(columns)}, len(rows)),
            timesteps={"learning_rate": self.learning_rate},
            minibatch_size=size // max(1, self.settings.ray.num_learners),
        )
        self.trained += len(rows)
