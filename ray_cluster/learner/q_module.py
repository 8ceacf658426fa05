"""The Q-network as an RLlib module: acting on rollout workers, learning beside the replay buffer."""

from __future__ import annotations

import copy
from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, TargetNetworkAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor

from rl_aesthetics.networks.heads import set_noise
from rl_aesthetics.networks.registry import make_network

LOSS, TD_ERROR, TD_TARGET = "loss", "td_error", "td_target"
NEXT_ACTIONS, SCORES, NEXT_SCORES = "next_actions", "scores", "next_scores"
DISCOUNTS, WEIGHTS, STOP_VALUES = "discounts", "weights", "stop_values"


class QModule(TorchRLModule, InferenceOnlyAPI, TargetNetworkAPI):
    """One of `rl_aesthetics.networks.registry` with a target network.

    `model_config` has `network` (its settings), `actions`, `double_q` and `remember_next_action`:
    whether the next action is the one that the behaviour policy preferred when it got there, which for the edit-scoring
    network saves looking at every action's result again.

    A training batch has, of B transitions over n steps or fewer: observations and actions of the first step; the sum of
    discounted rewards (`REWARDS`) and the discount of what follows (`DISCOUNTS`: γ to the power of the steps, 0 at the
    end of an episode); what follows (`NEXT_OBS`, `NEXT_ACTIONS`, `NEXT_SCORES`); the scores before the first step;
    and, where it is learned beside, what stopping right after the first step is worth (`STOP_VALUES`).

    Noisy layers are noisy here, where there is training; evaluation has a network of its own, without noise.
    """

    framework = "torch"

    def setup(self) -> None:
        model = self.model_config
        self.network = make_network(model["network"], model["actions"], self.observation_space.shape[-1])
        self.network.train(not self.inference_only)
        self.network.mirror = False  # twice the time for each step would be worth less than twice the steps
        set_noise(self.network, True)

    def make_target_networks(self) -> None:
        self._target_network = copy.deepcopy(self.network).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> QModule:
        """RLlib calls this before every update; the target network learns nothing and keeps its running statistics."""
        super().train(mode)
        if hasattr(self, "_target_network"):
            self._target_network.eval()
        return self

    def sync_target_network(self) -> None:
        """Copy the online network, its running statistics included."""
        self._target_network.load_state_dict(self.network.state_dict())

    def get_target_network_pairs(self):
        return [(self.network, self._target_network)]

    def get_non_inference_attributes(self) -> list[str]:
        return ["_target_network"]

    def forward_target(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self._target_network(batch[Columns.OBS])}

    def _forward(self, batch: dict[str, Any], **kwargs) -> dict[str, Any]:
        """Values of all actions, float32 `(B, A)`; the arg max is the greedy action."""
        values_BA = self.network(batch[Columns.OBS])
        return {Columns.ACTION_DIST_INPUTS: values_BA, Columns.ACTIONS: values_BA.argmax(1)}

    def _forward_train(self, batch: dict[str, Any], **kwargs) -> dict[str, Any]:
        """Loss and TD error of the actions that were taken, float32 `(B,)`, and what they should have been.

        y = R + γᵐ Q_target(s_m, a*), where R is the sum of m ≤ n discounted rewards and a* the arg max of the online
        network (double Q, arXiv 1509.06461), of the target network, or the remembered one.

        For networks whose values include the score of the observation, Q = V − score at both ends, so
        V(s₀, a₀) = R + score₀ + γᵐ (V_target(s_m, a*) − score_m). Where all m rewards are differences of scores and γ
        is 1, they telescope: R + score₀ − score_m is what was paid besides.
        """
        returns_B, discounts_B = batch[Columns.REWARDS], batch[DISCOUNTS]
        with torch.no_grad():
            following = self._following(batch)
            if self.network.values_include_score:
                returns_B = returns_B + batch[SCORES] - discounts_B * batch[NEXT_SCORES]
            targets = self.network.targets(returns_B, discounts_B, following)
        if STOP_VALUES in batch:
            loss_B, error_B = self.network.loss(batch[Columns.OBS], batch[Columns.ACTIONS], targets, batch[STOP_VALUES])
        else:
            loss_B, error_B = self.network.loss(batch[Columns.OBS], batch[Columns.ACTIONS], targets)
        return {LOSS: loss_B, TD_ERROR: error_B, TD_TARGET: targets}

    def _following(self, batch: dict[str, Any]) -> Tensor:
        after, target = batch[Columns.NEXT_OBS], self._target_network
        if self.model_config["remember_next_action"]:
            return target.following(after, batch[NEXT_ACTIONS].clamp(min=0))
        if not self.model_config["double_q"]:
            return target.following(after, None)
        self.network.eval()  # choosing is no training: running statistics, and they stay as they are
        chosen_B = self.network(after).argmax(1)
        self.network.train()
        return target.following(after, chosen_B)
