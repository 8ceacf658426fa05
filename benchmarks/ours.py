"""This project as a `System` of setting.py."""

from __future__ import annotations

import time

import torch
from setting import Policy, Setting

from juror_service.jurors.registry import score_range
from ray_cluster.cluster.topology import one_machine, plan
from ray_cluster.jurors.actor_scorer import start_jurors
from ray_cluster.learner.build import build_algorithm
from rl_aesthetics.agents.agent import AgentDescription, DQNAgent
from rl_aesthetics.config.config import Config
from rl_aesthetics.evaluation.policies import agent_policy
from rl_aesthetics.plan.run_plan import RunPlan


class ThisProject:
    """`ray_cluster` as `rl-aesthetics train` runs it, without MLflow and validation: they have cores of their own.

    Args:
        config: of the training; `setting` says which dataset, and how many cores there are.
        budget_s: length of the whole training, by which the learning rate falls.
    """

    def __init__(self, setting: Setting, config: Config, budget_s: float | None = None):
        run = RunPlan.of(config, setting.dataset, score_range(config.juror.name))
        config = run.config
        self.config, self.budget_s, self.elapsed_s = config, budget_s, 0.0
        topology = plan(config, one_machine(setting.cores))
        self.threads = topology.learner_threads
        self.scorer = start_jurors(
            config.juror.name, config.juror.options, replicas=topology.jurors, num_cpus=topology.cpus_per_juror
        )
        torch.set_num_threads(self.threads)
        self.algorithm = build_algorithm(run, self.scorer, topology)
        shape = run.task.spaces()[0].shape
        self.agent = DQNAgent(
            AgentDescription(
                config.learner.network.portable(),
                run.task.actions,
                shape,
                run.task.max_steps,
                self.scorer.fingerprint,
            )
        )

    @property
    def env_steps(self) -> int:
        return self.algorithm.env_steps

    @property
    def trained(self) -> int:
        return self.algorithm.trained

    def scorer_calls(self) -> int:
        return self.algorithm.scorer_calls

    def set_ratio(self, ratio: float) -> None:
        # Learning counts what it owes from the beginning, and would first make up for the ratio until now.
        learner = self.algorithm.settings.learner
        learner.samples_per_insert = ratio
        self.algorithm.trained = int(max(0, self.algorithm.replay.added - learner.learning_starts) * ratio)

    def advance(self, seconds: float) -> None:
        torch.set_num_threads(self.threads)
        started = time.perf_counter()
        while (now := time.perf_counter() - started) < seconds:
            if self.budget_s:
                self.algorithm.progress = min(1.0, (self.elapsed_s + now) / self.budget_s)
            self.algorithm.train()
        self.elapsed_s += now

    def policy(self) -> Policy:
        weights = self.algorithm.network_weights()
        self.agent.network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        return agent_policy(self.agent)

    def close(self) -> None:
        self.algorithm.stop()
        self.scorer.close()
