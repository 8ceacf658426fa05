"""The best agent of a training so far, and the epochs that it was found in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ray_cluster.train.output import Records
from rl_aesthetics.agents.agent import DQNAgent
from rl_aesthetics.files.atomic import write_file


class BestSoFar:
    """Keeps the epochs' metrics and writes the best of the validated agents.

    Args:
        file: of the best agent; what it holds already is no concern here.
        approximates: whether edits bring back the original at best nearly (`RunPlan.approximates`): then agents differ
            in how near they come to it.

    Attributes:
        history: the metrics of every epoch, in order.
        metrics: those of the best one; empty before the first validation.
    """

    def __init__(self, file: Path, approximates: bool = False):
        self.file, self.approximates = file, approximates
        self.history: list[dict[str, float]] = []
        self.metrics: dict[str, float] = {}
        self._rank: tuple[float, ...] | None = None

    def offer(self, agent: DQNAgent, metrics: dict[str, float], records: Records) -> None:
        """Keep and write a validated agent if it is the best so far; the earlier one of equally good ones stays."""
        rank = self.rank(metrics)
        if self._rank is not None and rank <= self._rank:
            return
        self._rank, self.metrics = rank, metrics
        best = DQNAgent(replace(agent.description, training=metrics), agent.network)
        records.do(lambda: best.save(self.file))

    def rank(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """What an epoch is judged by, the most important first."""
        if self.approximates:
            return metrics["val_avg_improvement"], metrics["val_success_rate"]
        # Exactness breaks ties of the success rate, and the reward breaks ties of both.
        return metrics["val_success_rate"], metrics["val_exact"], metrics["val_avg_reward"]

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "history": self.history,
            "best": self._rank,
            "best_metrics": self.metrics,
            "agent": np.frombuffer(self.file.read_bytes(), np.uint8) if self.file.exists() else None,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave.

        Raises:
            UserError: the agent's file cannot be written.
        """
        self.history, self._rank, self.metrics = state["history"], state["best"], state["best_metrics"]
        if state["agent"] is not None:
            write_file(self.file, state["agent"].tobytes())
