"""The validation worker: one Ray actor that runs the validation split while training goes on."""

from __future__ import annotations

from typing import Any

import ray
import torch

from ray_cluster.cluster.topology import VALIDATION_CPUS
from rl_aesthetics.agents.agent import AgentDescription, DQNAgent
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.episodes.task import Task
from rl_aesthetics.evaluation.evaluation import Evaluation
from rl_aesthetics.evaluation.policies import agent_policy
from rl_aesthetics.reports.filmstrip import photos_of
from rl_aesthetics.rewards import Success
from rl_aesthetics.scores.scorer import Scorer


@ray.remote(num_cpus=VALIDATION_CPUS, max_restarts=-1, max_task_retries=3)  # validating twice does no harm
class ValidationWorker:
    """Runs the validation split greedily, beside training."""

    def __init__(self, dataset: RLDataset, scorer: Scorer, task: Task, description: AgentDescription):
        torch.set_num_threads(1)
        self.evaluation = Evaluation(dataset, scorer, task)
        self.agent = DQNAgent(description)

    def __repr__(self) -> str:
        return "ValidationWorker"

    def run(self, weights: dict[str, torch.Tensor], depth: int = 0) -> dict[str, Any]:
        """The validation metrics of a network with these weights, and under `filmstrip` what became of a few photos.

        Args:
            depth: of a curriculum: measure success on degradations of this depth, too.
        """
        self.agent.network.load_state_dict(weights)
        episodes = self.evaluation.run(agent_policy(self.agent))
        success: Success = episodes.success()
        metrics = {}
        if depth:
            there = self.evaluation.at_depth(depth).run(agent_policy(self.agent)).success()
            metrics = {f"curriculum_val_{name}": getattr(there, name) for name in ("improved", "recovered", "exact")}
        return metrics | {
            "val_avg_reward": float(episodes.returns_N.mean()),
            "val_avg_improvement": float((episodes.final_N - episodes.degraded_N).mean()),
            "val_success_rate": success.improved,
            "val_recovered": success.recovered,
            "val_exact": success.exact,
            "val_avg_steps": float(episodes.steps_N.mean()),
            "filmstrip": photos_of(self.evaluation, episodes),
        }
