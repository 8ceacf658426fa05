"""Deep Q-learning (arXiv 1312.5602) and what was added to it since: the values of the actions that were taken.

Options, each a setting of its own: a next action chosen by the online network (double Q, arXiv 1509.06461) or stored
with the transition, returns over n steps, replay in proportion to the errors (arXiv 1511.05952), distributions in place
of means (arXiv 1707.06887, in the network), observations rendered anew when they are replayed.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import TargetNetworkAPI
from torch import Tensor

from ray_cluster.learner.algorithm import Algorithm
from ray_cluster.learner.q_module import LOSS, TD_ERROR, TD_TARGET, QModule
from ray_cluster.replay.prioritized import PrioritizedReplayBuffer
from ray_cluster.replay.renderer import ReplayRenderer
from ray_cluster.replay.replay import ReplayBuffer, Sample
from ray_cluster.replay.transition import DISCOUNTS, NEXT_ACTIONS, NEXT_SCORES, SCORES, STOP_VALUES, WEIGHTS
from rl_aesthetics.config.learner import Learner
from rl_aesthetics.networks.q_network import QNetwork
from rl_aesthetics.networks.settings import AfterstateSettings
from rl_aesthetics.plan.run_plan import RunPlan


class DQNModule(QModule, TargetNetworkAPI):
    """`QModule` with a target network, and the TD errors of the actions that were taken.

    `model_config` has `target_action` besides: `online` (double Q), `target`, or `stored`, what the behaviour policy
    preferred when it got there, which for the afterstate network saves looking at every action's result again.

    A training batch has, of B transitions over n steps or fewer: observations and actions of the first step; the sum of
    discounted rewards (`REWARDS`) and the discount of what follows (`DISCOUNTS`: γ to the power of the steps, 0 at the
    end of an episode); what follows (`NEXT_OBS`, `NEXT_ACTIONS`, `NEXT_SCORES`); the scores before the first step;
    and, where it is learned beside, what stopping right after the first step is worth (`STOP_VALUES`).
    """

    def make_target_networks(self) -> None:
        self._target_network = copy.deepcopy(self.network).requires_grad_(False).eval()

    @property
    def target_network(self) -> QNetwork:
        """The online network as it was a while ago; it learns nothing and keeps its running statistics."""
        return self._target_network

    def train(self, mode: bool = True) -> DQNModule:
        """RLlib calls this before every update; the target network stays as it is."""
        super().train(mode)
        if hasattr(self, "_target_network"):
            self._target_network.eval()
        return self

    def networks(self) -> list[QNetwork]:
        return [self.network, self._target_network]

    def sync_target_network(self) -> None:
        """Copy the online network, its running statistics included."""
        self._target_network.load_state_dict(self.network.state_dict())

    def get_target_network_pairs(self) -> list[tuple[Any, Any]]:
        return [(self.network, self._target_network)]

    def get_non_inference_attributes(self) -> list[str]:
        return ["_target_network"]

    def forward_target(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        return {Columns.ACTION_DIST_INPUTS: self._target_network(batch[Columns.OBS])}

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        """Loss and TD error of the actions that were taken, float32 `(B,)`, and what they should have been.

        y = R + γᵐ V_target(s_m), where R is the sum of m ≤ n discounted rewards and V is `following`.

        For networks whose values include the score of the observation, Q = V − score at both ends, so
        V(s₀, a₀) = R + score₀ + γᵐ (V_target(s_m) − score_m). Where all m rewards are differences of scores and γ is 1,
        they telescope: R + score₀ − score_m is what was paid besides.
        """
        returns_B, discounts_B = batch[Columns.REWARDS], batch[DISCOUNTS]
        with torch.no_grad():
            following = self.following(batch)
            if self.network.values_include_score:
                returns_B = returns_B + batch[SCORES] - discounts_B * batch[NEXT_SCORES]
            targets = self.network.targets(returns_B, discounts_B, following)
        beside = [batch[STOP_VALUES]] if STOP_VALUES in batch else []
        loss_B, error_B = self.network.loss(batch[Columns.OBS], batch[Columns.ACTIONS], targets, *beside)
        return {LOSS: loss_B, TD_ERROR: error_B, TD_TARGET: targets}

    def following(self, batch: dict[str, Any]) -> Tensor:
        """What is expected after the last step: the target network's value of one action, float32 `(B,)`, or its
        distribution. The action is the stored one, or the arg max of the online or of the target network."""
        after, target = batch[Columns.NEXT_OBS], self._target_network
        assert isinstance(self.model_config, dict)
        chooser = self.model_config["target_action"]
        if chooser == "stored":
            return target.following(after, batch[NEXT_ACTIONS].clamp(min=0))
        if chooser == "target":
            return target.following(after, None)
        self.network.eval()  # choosing is no training: running statistics, and they stay as they are
        chosen_B = self.network(after).argmax(1)
        self.network.train()
        return target.following(after, chosen_B)


class DQN(Algorithm):
    """What was done is learned from: transitions over n steps, with what was observed before and after them."""

    module = DQNModule

    def __init__(self, plan: RunPlan):
        super().__init__(plan)
        config = plan.config
        learner, capacity = config.learner, config.rl_training.training.replay_capacity
        shape = config.observation_shape
        frame_shape = shape if self.stores_frames(learner) else None
        self.prioritized: PrioritizedReplayBuffer | None = None
        if learner.prioritized:
            self.replay = self.prioritized = PrioritizedReplayBuffer(capacity, frame_shape, learner.priority_alpha)
        else:
            self.replay = ReplayBuffer(capacity, frame_shape)
        self._frames: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self.renderer: ReplayRenderer | None = None
        if learner.replay == "reference":
            # Parts of photos are cut, as for acting, where they are still sharp when they are reduced.
            side = shape[-1] * (2 if plan.crops else 1)
            self.renderer = ReplayRenderer(plan.dataset.thumbnails(side), shape[-1], plan.crops)

    @classmethod
    def module_options(cls, learner: Learner) -> dict[str, Any]:
        return {"target_action": learner.target_action}

    def columns(
        self, rows: np.ndarray, generator: np.random.Generator, minibatches: int, progress: float
    ) -> dict[str, Tensor]:
        learner = self.config.learner
        sample = self.replay.steps(rows, learner.n_step, self.config.rl_training.training.gamma)
        if self.renderer is None:
            observations, following = self.replay.observations(rows, sample.ends, self._frames_for(len(rows)))
        else:
            observations, following = self.renderer(sample.transitions)
        columns = columns_of(sample, observations, following)
        if learner.value_stopping:
            columns[STOP_VALUES] = torch.from_numpy(self._stop_values(sample))
        if self.prioritized is not None:
            weights_B = self.prioritized.weights(rows, self.priority_beta(progress), minibatches)
            columns[WEIGHTS] = torch.from_numpy(weights_B)
        return columns

    def learned(self, rows: np.ndarray, results: Sequence[Mapping[str, Tensor]]) -> None:
        if self.prioritized is not None:
            errors = [result[TD_ERROR].cpu().numpy() for result in results]
            self.prioritized.update_priorities(rows, np.concatenate(errors))

    def priority_beta(self, progress: float) -> float:
        """How far importance weights make up for priorities now: linear to 1 over the training."""
        start = self.config.learner.priority_beta
        return start + (1 - start) * min(1.0, progress)

    def _stop_values(self, sample: Sample) -> np.ndarray:
        """What stopping right after the first step is worth, in what the network learns: Q or Q + score."""
        rewards_B: np.ndarray = sample.transitions["stop_reward"].copy()
        network = self.config.learner.network
        if isinstance(network, AfterstateSettings) and network.includes_score:
            rewards_B += sample.first_next_scores
        return rewards_B

    def _frames_for(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Two arrays for `count` frames, the same each time: making new ones takes longer than filling them."""
        if count not in self._frames:
            assert self.replay.frames is not None
            shape = (count, *self.replay.frames.shape[1:])
            self._frames[count] = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
        return self._frames[count]


def columns_of(sample: Sample, observations: np.ndarray, following: np.ndarray) -> dict[str, Tensor]:
    """What `DQNModule` learns from: a sample's transitions, and uint8 `(B, 3, S, S)` before and after them."""
    batch = sample.transitions
    columns = {
        Columns.OBS: observations,
        Columns.NEXT_OBS: following,
        Columns.ACTIONS: batch["action"].astype(np.int64),
        NEXT_ACTIONS: batch["next_action"].astype(np.int64),
        Columns.REWARDS: batch["reward"],
        DISCOUNTS: sample.discounts,
        SCORES: batch["score"],
        NEXT_SCORES: batch["next_score"],
    }
    return {name: torch.from_numpy(np.ascontiguousarray(column)) for name, column in columns.items()}
