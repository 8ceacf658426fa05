"""Training: a dataset in, an agent out.

    rl-aesthetics train --config configs/tuned.yaml dataset=runs/data output=runs/train

Leaves in the output folder `agent.safetensors` (the best by validation), agents of the last epochs in `checkpoints/`,
`config.yaml` (the effective configuration), `metrics.jsonl`, and in `state/` what `--resume` needs to go on.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
import torch

from juror_service.jurors.registry import score_range
from ray_cluster.checkpoints.checkpoint_store import CheckpointStore, open_checkpoint
from ray_cluster.checkpoints.training_state import restore
from ray_cluster.cluster.interruption import Interruption
from ray_cluster.cluster.session import cluster_nodes, ray_session
from ray_cluster.cluster.topology import plan
from ray_cluster.jurors.juror_pool import JurorPool, start_pool
from ray_cluster.learner.algorithms import algorithm_named
from ray_cluster.learner.build import build_algorithm
from ray_cluster.rollout.validation_worker import ValidationWorker
from ray_cluster.tracking.provenance import job_metadata
from ray_cluster.tracking.tracker import Tracker, remember_run
from ray_cluster.train.best import BestSoFar
from ray_cluster.train.elastic import ClusterFollower
from ray_cluster.train.epochs import EpochLoop, Report
from ray_cluster.train.metrics import MetricsExporter
from ray_cluster.train.output import prepare
from ray_cluster.train.run import Run
from rl_aesthetics.agents.agent import DQNAgent
from rl_aesthetics.config.config import Config, to_yaml
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.episodes.saved_scores import SavedScores
from rl_aesthetics.episodes.task import Task
from rl_aesthetics.errors import UserError
from rl_aesthetics.files.atomic import write_text
from rl_aesthetics.files.run_files import AGENT_FILE, CONFIG_FILE, STATE
from rl_aesthetics.plan.run_plan import RunPlan

_log = logging.getLogger(__name__)


@dataclass
class TrainReport:
    """What training leaves.

    Attributes:
        agent: the best agent's file.
        metrics: of the epoch that it comes from.
        epochs, env_steps, seconds: how much was done, how long it took.
        history: the metrics of every epoch, in order.
    """

    agent: Path
    metrics: dict[str, float]
    epochs: int = 0
    env_steps: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


class Training:
    """One run, from a checked configuration to a `TrainReport`.

    Args:
        report: called with the metrics of each epoch.
        overwrite: replace what an earlier training left in the output folder.
        scorer: jurors that others share, to be left alone at the end; None starts some.
        tags: of the run in MLflow.
        resume: "auto" goes on from the newest whole checkpoint of this configuration's storage, and begins anew if
            there is none; a path or URI names a checkpoint, or a folder of them, to go on from.

    Raises:
        UserError: the configuration cannot work, or does not fit the checkpoint.
    """

    def __init__(
        self,
        config: Config,
        report: Report = lambda metrics: None,
        overwrite: bool = False,
        resume: str | None = None,
        scorer: JurorPool | None = None,
        tags: Mapping[str, str] | None = None,
    ):
        self.config, self.report, self.scorer, self.tags = config, report, scorer, dict(tags or {})
        if config.dataset is None:
            raise UserError("no dataset: add dataset=DIR, a folder that `rl-aesthetics generate` wrote")
        root = config.dataset.resolve()  # workers of a cluster have other working directories
        self.dataset, self.validation_set = RLDataset(root, "train"), RLDataset(root, "val")
        self.plan = RunPlan.of(config, self.dataset, score_range(config.juror.name))
        self.plan.check(self.validation_set)
        self.plan.initial_network()  # what it cannot be made of is told now
        self.task, self.config = self.plan.task, self.plan.config
        config = self.config
        algorithm_named(config.learner.algorithm)
        self.initial_agent = None
        if config.learner.initial_agent:
            self.initial_agent = DQNAgent.load(config.learner.initial_agent)
            _check_same_network(self.initial_agent, config, self.task)
        storage = config.checkpoints.storage or config.output / STATE
        self.store = CheckpointStore(storage, config.checkpoints.keep)
        self.resumed: dict[str, Any] | None = None
        self.resumed_from = ""
        if resume is not None and overwrite:
            raise UserError("--resume and --overwrite exclude each other")
        if resume is not None:
            self._find_checkpoint(resume)
        self.output = prepare(config.output, self.store, overwrite, resume is not None, self.resumed is not None)
        self.best = BestSoFar(self.output / AGENT_FILE, self.plan.approximates)
        self.announce: Callable[[str], None] = lambda text: None

    @property
    def history(self) -> list[dict[str, float]]:
        """The metrics of every epoch so far."""
        return self.best.history

    def _find_checkpoint(self, resume: str) -> None:
        found = self.store.newest() if resume == "auto" else open_checkpoint(resume)
        if found is None and resume != "auto":
            raise UserError(f"there is no checkpoint at {resume}")
        if found is not None:
            self.resumed_from, self.resumed = found
            _log.warning("going on from checkpoint %s", self.resumed_from)

    def run(self) -> TrainReport:
        """Train.

        Raises:
            UserError: the configuration does not fit the cluster, the dataset or the checkpoint.
            ScoringError: no score could be had for minutes.
            SystemExit, KeyboardInterrupt: SIGTERM or Ctrl-C asked for the end; a checkpoint was written.
        """
        where = self.config.ray
        with ray_session(where.address, where.num_cpus, where.dashboard, job_metadata(self.config)):
            return self._run()

    def _run(self) -> TrainReport:
        config, started = self.config, time.monotonic()
        self.topology = plan(config, cluster_nodes())
        self.announce(self.topology.table())
        jurors = self.scorer or start_pool(config.juror, self.topology.jurors)
        run = Run(self.plan, self.validation_set, self.output, self.store, jurors.fingerprint)
        torch.set_num_threads(self.topology.learner_threads)
        with contextlib.ExitStack() as stack:
            if self.scorer is None:
                stack.callback(jurors.close)
            before = self._check_checkpoint(run)
            saved_scores = self._saved_scores(jurors.fingerprint)
            write_text(self.output / CONFIG_FILE, to_yaml(config))
            key = before["mlflow_key"] if before else None
            tracker = stack.enter_context(Tracker(config.mlflow, config, spool=self.output, tags=self.tags, key=key))
            remember_run(tracker, self.output, "KILLED")  # until it has come to its end
            tracker.set_tags({"dataset": self.dataset.fingerprint, "juror": jurors.fingerprint})
            tracker.log_artifact(self.output / CONFIG_FILE)
            self.algorithm = algorithm = build_algorithm(self.plan, jurors, self.topology, saved_scores)
            stack.callback(algorithm.stop)
            if self.initial_agent:
                tensors = self.initial_agent.network.state_dict()
                algorithm.start_from(lambda network: network.load_state_dict(tensors))
            validator = ValidationWorker.remote(  # type: ignore[attr-defined]  # which Ray's decorator hides
                self.validation_set, jurors, self.plan.task, run.description()
            )
            stack.callback(ray.kill, validator)
            interruption = stack.enter_context(Interruption())
            exporter = MetricsExporter(algorithm, jurors, run=tracker.key[:8])
            follows = config.ray.elastic and self.scorer is None
            epochs = EpochLoop(
                run,
                self.best,
                algorithm,
                validator,
                tracker,
                jurors,
                interruption,
                exporter,
                saved_scores,
                self.report,
                ClusterFollower(config, algorithm, jurors) if follows else lambda: None,
            )
            if before is not None and self.resumed is not None:
                restore(algorithm, self.resumed)
                epochs.restore(before)
                self.resumed = None  # a replay buffer's worth of memory
            stack.enter_context(exporter)
            try:
                epochs.run()
            except (SystemExit, KeyboardInterrupt):
                self._log_best(tracker)
                tracker.finish("KILLED")  # first of all: whoever sent SIGTERM may not wait for long
                raise
            finally:
                if tracker.status is None:
                    self._log_best(tracker)
                epochs.save_scores()
            remember_run(tracker, self.output, "FINISHED")
        return TrainReport(
            agent=self.output / AGENT_FILE,
            metrics=self.best.metrics,
            epochs=len(self.history),
            env_steps=algorithm.env_steps,
            seconds=time.monotonic() - started,
            history=self.history,
        )

    def _saved_scores(self, juror: str) -> SavedScores | None:
        config = self.config
        # In lockstep one seed gives one result, bit for bit: whatever ran before must have no say.
        if not config.juror.save_scores or config.learner.lockstep or not self.plan.space.is_group:
            return None
        saved = SavedScores(self.dataset, juror, config.juror.score_cache_size)
        saved.check()
        return saved

    def _log_best(self, tracker: Tracker) -> None:
        if (self.output / AGENT_FILE).exists():  # a run that was stopped early has its best so far
            tracker.log_artifact(self.output / AGENT_FILE)

    def _check_checkpoint(self, run: Run) -> dict[str, Any] | None:
        """The `training` part of the checkpoint to go on from, None if there is none. Newer ones are forgotten then.

        Raises:
            UserError: it was written by a training of another task; everything is left as it was.
        """
        if self.resumed is None:
            return None
        run.check(self.resumed)
        self.store.forget_after(self.resumed_from)  # a later --resume auto must not go on from them
        before: dict[str, Any] = self.resumed["training"]
        return before


def _check_same_network(agent: DQNAgent, config: Config, task: Task) -> None:
    described, learner = agent.description, config.learner
    if difference := described.network.unlike(learner.network.portable()):
        raise UserError(f"{learner.initial_agent} has another network than this training: {difference}")
    theirs = described.actions, described.observation_shape
    for what, mine, other in zip(
        ("actions", "observations"), (task.actions, config.observation_shape), theirs, strict=True
    ):
        if mine != other:
            raise UserError(f"{learner.initial_agent} has other {what} than this training: {other}, not {mine}")
