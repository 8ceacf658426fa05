"""The Q-network as an RLlib module: acting on rollout workers; algorithms add a loss, for learning beside replay."""

from __future__ import annotations

from typing import Any

from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor

from rl_aesthetics.networks.heads import set_noise
from rl_aesthetics.networks.q_network import QNetwork
from rl_aesthetics.networks.registry import make_network

LOSS, TD_ERROR, TD_TARGET = "loss", "td_error", "td_target"
"""What `forward_train` gives: loss and error of each of B transitions, float32 `(B,)`, and what was aimed at."""


class QModule(TorchRLModule, InferenceOnlyAPI):  # type: ignore[misc]  # Ray's are untyped
    """One of `rl_aesthetics.networks.registry`, which acts greedily. An algorithm's module adds `_forward_train`.

    `model_config` has `network` (its settings), `actions`, and what the algorithm adds (`Algorithm.module_options`).

    Noisy layers are noisy here, where there is training; evaluation has a network of its own, without noise.
    """

    framework = "torch"

    def setup(self) -> None:
        model = self.model_config
        self.network = make_network(model["network"], model["actions"], self.observation_space.shape[-1])
        self.network.train(not self.inference_only)
        self.network.mirror = False  # twice the time for each step would be worth less than twice the steps
        set_noise(self.network, True)

    def networks(self) -> list[QNetwork]:
        """The online network, and whatever else computes when it learns."""
        return [self.network]

    def sync_target_network(self) -> None:
        """Let the target network, where there is one, be the online network."""

    def get_non_inference_attributes(self) -> list[str]:
        return []

    def values(self, batch: dict[str, Any]) -> Tensor:
        """Values of all actions, float32 `(B, A)`."""
        values_BA: Tensor = self.network(batch[Columns.OBS])
        return values_BA

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        """Values of all actions, float32 `(B, A)`; the arg max is the greedy action."""
        values_BA = self.values(batch)
        return {Columns.ACTION_DIST_INPUTS: values_BA, Columns.ACTIONS: values_BA.argmax(1)}
