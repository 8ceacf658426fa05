"""DQN that learns to edit photos, in one process and one loop. Read this first; the rest of the project distributes it.

    rl-aesthetics generate --source samples --output runs/data
    python examples/one_process.py runs/data

A test holds its first updates to those of `rl-aesthetics train` in lockstep, weight for weight. It leaves out what is
faster, safer or better: workers on other machines, prioritised replay, n steps, checkpoints, validation, MLflow.
Shapes: B minibatch, E episodes side by side, A actions, C H W image.
"""

from __future__ import annotations

import copy
import sys
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from juror_service.jurors.registry import load_juror
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.episodes.task import Task
from rl_aesthetics.episodes.vector_env import ImageEditVectorEnv
from rl_aesthetics.networks.q_network import QNetwork
from rl_aesthetics.networks.registry import make_network


@dataclass(frozen=True)
class Settings:
    """Named as in docs/configuration.md, which explains them."""

    batch_size: int = 32  # transitions
    replay_capacity: int = 20_000
    learning_rate: float = 1e-3
    gamma: float = 0.9  # episodes have five steps
    epsilon_start: float = 1.0
    epsilon_end: float = 0.05
    epsilon_decay: float = 0.995  # for each finished episode
    target_update_frequency: int = 100  # updates
    episodes_side_by_side: int = 8  # dataloader_batch_size
    rollout_fragment_length: int = 8  # steps between two rounds of updates
    samples_per_insert: float = 8.0  # transitions trained for each one sampled
    learning_starts: int = 500
    grad_clip: float = 10.0
    seed: int = 1


class Transition(NamedTuple):
    """One step of an episode; `following` is None at its end, where nothing lies beyond to estimate."""

    observation: np.ndarray  # uint8 (C, H, W)
    action: int
    reward: float
    following: np.ndarray | None


def epsilon_after(episodes: int, settings: Settings) -> float:
    """Share of random actions once so many episodes have ended."""
    return max(settings.epsilon_end, settings.epsilon_start * settings.epsilon_decay**episodes)


def loss_of(network: QNetwork, target: QNetwork, batch: list[Transition], gamma: float) -> Tensor:
    """Mean Huber loss of Q(s, a) to r + γ Q_target(s', argmax Q(s', ·)): double DQN (arXiv 1509.06461)."""
    observations_BCHW = torch.from_numpy(np.stack([step.observation for step in batch]))
    nowhere = np.zeros_like(batch[0].observation)
    following_BCHW = torch.from_numpy(np.stack([nowhere if s.following is None else s.following for s in batch]))
    actions_B = torch.tensor([step.action for step in batch])
    rewards_B = torch.tensor([step.reward for step in batch], dtype=torch.float32)
    discounts_B = torch.tensor([0.0 if step.following is None else gamma for step in batch])
    with torch.no_grad():
        chosen_B = network(following_BCHW).argmax(1)
        targets_B = rewards_B + discounts_B * target(following_BCHW).gather(1, chosen_B[:, None])[:, 0]
    taken_B = network(observations_BCHW).gather(1, actions_B[:, None])[:, 0]
    return nn.functional.smooth_l1_loss(taken_B, targets_B)


class Loop:
    """Act for some steps, then make the updates that are due, again and again."""

    def __init__(self, env: ImageEditVectorEnv, network: QNetwork, settings: Settings):
        self.env, self.network, self.settings = env, network, settings
        self.target = copy.deepcopy(network)
        self.optimizer = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=0.0, fused=True)
        self.replay: deque[Transition] = deque(maxlen=settings.replay_capacity)
        self.sampled = self.trained = self.updates = self.episodes = 0
        self.acting, self.drawing = np.random.default_rng(settings.seed + 1), np.random.default_rng(settings.seed)
        self.observations_ECHW, _ = env.reset(seed=settings.seed + 1)
        self.begins_E = np.zeros(env.num_envs, bool)  # its step is the reset that follows an end
        self.running: list[list[Transition]] = [[] for _ in range(env.num_envs)]
        self.improved: deque[bool] = deque(maxlen=200)  # of the last episodes

    def act(self) -> None:
        """Take `rollout_fragment_length` steps in every episode; only complete episodes reach the replay buffer."""
        epsilon = epsilon_after(self.episodes, self.settings)
        for _ in range(self.settings.rollout_fragment_length):
            explore_E = self.acting.random(self.env.num_envs) < epsilon
            random_E = self.acting.integers(0, len(self.env.task.actions), self.env.num_envs)
            with torch.inference_mode():
                greedy_E = self.network(torch.from_numpy(self.observations_ECHW)).argmax(1).numpy()
            actions_E = np.where(explore_E, random_E, greedy_E)
            following_ECHW, rewards_E, ended_E, dropped_E, info = self.env.step(actions_E)
            for k in np.flatnonzero(~self.begins_E):
                step = (self.observations_ECHW[k], int(actions_E[k]), float(rewards_E[k]))
                self.running[k].append(Transition(*step, None if ended_E[k] else following_ECHW[k]))
                if ended_E[k]:
                    self.replay.extend(self.running[k])
                    self.sampled += len(self.running[k])
                    self.improved.append(bool(info["score"][k] > info["degraded_score"][k]))
                if ended_E[k] or dropped_E[k]:  # dropped: the juror gave no score
                    self.running[k] = []
            self.episodes += int(ended_E.sum())
            self.observations_ECHW, self.begins_E = following_ECHW, ended_E | dropped_E

    def learn(self) -> None:
        """One update: draw a minibatch, step down the gradient, and now and then let the target network follow."""
        rows_B = self.drawing.integers(0, len(self.replay), self.settings.batch_size)
        self.optimizer.zero_grad()
        loss_of(self.network, self.target, [self.replay[row] for row in rows_B], self.settings.gamma).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.grad_clip)
        self.optimizer.step()
        self.updates, self.trained = self.updates + 1, self.trained + self.settings.batch_size
        if self.updates % self.settings.target_update_frequency == 0:
            self.target.load_state_dict(self.network.state_dict())

    def turn(self) -> None:
        """Act, then learn until `samples_per_insert` is met."""
        self.act()
        if len(self.replay) >= self.settings.learning_starts:
            owed = (self.sampled - self.settings.learning_starts) * self.settings.samples_per_insert - self.trained
            for _ in range(int(owed // self.settings.batch_size)):
                self.learn()


def main() -> None:
    """Train, and say how many of the last 200 episodes ended with a better score than they began with."""
    settings, task = Settings(), Task()
    torch.manual_seed(settings.seed)
    env = ImageEditVectorEnv(RLDataset(sys.argv[1]), load_juror("pocket"), task, settings.episodes_side_by_side)
    loop = Loop(env, make_network("simple_cnn", task.actions, task.observation_size), settings)
    while loop.episodes < 4_000:
        loop.turn()
        print(f"\r{loop.episodes:5} episodes, improved {np.mean(loop.improved or [0]):.2f}", end="", flush=True)
    print()


if __name__ == "__main__":
    main()
