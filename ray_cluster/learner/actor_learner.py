"""The actor-learner: `ActorLearner` overlaps sampling and learning.

    runners ── complete episodes ──> ReplayBuffer ── minibatches ──> QLearner
       ^                                                                │
       └──────────────── weights, epsilon, without waiting ─────────────┘

Runners always have a request in flight, so sampling does not wait for learning, and the learner takes whatever has
arrived, so it does not wait for the slowest runner. `samples_per_insert` ties the two: whoever is ahead pauses.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from ray.rllib.algorithms.dqn import DQN, DQNConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch

from ray_cluster.learner.algorithm import Algorithm
from ray_cluster.learner.q_learner import QLearner
from ray_cluster.replay.transition import EPISODE, Fragment
from rl_aesthetics.errors import ScoringError
from rl_aesthetics.networks.q_network import QNetwork
from rl_aesthetics.plan.run_plan import RunPlan
from rl_aesthetics.scores.score_cache import SCORED

PATIENCE_S = 180.0
"""A juror may restart and calls to it may be repeated, but not for longer than this."""


class ActorLearner(DQN):
    """Sampling and learning that overlap; what is learned is the `Algorithm`'s business (`self.learning`).

    Of RLlib's DQN, an off-policy algorithm with rollout workers and a learner group, nothing else is used than these.
    `learner_config_dict` has the `RunPlan` (`plan`) and the `Algorithm` (`algorithm`, a class); `env_config` is what
    the rollout workers are told.
    """

    @classmethod
    def get_default_config(cls) -> DQNConfig:
        return DQNConfig(algo_class=cls)

    def setup(self, config) -> None:
        super().setup(config)
        extra = config.learner_config_dict
        self.plan: RunPlan = extra["plan"]
        self.settings = self.plan.config
        self.learning: Algorithm = extra["algorithm"](self.plan)
        self.replay = self.learning.replay
        self.generator = np.random.default_rng(self.settings.learner.seed)
        self.env_steps = self.episodes_done = self.trained = self.dropped = self.scorer_calls = 0
        self.score_lookups = self.score_hits = 0
        self.finished_episodes: list[np.ndarray] = []
        self.new_scores: list[np.ndarray] = []
        self.curriculum_depth = self.settings.curriculum.start_depth if self.settings.curriculum.enabled else 0
        self.progress = 0.0
        self.interrupted: Callable[[], bool] = lambda: False
        self._last_arrival: float | None = None

    @property
    def epsilon(self) -> float:
        """Share of random actions now; by default it decays with every finished episode."""
        return self._exploration[0]

    @property
    def temperature(self) -> float | None:
        """Of the Boltzmann policy now; None where another one explores."""
        return self._exploration[1]

    @property
    def _exploration(self) -> tuple[float, float | None]:
        if self.settings.learner.network.explores:
            return 0.0, None  # the noise explores
        training = self.settings.rl_training.training
        ends = training.epsilon_start, training.epsilon_end
        return self.settings.exploration.at(self.episodes_done, self.env_steps, ends, training.epsilon_decay)

    @property
    def _sampling(self) -> dict[str, Any]:
        """What rollout workers are told with each request."""
        return {
            "epsilon": self.epsilon,
            "temperature": self.temperature,
            "depth": self.curriculum_depth or None,
        }

    @property
    def samples_per_insert(self) -> float:
        """Transitions trained for each transition sampled since learning started."""
        started = self.replay.added - self.settings.learner.learning_starts
        return self.trained / started if started > 0 else 0.0

    def training_step(self, seconds: float = 1.0) -> None:
        """Collect, learn and send weights for about `seconds`."""
        until = time.monotonic() + seconds
        self._last_arrival = self._last_arrival or time.monotonic()
        if self.settings.learner.lockstep:
            self._take_turns()
            return
        while time.monotonic() < until and not self.interrupted():
            due = self._updates_due()
            arrived = self._collect(wait=0.0 if due else 0.1)
            if due:
                self._learn(min(due, self.settings.learner.updates_per_call))
            if arrived and self.trained:
                self.send_weights()

    def _take_turns(self) -> None:
        """Every worker samples once, then all updates that are due are made: nothing depends on who is quicker."""
        sampling = {"func": "sample", "kwargs": self._sampling, "local_env_runner": False}
        self._take(self.env_runner_group.foreach_env_runner(**sampling))
        while due := self._updates_due():
            self._learn(min(due, self.settings.learner.updates_per_call))
        if self.trained:
            self.send_weights(surely=True)

    def settle(self, seconds: float) -> bool:
        """Take what runners have under way and ask for nothing more; whether all of it came within `seconds`."""
        until, group = time.monotonic() + seconds, self.env_runner_group
        while group.num_in_flight_async_reqs("sample") and time.monotonic() < until:
            self._collect(wait=0.05, ask=False)
        return not group.num_in_flight_async_reqs("sample")

    def _updates_due(self) -> int:
        training, learner = self.settings.rl_training.training, self.settings.learner
        if len(self.replay) < learner.learning_starts:  # also after going on without the replay buffer
            return 0
        owed = (self.replay.added - learner.learning_starts) * learner.samples_per_insert - self.trained
        return max(0, int(owed // training.batch_size))

    def _collect(self, wait: float, ask: bool = True) -> int:
        """Take what runners have sent and ask those that are idle for more, unless learning is behind."""
        group = self.env_runner_group
        fragments: list[Fragment] = group.fetch_ready_async_reqs(tags="sample", timeout_seconds=wait)
        fragments = [result[1] if isinstance(result, tuple) else result for result in fragments]
        self._take(fragments)
        # Two calls' worth may be due: with less, runners would idle while learning works off what they have just sent
        # (90 in place of 150 environment steps a second with configs/tuned.yaml).
        if ask and self._updates_due() <= 2 * self.settings.learner.updates_per_call:
            group.foreach_env_runner_async(func="sample", tag="sample", kwargs=self._sampling)
        return len(fragments)

    def _take(self, fragments: list[Fragment]) -> None:
        for fragment in fragments:
            self.replay.add(fragment.transitions, fragment.frames, fragment.notes)
            self.env_steps += fragment.env_steps
            self.episodes_done += len(fragment.episodes)
            self.dropped += fragment.dropped
            self.scorer_calls += fragment.scorer_calls
            self.score_lookups += fragment.lookups
            self.score_hits += fragment.hits
            self.new_scores.append(fragment.scored)
            self.finished_episodes.append(fragment.episodes)
            if len(fragment.transitions):
                self._last_arrival = time.monotonic()
        if time.monotonic() - self._last_arrival > PATIENCE_S:
            raise ScoringError(
                f"no scored episode has arrived for {PATIENCE_S / 60:g} minutes ({self.dropped} were dropped): "
                "is the juror alive?"
            )

    def _learn(self, updates: int) -> None:
        size = self.settings.rl_training.training.batch_size
        rows = self.replay.sample(updates * size, self.generator, updates)
        columns = self.learning.columns(rows, self.generator, updates, self.progress)
        results = self.learner_group.update(
            batch=MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(columns)}, len(rows)),
            timesteps={"learning_rate": self.learning_rate},
            minibatch_size=size // max(1, self.settings.ray.num_learners),
        )
        self.learning.learned(rows, results)
        self.trained += len(rows)

    @property
    def learning_rate(self) -> float:
        """The optimiser's learning rate now: constant, or linear to `learning_rate_end` over the training."""
        start, end = self.settings.rl_training.training.learning_rate, self.settings.learner.learning_rate_end
        return start if end is None else start + (end - start) * min(1.0, self.progress)

    def network_weights(self) -> dict[str, np.ndarray]:
        """A copy of the tensors of the network that is validated and kept: the online one, or its running average."""

        def copy(learner: QLearner) -> dict[str, np.ndarray]:
            return {name: tensor.cpu().numpy().copy() for name, tensor in learner.kept_network().state_dict().items()}

        return self._first(self.learner_group.foreach_learner(copy))

    def start_from(self, change: Callable[[QNetwork], None]) -> None:
        """Change the online network before training, and let target network and runners follow."""

        def apply(learner: QLearner) -> None:
            module = learner.module[DEFAULT_MODULE_ID].unwrapped()
            change(module.network)
            module.sync_target_network()
            learner.restart_average()

        self.learner_group.foreach_learner(apply)
        self.send_weights(surely=True)

    def take_losses(self) -> list[float]:
        """The losses of the updates since the last call."""
        return self._first(self.learner_group.foreach_learner(lambda learner: learner.take_losses()))

    @staticmethod
    def _first(results) -> Any:
        """What the first learner answered: all hold the same weights."""
        return next(iter(results)).get()

    def send_weights(self, surely: bool = False) -> None:
        """Let the runners act by the online network as it is now, without waiting for them.

        Args:
            surely: RLlib leaves out a worker that has two requests unanswered, as one that is starting may have. The
                next weights are there soon; where everything is to be exact, wait until nothing is unanswered.
        """
        if surely:
            self.env_runner_group.fetch_ready_async_reqs(tags="set_state", timeout_seconds=PATIENCE_S)
        self.env_runner_group.sync_weights(
            from_worker_or_learner_group=self.learner_group, policies=[DEFAULT_MODULE_ID], inference_only=True
        )

    def take_scores(self) -> np.ndarray:
        """`SCORED` records that the juror gave the workers since the last call, if they note them."""
        taken, self.new_scores = self.new_scores, []
        return np.concatenate(taken) if taken else np.zeros(0, SCORED)

    def take_episodes(self) -> np.ndarray:
        """`EPISODE` records of the episodes that finished since the last call."""
        taken, self.finished_episodes = self.finished_episodes, []
        return np.concatenate(taken) if taken else np.zeros(0, EPISODE)
