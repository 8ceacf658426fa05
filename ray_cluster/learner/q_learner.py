"""The gradient step: RLlib's learner with a loop over minibatches of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from ray.rllib.algorithms.dqn.torch.dqn_torch_learner import DQNTorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.training_data import TrainingData
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ray_cluster.learner.q_module import LOSS, TD_ERROR
from ray_cluster.replay.transition import WEIGHTS
from rl_aesthetics.config.config import Config


def moving_average(decay: float) -> Callable[[list[Tensor], list[Tensor], Tensor], None]:
    """Exponential moving average of n weights so far, for `AveragedModel`, with decay min(decay, (1 + n) / (10 + n)).

    Averaging the last weights of a descent (Polyak and Juditsky 1992) takes the noise of its last steps out. The
    smaller decay at the beginning, as in TensorFlow's ExponentialMovingAverage, forgets where it began.
    """

    def update(average: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        if average[0].is_floating_point():
            torch._foreach_lerp_(average, current, 1 - min(decay, (1 + int(count)) / (10 + int(count))))
        else:  # counters of batch norms
            torch._foreach_copy_(average, current)

    return torch.no_grad()(update)


class QLearner(DQNTorchLearner):
    """The module's loss, AdamW, a target network, where there is one, synced every so many updates.

    RLlib builds it, checkpoints it and calls `update` with columns for several minibatches. What is done for each of
    them is the gradient step alone; RLlib would slice, count, time and log for each, and check every gradient for
    finiteness, where one check of the global norm, which is computed anyway, does.

    `learner_config_dict` has the `RunPlan` (`plan`).
    """

    def build(self) -> None:
        super().build()
        self.updates = self.skipped_updates = 0
        self.losses: list[Tensor] = []
        self.average: AveragedModel | None = None
        self.restart_average()

    @property
    def _settings(self) -> Config:
        config: Config = self.config.learner_config_dict["plan"].config
        return config

    def restart_average(self) -> None:
        """Let the running average of the weights, where one is wanted, begin at the network as it is now."""
        if decay := self._settings.learner.weight_average:
            network = self.module[DEFAULT_MODULE_ID].unwrapped().network
            self.average = AveragedModel(network, multi_avg_fn=moving_average(decay), use_buffers=True)

    def kept_network(self) -> nn.Module:
        """What is validated and kept: the network of the running average where there is one, else the online one."""
        return self.average.module if self.average else self.module[DEFAULT_MODULE_ID].unwrapped().network

    @classmethod
    def rl_module_required_apis(cls) -> list[type]:
        return []  # `QModule` is all that is asked of

    def configure_optimizers_for_module(self, module_id: str, config=None) -> None:
        network = self._module[module_id].unwrapped().network
        learned = [p for p in network.parameters() if p.requires_grad]
        # Weight decay is for weights: scales and biases of a few numbers each have no reason to be small.
        decayed, others = [p for p in learned if p.ndim > 1], [p for p in learned if p.ndim <= 1]
        optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": self._settings.learner.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=config.lr,
            fused=True,  # 0.6 in place of 1.8 to 3 ms an update of the usual DQN network, on one core
        )
        self.register_optimizer(
            module_id=module_id, optimizer=optimizer, params=[*decayed, *others], lr_or_lr_schedule=config.lr
        )

    def before_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        for optimizer in self._named_optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = timesteps["learning_rate"]

    def update(
        self, *, training_data: TrainingData, timesteps: dict[str, Any], minibatch_size: int, **kwargs
    ) -> dict[str, Tensor]:
        """One gradient step for each minibatch, in order.

        Args:
            training_data: whose `batch` has the columns that the module describes, as tensors on the CPU, of a multiple
                of `minibatch_size` transitions.
            timesteps: `learning_rate`, for all of them.

        Returns:
            `TD_ERROR`, float32 `(B,)` of all transitions, as they were before their minibatch's step.
        """
        self.before_gradient_based_update(timesteps=timesteps)
        columns = self._on_device(training_data.batch.policy_batches[DEFAULT_MODULE_ID])
        minibatches = zip(*(column.split(minibatch_size) for column in columns.values()), strict=True)
        self.module[DEFAULT_MODULE_ID].train()
        errors = [self._step(dict(zip(columns, minibatch, strict=True))) for minibatch in minibatches]
        self._weights_seq_no += 1  # what RLlib goes by when it sends weights
        self._log_metrics(training_data.batch)
        return {TD_ERROR: torch.cat(errors)}

    def _on_device(self, columns: dict[str, Tensor]) -> dict[str, Tensor]:
        if self.device.type == "cpu":
            return dict(columns)
        # Pinned memory is copied beside the computation; the arrays given can be used again at once.
        return {name: column.pin_memory().to(self.device, non_blocking=True) for name, column in columns.items()}

    def _step(self, columns: dict[str, Tensor]) -> Tensor:
        module = self.module[DEFAULT_MODULE_ID]
        outputs = module.forward_train(columns)
        loss = self.compute_loss_for_module(
            module_id=DEFAULT_MODULE_ID, config=self.config, batch=columns, fwd_out=outputs
        )
        (optimizer,) = self._named_optimizers.values()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        bound = self.config.grad_clip if self.config.grad_clip is not None else float("inf")
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if torch.isfinite(nn.utils.clip_grad_norm_(parameters, bound)):
            optimizer.step()
        else:
            self.skipped_updates += 1
        if self.average:
            self.average.update_parameters(module.unwrapped().network)
        self.updates += 1
        if self.updates % self._settings.rl_training.training.target_update_frequency == 0:
            module.unwrapped().sync_target_network()
        self.losses.append(loss.detach())
        return outputs[TD_ERROR]

    def compute_loss_for_module(self, *, module_id, config, batch, fwd_out) -> Tensor:
        loss_B = fwd_out[LOSS]
        return (loss_B * batch[WEIGHTS] if WEIGHTS in batch else loss_B).mean()

    def take_losses(self) -> list[float]:
        """The losses since the last call."""
        losses, self.losses = torch.stack(self.losses).tolist() if self.losses else [], []
        return losses

    def get_state(self, *args, **kwargs) -> dict:
        return {**super().get_state(*args, **kwargs), "updates": self.updates}

    def set_state(self, state: dict) -> None:
        super().set_state(state)
        self.lay_out_moments()
        self.updates = state.get("updates", self.updates)

    def lay_out_moments(self) -> None:
        """Give the optimiser's moments the memory layout of their weights, after they were loaded from elsewhere.

        The fused kernel walks through memory, whatever the strides say: moments in another layout than weights in
        `channels_last` would be those of other weights.
        """
        for optimizer in self._named_optimizers.values():
            for parameter, moments in optimizer.state.items():
                for name, value in moments.items():
                    if isinstance(value, Tensor) and value.shape == parameter.shape:
                        moments[name] = torch.empty_like(parameter).copy_(value)
