"""One trial of a sweep: a training in a Ray actor of its own, that Tune can look at after each epoch and end early."""

from __future__ import annotations

import queue
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ray import tune

from ray_cluster.jurors.juror_pool import JurorPool
from ray_cluster.train.training import Training
from rl_aesthetics.config.config import Config
from rl_aesthetics.config.sweep_plan import SweepPlan
from rl_aesthetics.errors import UserError
from rl_aesthetics.files.run_files import TRIALS

BEST, EPOCH, OVER = "best", "epoch", "training_over"
"""What a trial tells Tune besides the sweep's metric: its best value so far, its epochs, and whether it was all."""

CLEAN_UP_S = 60.0
"""How long the end of a trial waits for its training to take leave of MLflow and of its workers."""


@dataclass(frozen=True)
class Shared:
    """What all trials of a sweep have in common.

    Attributes:
        plan: what is tried.
        overrides: settings of every trial, `key=value`.
        output: the sweep's folder.
        jurors: all trials ask them.
        parent: the sweep's run in MLflow, or None if MLflow could not be asked.
        name: of the sweep.
    """

    plan: SweepPlan
    overrides: tuple[str, ...]
    output: Path
    jurors: JurorPool
    parent: str | None
    name: str


class TrainingTrial(tune.Trainable):
    """A `Training` in a thread, which waits after each measured epoch until Tune wants the next one."""

    def setup(self, config: dict[str, Any], shared: Shared | None = None) -> None:
        self.shared = shared
        self.failure: Exception | None = None
        self.told: dict[str, Any] = {}
        self.results: queue.Queue[dict[str, Any]] = queue.Queue()
        self.go_on, self.ending = threading.Semaphore(0), False
        self.folder = shared.output / TRIALS / trial_name(self.trial_id)
        torch.set_num_threads(1)
        self.thread = threading.Thread(target=self._train, args=(dict(config),), daemon=True)
        self.started = False

    def step(self) -> dict[str, Any]:
        """Train until the next epoch is measured; what it measured, for Tune.

        Raises:
            Exception: what the training raised.
        """
        if not self.started:
            self.thread.start()
            self.started = True
        else:
            self.go_on.release()
        result = self.results.get()
        if self.failure is not None:
            raise self.failure
        if result.get(OVER) and BEST not in result:
            raise UserError(f"the training ended before {self.shared.plan.metric} was measured")
        return result

    def cleanup(self) -> None:
        """End the training where it is: its workers go, and its run in MLflow is closed."""
        self.ending = True
        self.go_on.release()
        if self.started:
            self.thread.join(CLEAN_UP_S)

    def _train(self, values: dict[str, Any]) -> None:
        shared = self.shared
        tags = {"sweep": shared.name}
        if shared.parent:
            tags["mlflow.parentRunId"] = shared.parent
        try:
            config = trial_config(shared, values, self.folder)
            Training(config, self._report, scorer=shared.jurors, tags=tags).run()
        except SystemExit:
            pass  # Tune has ended it
        except Exception as error:
            self.failure = error  # raised where Tune listens
        finally:
            self.results.put({**self.told, "done": True, OVER: True})

    def _report(self, metrics: dict[str, float]) -> None:
        """Called by the training with each epoch's metrics, in its thread."""
        plan = self.shared.plan
        value = metrics.get(plan.metric)
        if value is not None:
            better = max if plan.mode == "max" else min
            best = better(self.told.get(BEST, value), value)
            self.told = {plan.metric: value, BEST: best, EPOCH: int(metrics["epoch"])}
            self.results.put(self.told)
            self.go_on.acquire()
        if self.ending:
            sys.exit(0)


def trial_name(trial_id: str) -> str:
    """What Tune calls a trial, which is its folder's name."""
    return trial_id.rsplit("_", 1)[-1]


def trial_config(shared: Shared, values: dict[str, Any], folder: Path) -> Config:
    """The training of one trial: in a folder of its own, with the workers and threads that were set aside for it."""
    config = shared.plan.config(values, shared.overrides)
    workers = config.ray.num_rollout_workers
    return config.model_copy(
        update={
            "output": folder,
            "ray": config.ray.model_copy(update={"num_rollout_workers": 1 if workers == "auto" else workers}),
            "learner": config.learner.model_copy(update={"threads": config.learner.threads or 1}),
            "checkpoints": config.checkpoints.model_copy(update={"replay_limit_mb": 0.0, "keep": 1}),
            "mlflow": config.mlflow.model_copy(update={"run_name": f"{shared.name}-{folder.name}"}),
        }
    )
