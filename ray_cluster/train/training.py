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
from pydantic import ValidationError

from juror_service.jurors.registry import score_range
from ray_cluster.checkpoints.checkpoint_store import CheckpointStore, open_checkpoint
from ray_cluster.checkpoints.training_state import check_replay, restore
from ray_cluster.cluster.interruption import Interruption
from ray_cluster.cluster.session import cluster_nodes, ray_session
from ray_cluster.cluster.topology import plan
from ray_cluster.jurors.actor_scorer import ActorScorer, start_jurors
from ray_cluster.jurors.local_scorer import reference_scorer
from ray_cluster.learner.algorithms import algorithm_named
from ray_cluster.learner.build import build_algorithm
from ray_cluster.rollout.validation_worker import ValidationWorker
from ray_cluster.tracking.provenance import job_metadata
from ray_cluster.tracking.tracker import Tracker, remember_run
from ray_cluster.train.elastic import ClusterFollower
from ray_cluster.train.epochs import EpochLoop
from ray_cluster.train.metrics import MetricsExporter
from ray_cluster.train.output import METRICS_FILE, prepare, write_lines
from rl_aesthetics.agents.agent import AGENT_FILE, AgentDescription, DQNAgent
from rl_aesthetics.config.config import Config, to_yaml
from rl_aesthetics.config.old_names import renamed
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.episodes.saved_scores import SavedScores
from rl_aesthetics.episodes.task import Task
from rl_aesthetics.errors import UserError
from rl_aesthetics.networks.registry import network_settings, of_last_format
from rl_aesthetics.networks.settings import NetworkSettings
from rl_aesthetics.plan.run_plan import RunPlan

STATE = "state"
"""The folder of the checkpoints, in the output folder, unless the configuration names another place."""
Report = Callable[[dict[str, float]], None]

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
        scorer: ActorScorer | None = None,
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
        self.juror_fingerprint = ""
        if resume is not None and overwrite:
            raise UserError("--resume and --overwrite exclude each other")
        if resume is not None:
            self._find_checkpoint(resume)
        self.output = prepare(config.output, self.store, overwrite, resume is not None, self.resumed is not None)
        self.announce: Callable[[str], None] = lambda text: None
        self.history: list[dict[str, float]] = []
        self.best: tuple[float, ...] | None = None
        self.best_metrics: dict[str, float] = {}
        self.saved_scores: SavedScores | None = None

    def _find_checkpoint(self, resume: str) -> None:
        found = self.store.newest() if resume == "auto" else open_checkpoint(resume)
        if found is None and resume != "auto":
            raise UserError(f"there is no checkpoint at {resume}")
        if found is not None:
            self.resumed_from, self.resumed = found
            _log.warning("going on from checkpoint %s", self.resumed_from)

    def identity(self) -> dict[str, Any]:
        """What must be the same where a checkpoint is written and where it is read, and the configuration."""
        config = self.config
        return {
            "identity": {
                "dataset": self.dataset.fingerprint,
                "juror": self.juror_fingerprint,
                "network": config.learner.network.portable().model_dump(mode="json"),
                "actions": list(self.task.actions),
                "observations": list(config.observation_shape),
                "step limit": self.task.max_steps,
            },
            "config": config.written(),
        }

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
        scorer = self.scorer or reference_scorer(config.juror) or self.start_jurors(self.topology.jurors)
        # In lockstep one seed gives one result, bit for bit: whatever ran before must have no say.
        keeps = config.juror.save_scores and not config.learner.lockstep
        if keeps and self.plan.space.is_group:
            self.saved_scores = SavedScores(self.dataset, scorer.fingerprint, config.juror.score_cache_size)
            self.saved_scores.check()
        description = AgentDescription(
            network=config.learner.network.portable(),
            actions=self.task.actions,
            observation_shape=config.observation_shape,
            max_steps=self.task.max_steps,
            juror=scorer.fingerprint,
            config=config.written(),
        )
        torch.set_num_threads(self.topology.learner_threads)
        self.juror_fingerprint = scorer.fingerprint
        try:
            before = self._check_checkpoint()
        except UserError:  # nothing of the earlier training was touched
            for actor in scorer.actors if self.scorer is None else ():
                ray.kill(actor)
            raise
        (self.output / "config.yaml").write_text(to_yaml(config))
        with contextlib.ExitStack() as stack:
            tracker = stack.enter_context(
                Tracker(config.mlflow, config, spool=self.output, tags=self.tags, key=before and before["mlflow_key"])
            )
            remember_run(tracker, self.output, "KILLED")  # until it has come to its end
            tracker.set_tags({"dataset": self.dataset.fingerprint, "juror": scorer.fingerprint})
            tracker.log_artifact(self.output / "config.yaml")
            self.algorithm = build_algorithm(self.plan, scorer, self.topology, self.saved_scores)
            stack.callback(self.algorithm.stop)
            if self.initial_agent:
                tensors = self.initial_agent.network.state_dict()
                self.algorithm.start_from(lambda network: network.load_state_dict(tensors))
            self.validator = ValidationWorker.remote(self.validation_set, scorer, self.task, description)
            interruption = stack.enter_context(Interruption())
            exporter = MetricsExporter(self.algorithm, lambda: scorer, run=tracker.key[:8])
            follow = ClusterFollower(self, scorer) if config.ray.elastic and self.scorer is None else lambda: None
            epochs = EpochLoop(self, tracker, scorer, description, interruption, exporter, follow)
            if before is not None:
                restore(self.algorithm, self.resumed)
                self.history, self.best, self.best_metrics = before["history"], before["best"], before["best_metrics"]
                epochs.restore(before)
                write_lines(self.output / METRICS_FILE, self.history)
                if before["agent"] is not None:
                    (self.output / AGENT_FILE).write_bytes(before["agent"].tobytes())
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
                ray.kill(self.validator)
                for actor in scorer.actors if self.scorer is None else ():
                    ray.kill(actor)
            remember_run(tracker, self.output, "FINISHED")
        return TrainReport(
            agent=self.output / AGENT_FILE,
            metrics=self.best_metrics,
            epochs=len(self.history),
            env_steps=self.algorithm.env_steps,
            seconds=time.monotonic() - started,
            history=self.history,
        )

    def start_jurors(self, replicas: int) -> ActorScorer:
        """Start so many juror actors, as the configuration has them."""
        juror = self.config.juror
        return start_jurors(
            juror.name,
            juror.options,
            replicas=replicas,
            num_cpus=juror.num_cpus,
            num_gpus=juror.num_gpus,
            cache_images=juror.pixel_cache_size,
        )

    def _log_best(self, tracker: Tracker) -> None:
        if (self.output / AGENT_FILE).exists():  # a run that was stopped early has its best so far
            tracker.log_artifact(self.output / AGENT_FILE)

    def _check_checkpoint(self) -> dict[str, Any] | None:
        """The `training` part of the checkpoint to go on from, None if there is none. Newer ones are forgotten then.

        Raises:
            UserError: it was written by a training of another task; everything is left as it was.
        """
        if self.resumed is None:
            return None
        before, now = self.resumed["training"], self.identity()
        if difference := _network_of(before["identity"]).unlike(self.config.learner.network.portable()):
            raise UserError(f"the checkpoint was written with another network: {difference}")
        for what, ours in now["identity"].items():
            if what != "network" and (theirs := before["identity"][what]) != ours:
                raise UserError(f"the checkpoint was written with another {what}: {theirs}, not {ours}")
        check_replay(self.config, self.resumed)
        self.store.forget_after(self.resumed_from)  # a later --resume auto must not go on from them
        then = _written_now(before["config"])
        changed = sorted(
            f"{section}.{name}" if isinstance(value, dict) else section
            for section, value in now["config"].items()
            for name in (value if isinstance(value, dict) else [""])
            if (value[name] if name else value) != _at(then, section, name)
        )
        if changed := [name for name in changed if name not in ("output", "dataset")]:
            _log.warning("settings changed since the checkpoint: %s", ", ".join(changed))
        return before


def _network_of(identity: Mapping[str, Any]) -> NetworkSettings:
    """The network of a checkpoint; its options stood beside its name in the last format."""
    if "network options" in identity:
        return network_settings(of_last_format(identity["network"], identity["network options"]))
    return network_settings(identity["network"])


def _written_now(config: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint's configuration as it would be written now."""
    try:
        return Config.model_validate(renamed(config)).written()
    except ValidationError as error:  # what is compared with it says so; going on does not depend on it
        _log.warning("the checkpoint's settings cannot be read any more: %s", error.errors()[0]["msg"])
        return renamed(config)


def _at(tree: dict[str, Any], section: str, name: str) -> Any:
    value = tree.get(section)
    return value.get(name) if name and isinstance(value, dict) else value


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
