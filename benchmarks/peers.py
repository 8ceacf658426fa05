"""The peers, each a `System` of setting.py: stock RLlib DQN and Stable-Baselines3 DQN on our environment.

Each is used as its documentation says, with the same layers, environment and juror as this project. What it is given to
its advantage stands where it is given.
"""

from __future__ import annotations

import time
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from ray.rllib.algorithms.dqn import DQNConfig
from ray.rllib.algorithms.dqn.torch.default_dqn_torch_rl_module import DefaultDQNTorchRLModule
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.models.base import ENCODER_OUT
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME
from ray.rllib.utils.schedules.scheduler import Scheduler
from ray.tune.registry import register_env
from setting import Policy, Setting
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.vec_env import VecEnv
from torch import nn

from rl_aesthetics.episodes.vector_env import ImageEditVectorEnv
from rl_aesthetics.networks.registry import make_network


class EnvironmentWithoutInfos(ImageEditVectorEnv):
    """For stock RLlib, which copies infos into its replay buffer, one dict at a time: it shall not pay for ours."""

    def reset(self, **kwargs: Any):
        return super().reset(**kwargs)[0], {}

    def step(self, actions_B):
        return (*super().step(actions_B)[:4], {})


def plain_layers(network: str, actions: tuple[str, ...], size: int) -> list[nn.Module]:
    """The layers of a network with one output per action, in order; the last gives the values."""
    made = make_network(network, actions, size)
    return [made.trunk, *made.head.advantage]


class SameLayers(DefaultDQNTorchRLModule):
    """The network's layers in the place where RLlib's DQN module has its own: encoder and action head."""

    def setup(self) -> None:
        model = self.model_config
        self.uses_dueling, self.uses_double_q, self.num_atoms = False, model["double_q"], 1
        self.epsilon_schedule = Scheduler(fixed_value_or_schedule=model["epsilon"], framework="torch")
        *features, head = plain_layers(model["network"], model["actions"], self.observation_space.shape[-1])
        self.encoder, self.af = Encoder(features), head


class Encoder(nn.Module):
    """Layers that answer as RLlib's encoders do."""

    def __init__(self, layers: list[nn.Module]):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        return {ENCODER_OUT: self.layers(batch[Columns.OBS])}


class StockRLlib:
    """RLlib's DQN on the new API stack: one EnvRunner with a native vector environment, uniform episode replay.

    Given to its advantage: no infos, the juror in the EnvRunner's process, and, unless its defaults are asked for,
    fragments of eight steps in place of one and uniform in place of prioritised replay. Always double Q, never dueling.

    Args:
        epsilon: RLlib's schedule, (environment step, value) pairs, or a constant.
        defaults: leave fragments and replay as RLlib has them.
        options: passed to `DQNConfig.training`.
    """

    def __init__(self, setting: Setting, epsilon: Any, defaults: bool = False, **options: Any):
        self.setting = setting
        replay = {} if defaults else {"type": "EpisodeReplayBuffer"}
        name = f"stock-{id(self)}"
        register_env(name, lambda context: setting.environment(EnvironmentWithoutInfos, context.get("num_envs")))
        observation_space, action_space = setting.task.spaces()
        model = {"network": setting.network, "actions": setting.task.actions, "double_q": True, "epsilon": epsilon}
        self.algorithm = (
            DQNConfig()
            .framework("torch")
            .debugging(seed=setting.seed, log_level="ERROR")
            .environment(name, observation_space=observation_space, action_space=action_space)
            .env_runners(
                num_env_runners=1,
                num_envs_per_env_runner=setting.episodes,
                rollout_fragment_length="auto" if defaults else 8,
                gym_env_vectorize_mode=gym.VectorizeMode.VECTOR_ENTRY_POINT,
            )
            .learners(num_learners=0)
            .training(
                train_batch_size_per_learner=setting.batch,
                double_q=True,
                dueling=False,
                replay_buffer_config={**replay, "capacity": setting.capacity},
                **options,
            )
            .rl_module(rl_module_spec=RLModuleSpec(module_class=SameLayers, model_config=model))
            .reporting(
                min_time_s_per_iteration=1,
                min_sample_timesteps_per_iteration=0,
                min_train_timesteps_per_iteration=0,
            )
            .build_algo()
        )
        self.updates = 0
        learner = self.algorithm.learner_group._learner
        update = learner.update

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.updates += 1
            return update(*args, **kwargs)

        learner.update = counted

    @property
    def env_steps(self) -> int:
        return int(self.algorithm.metrics.peek((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), default=0))

    @property
    def trained(self) -> int:
        return self.updates * self.setting.batch

    def scorer_calls(self) -> int:
        return self.algorithm.env_runner_group.foreach_env_runner(
            lambda runner: runner.env.unwrapped.scores.calls, local_env_runner=False
        )[0]

    def set_ratio(self, ratio: float) -> None:
        # RLlib assumes one sampler more than there are EnvRunners, so with one of them it trains twice what is asked.
        self.algorithm.config = self.algorithm.config.copy(copy_frozen=False).training(training_intensity=ratio / 2)

    def advance(self, seconds: float) -> None:
        torch.set_num_threads(self.setting.threads)
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            self.algorithm.train()

    def policy(self) -> Policy:
        module = self.algorithm.learner_group._learner.module[DEFAULT_MODULE_ID].unwrapped()

        def act(observations_BCHW: np.ndarray, photos_B: np.ndarray, states_B: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                values = module.compute_q_values({Columns.OBS: torch.from_numpy(observations_BCHW)})["qf_preds"]
            return values.argmax(1).numpy()

        return act

    def close(self) -> None:
        self.algorithm.stop()


class EnvironmentThatResetsAtOnce(ImageEditVectorEnv):
    """In the step that ends an episode, the next one's first observation; the last one is left in `last_frames`."""

    def step(self, actions_B):
        observations, rewards, terminated, dropped, info = super().step(actions_B)
        ended = np.flatnonzero(self.ended_B)
        self.last_frames = dict(zip(ended.tolist(), observations[ended], strict=True))
        if len(ended):
            self._begin(ended)
            observations[ended] = self.view(self.photos_B[ended], self.states_B[ended])
        return observations, rewards, terminated, dropped, info


class StableBaselinesEnv(VecEnv):
    """The vector environment as Stable-Baselines3 wants it: resets at once, `terminal_observation` in the infos."""

    def __init__(self, env: EnvironmentThatResetsAtOnce, seed: int):
        self.env, self.first_seed = env, seed
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> np.ndarray:
        return self.env.reset(seed=self.first_seed)[0]

    def step_async(self, actions: np.ndarray) -> None:
        self.actions = actions

    def step_wait(self):
        observations, rewards, terminated, dropped, _ = self.env.step(self.actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for row, frame in self.env.last_frames.items():
            infos[row] = {"terminal_observation": frame, "TimeLimit.truncated": bool(dropped[row])}
        return observations, rewards, terminated | dropped, infos

    def close(self) -> None:
        self.env.close()

    def get_attr(self, attr_name, indices=None):
        return [getattr(self.env, attr_name, None)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name, value, indices=None):
        raise NotImplementedError("the environments are one object")

    def env_method(self, method_name, *method_args, indices=None, **method_kwargs):
        raise NotImplementedError("the environments are one object")

    def env_is_wrapped(self, wrapper_class, indices=None):
        return [False] * len(list(self._get_indices(indices)))


class Features(BaseFeaturesExtractor):
    """All layers but the last, which Stable-Baselines3 adds itself."""

    def __init__(self, observation_space: gym.spaces.Box, network: str, actions: tuple[str, ...]):
        *layers, head = plain_layers(network, actions, observation_space.shape[-1])
        super().__init__(observation_space, features_dim=head.in_features)
        self.layers = nn.Sequential(*layers)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return self.layers(observations)


class DQNByTheClock(DQN):
    """`exploration_fraction` of a time in place of a number of steps, which nobody knows beforehand."""

    progress_remaining = 1.0

    def _update_current_progress_remaining(self, num_timesteps: int, total_timesteps: int) -> None:
        self._current_progress_remaining = self.progress_remaining


class Deadline(BaseCallback):
    """Stops `learn` after `seconds` and keeps the model's progress up to date."""

    def __init__(self, system: StableBaselines, seconds: float):
        super().__init__()
        self.system, self.seconds, self.started = system, seconds, time.perf_counter()

    def _on_step(self) -> bool:
        now = time.perf_counter() - self.started
        if self.system.budget_s:
            self.system.model.progress_remaining = max(0.0, 1 - (self.system.elapsed_s + now) / self.system.budget_s)
        return now < self.seconds


class StableBaselines:
    """Stable-Baselines3's DQN. It has no double Q, so its update is one forward pass cheaper than the others'.

    Args:
        episodes: how many environments; the setting's if left out.
        budget_s: length of the whole training, by which exploration falls; none keeps the last epsilon throughout.
        options: passed to `DQN`.
    """

    def __init__(self, setting: Setting, episodes: int | None = None, budget_s: float | None = None, **options: Any):
        self.setting, self.budget_s, self.elapsed_s = setting, budget_s, 0.0
        self.env = setting.environment(EnvironmentThatResetsAtOnce, episodes)
        if budget_s is None:
            options["exploration_initial_eps"] = options.get("exploration_final_eps", 0.05)
        self.model = DQNByTheClock(
            "CnnPolicy",
            StableBaselinesEnv(self.env, setting.seed),
            batch_size=setting.batch,
            buffer_size=setting.capacity,
            seed=setting.seed,
            device="cpu",
            policy_kwargs={
                "features_extractor_class": Features,
                "features_extractor_kwargs": {"network": setting.network, "actions": setting.task.actions},
                "net_arch": [],
                "normalize_images": False,  # the layers do that
            },
            **options,
        )

    @property
    def env_steps(self) -> int:
        return self.model.num_timesteps

    @property
    def trained(self) -> int:
        return self.model._n_updates * self.setting.batch

    def scorer_calls(self) -> int:
        return self.env.scores.calls

    def set_ratio(self, ratio: float) -> None:
        updates_per_step = ratio * self.env.num_envs / self.setting.batch
        vector_steps = max(1, round(1 / updates_per_step))
        self.model.train_freq = TrainFreq(vector_steps, TrainFrequencyUnit.STEP)
        self.model.gradient_steps = max(1, round(updates_per_step * vector_steps))

    def advance(self, seconds: float) -> None:
        torch.set_num_threads(self.setting.threads)
        deadline = Deadline(self, seconds)
        self.model.learn(2**62, callback=deadline, log_interval=None, reset_num_timesteps=self.env_steps == 0)
        self.elapsed_s += time.perf_counter() - deadline.started

    def policy(self) -> Policy:
        return lambda observations, photos, states: self.model.predict(observations, deterministic=True)[0]

    def close(self) -> None:
        self.env.close()
