"""The epochs of a training: sample and learn, validate beside it, record, checkpoint, and stop in good order."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import ray
import torch
from ray.actor import ActorHandle
from ray.exceptions import RayActorError, RayTaskError

from ray_cluster.checkpoints.training_state import capture
from ray_cluster.cluster.interruption import Interruption
from ray_cluster.jurors.juror_pool import JurorPool
from ray_cluster.learner.actor_learner import ActorLearner
from ray_cluster.tracking.tracker import Tracker
from ray_cluster.train.best import BestSoFar
from ray_cluster.train.metrics import MetricsExporter
from ray_cluster.train.output import Records, append_line, write_lines
from ray_cluster.train.run import Run
from rl_aesthetics.agents.agent import DQNAgent
from rl_aesthetics.config.curriculum import PRESENT_DEPTH, DepthRule
from rl_aesthetics.episodes.saved_scores import SavedScores
from rl_aesthetics.errors import ScoringError
from rl_aesthetics.files.run_files import EPOCH_AGENTS, FILMSTRIP, METRICS_FILE, PICTURES, epoch_agent
from rl_aesthetics.reports.training_view import write_training_pictures

SAVE_SCORES_EVERY_S = 60.0
"""Between two savings at a checkpoint; 2 million scores take a second."""

Report = Callable[[dict[str, float]], None]

_log = logging.getLogger(__name__)


class EpochLoop:
    """Runs the epochs of a run.

    Args:
        best: told of every epoch; keeps the best agent.
        algorithm: built, and either new or restored.
        validator: a `ValidationWorker`'s handle.
        tracker: told of every epoch, too.
        jurors: asked for how they are doing.
        interruption: asked between training steps whether to stop; then a checkpoint is written and the signal raised.
        exporter: told of epochs and checkpoints.
        saved_scores: where the juror's scores are kept for the next run; None if nobody keeps any.
        report: called with the metrics of each epoch.
        before_epoch: called before each epoch after the first of this process, such as to follow the cluster's size.
    """

    def __init__(
        self,
        run: Run,
        best: BestSoFar,
        algorithm: ActorLearner,
        validator: ActorHandle[Any],
        tracker: Tracker,
        jurors: JurorPool,
        interruption: Interruption,
        exporter: MetricsExporter,
        saved_scores: SavedScores | None = None,
        report: Report = lambda metrics: None,
        before_epoch: Callable[[], None] = lambda: None,
    ):
        self.this_run, self.best, self.algorithm, self.validator = run, best, algorithm, validator
        self.tracker, self.jurors, self.interruption, self.exporter = tracker, jurors, interruption, exporter
        self.saved_scores, self.report, self.before_epoch = saved_scores, report, before_epoch
        self.config, self.records = run.config, Records()
        self.algorithm.interrupted = interruption
        deepest = self.config.curriculum.max_depth or run.plan.deepest
        self.depths = DepthRule(self.config.curriculum, min(deepest, run.plan.task.max_steps))
        self.epoch = 0
        self.failed_validations = self.failed_checkpoints = 0
        self.waiting: deque[tuple[bool, DQNAgent, dict[str, float]]] = deque()
        self._pending: dict[int, ray.ObjectRef[Any]] = {}
        self._earlier_s, self._started = 0.0, time.monotonic()
        self._began, self._before = 0.0, self._counts()
        self._checkpoint_at: float | None = None
        self._checkpointed: tuple[int, ...] | None = None
        self._scores_saved = time.monotonic()

    @property
    def seconds(self) -> float:
        """Training time, that of earlier processes included."""
        return self._earlier_s + time.monotonic() - self._started

    def run(self) -> None:
        """Run what is left of the epochs.

        Raises:
            SystemExit, KeyboardInterrupt: as SIGTERM or Ctrl-C asked for, after a checkpoint.
        """
        epochs = self.config.rl_training.training.num_epochs
        first = True
        while self.epoch < epochs and not self._out_of_time():
            if not first:
                self.before_epoch()
            first = False
            self._run_epoch()
        while self.waiting:
            self._record_next()
        self._write_checkpoint()
        self.records.settle(last=True)
        pictures = self.this_run.output / PICTURES
        write_training_pictures(pictures, self.this_run.output, self.this_run.validation_set)
        self.tracker.log_artifact(pictures)

    def _run_epoch(self) -> None:
        training, learner, algorithm = self.config.rl_training.training, self.config.learner, self.algorithm
        while algorithm.episodes_done < (self.epoch + 1) * len(self.this_run.plan.dataset) and not self._out_of_time():
            algorithm.progress = self._progress()
            algorithm.train()
            self._stop_if_asked()
        epoch = self.epoch + 1
        last = epoch == training.num_epochs or self._out_of_time()
        metrics = self._training_metrics() | {"epoch": epoch, "seconds": self.seconds}
        metrics |= self.jurors.metrics()
        metrics["step"] = algorithm.env_steps
        agent = self._snapshot(metrics)
        if last or epoch % learner.checkpoint_frequency == 0:
            self.records.do(lambda: self._save_agent(agent, epoch))
            self.save_scores(SAVE_SCORES_EVERY_S)
        self.waiting.append((last or epoch % training.validation_frequency == 0, agent, metrics))
        self._validate()
        # In lockstep nothing runs beside anything else: a juror that is asked by two answers in other batches.
        while self.waiting and (learner.lockstep or self._known(self.waiting[0])):
            self._record_next()
        self.epoch, self._began, self._before = epoch, self.seconds, self._counts()
        since = None if self._checkpoint_at is None else self.seconds - self._checkpoint_at
        if since is None or since >= 60 * self.config.checkpoints.every_minutes:
            self._write_checkpoint()
        self.records.settle()

    def _out_of_time(self) -> bool:
        limit = self.config.learner.max_minutes
        return bool(limit and self.seconds > 60 * limit)

    def _progress(self) -> float:
        """How much of the training is done, in [0, 1]: by epochs or by time, whichever is further."""
        training, limit = self.config.rl_training.training, self.config.learner.max_minutes
        done = self.algorithm.episodes_done / (training.num_epochs * len(self.this_run.plan.dataset))
        return min(1.0, max(done, self.seconds / (60 * limit) if limit else 0.0))

    @property
    def _place(self) -> tuple[int, int, int]:
        """How far it is. Where one step ends the episodes of two epochs, the second takes no step of its own."""
        return self.epoch, self.algorithm.env_steps, self.algorithm.trained

    def _counts(self) -> tuple[int, ...]:
        algorithm = self.algorithm
        counts = algorithm.env_steps, algorithm.trained, algorithm.scorer_calls
        return *counts, algorithm.score_lookups, algorithm.score_hits

    def _training_metrics(self) -> dict[str, float]:
        algorithm, episodes = self.algorithm, self.algorithm.take_episodes()
        losses, seconds = algorithm.take_losses(), max(1e-6, self.seconds - self._began)
        counts = zip(self._counts(), self._before, strict=True)
        steps, trained, calls, lookups, hits = (now - then for now, then in counts)
        metrics = {
            "epsilon": algorithm.epsilon,
            **({} if algorithm.temperature is None else {"temperature": algorithm.temperature}),
            **({PRESENT_DEPTH: algorithm.curriculum_depth} if algorithm.curriculum_depth else {}),
            "samples_per_insert": algorithm.samples_per_insert,
            "replay_size": len(algorithm.replay),
            "dropped_episodes": algorithm.dropped,
            "worker_restarts": algorithm.env_runner_group.num_remote_worker_restarts(),
            "perf_env_steps_per_s": steps / seconds,
            "perf_trained_per_s": trained / seconds,
            "perf_juror_calls_per_step": calls / max(1, steps),
            "perf_juror_images_per_step": (lookups - hits) / max(1, steps),
            "perf_score_cache_hit_rate": hits / max(1, lookups),
        }
        if len(episodes):
            metrics |= {
                "train_avg_reward": float(episodes["episode_return"].mean()),
                "train_success_rate": float((episodes["final_score"] > episodes["degraded_score"]).mean()),
                "train_avg_steps": float(episodes["steps"].mean()),
            }
            if algorithm.curriculum_depth:
                metrics |= {
                    "curriculum_train_improved": metrics["train_success_rate"],
                    "curriculum_train_recovered": float((episodes["final_score"] >= episodes["original_score"]).mean()),
                    "curriculum_train_exact": float(episodes["exact"].mean()),
                }
        if losses:
            metrics["train_avg_loss"] = float(np.mean(losses))
        return metrics

    def save_scores(self, at_most_every_s: float = 0.0) -> None:
        """Add what the juror said to the file beside the dataset."""
        if time.monotonic() - self._scores_saved < at_most_every_s:
            return
        scored_N, self._scores_saved = self.algorithm.take_scores(), time.monotonic()
        if self.saved_scores is not None and not self.saved_scores.merge(scored_N):
            self.saved_scores = None

    def _snapshot(self, metrics: dict[str, float]) -> DQNAgent:
        """The agent as it is now."""
        agent = DQNAgent(self.this_run.description(metrics))
        weights = self.algorithm.network_weights()
        agent.network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        return agent

    def _save_agent(self, agent: DQNAgent, epoch: int) -> None:
        folder = self.this_run.output / EPOCH_AGENTS
        agent.save(folder / epoch_agent(epoch))
        self.tracker.log_artifact(folder / epoch_agent(epoch), EPOCH_AGENTS)
        for old in sorted(folder.glob("epoch_*.safetensors"))[: -self.config.learner.keep_checkpoints]:
            old.unlink()

    def _validate(self) -> None:
        """Hand the validator every agent that is to be validated and was not handed to it yet."""
        for wanted, agent, metrics in self.waiting:
            epoch = int(metrics["epoch"])
            if wanted and epoch not in self._pending:
                depth = metrics.get(PRESENT_DEPTH, 0)
                self._pending[epoch] = self.validator.run.remote(agent.network.state_dict(), depth)

    def _known(self, entry: tuple[bool, DQNAgent, dict[str, float]], timeout: float = 0.0) -> bool:
        wanted, _, metrics = entry
        return not wanted or bool(ray.wait([self._pending[int(metrics["epoch"])]], timeout=timeout)[0])

    def _record_next(self) -> None:
        """Report the oldest epoch that was not reported yet, when its validation is there."""
        while not self._known(self.waiting[0], timeout=0.5):
            self._stop_if_asked()
        wanted, agent, metrics = self.waiting.popleft()
        if not wanted:
            self._record(metrics)
            return
        try:
            self._record(metrics | ray.get(self._pending.pop(int(metrics["epoch"]))), agent)
        except (RayActorError, RayTaskError) as error:
            cause = error.cause if isinstance(error, RayTaskError) else error
            if not isinstance(cause, ScoringError | RayActorError):
                raise
            self.failed_validations += 1
            _log.warning("epoch %d could not be validated: %s", metrics["epoch"], str(cause).splitlines()[0])
            self._record(metrics)

    def _record(self, metrics: dict[str, float], validated: DQNAgent | None = None) -> None:
        """Report an epoch, and save the agent if its validation is the best so far."""
        output = self.this_run.output
        if self.algorithm.curriculum_depth:
            self.algorithm.curriculum_depth = self.depths.following(self.algorithm.curriculum_depth, metrics)
        metrics |= {"failed_validations": self.failed_validations, "failed_checkpoints": self.failed_checkpoints}
        if photos := metrics.pop("filmstrip", None):
            moment = {"epoch": int(metrics["epoch"]), "step": int(metrics["step"]), "photos": photos}
            self.records.do(lambda: append_line(output / FILMSTRIP, moment))
        self.best.history.append(metrics)
        self.records.do(lambda: append_line(output / METRICS_FILE, metrics))
        tracked = {name: value for name, value in metrics.items() if name not in ("step", "epoch")}
        self.records.do(lambda: self.tracker.log_metrics(tracked, step=int(metrics["step"])))
        if validated:
            self.best.offer(validated, metrics, self.records)
        self.exporter.epoch(metrics)
        self.report(metrics)

    def _stop_if_asked(self) -> None:
        if self.interruption():
            self._write_checkpoint()
            self.records.settle()
            self.interruption.raise_()

    def _write_checkpoint(self) -> None:
        """Write all that is needed to go on. A storage that is full or away costs this checkpoint, not the run."""
        if self._checkpointed == self._place and not self.waiting:
            return
        parts = capture(self.algorithm, self.config.checkpoints.replay_limit_mb)
        best = self.best.metrics.get("step")
        parts["training"] = (
            self.this_run.identity()
            | self.best.state()
            | {
                "epoch": self.epoch,
                "seconds": self.seconds,
                "began": self._began,
                "before": self._before,
                "mlflow_key": self.tracker.key,
                "waiting": [(wanted, dict(a.network.state_dict()), metrics) for wanted, a, metrics in self.waiting],
                "failed": (self.failed_validations, self.failed_checkpoints),
                "depths": self.depths.state(),
            }
        )
        try:
            self.this_run.store.write(self.algorithm.env_steps, parts, None if best is None else int(best))
        except OSError as error:
            self.failed_checkpoints += 1
            _log.warning(
                "no checkpoint at step %d: %s cannot take it (%s); training goes on",
                *(self.algorithm.env_steps, self.this_run.store.storage, error),
            )
        else:
            self._checkpointed = self._place
            self.exporter.checkpoint()
        self._checkpoint_at = self.seconds

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from the `training` part of a checkpoint; the algorithm was restored before."""
        self.epoch, self._earlier_s, self._began = state["epoch"], state["seconds"], state["began"]
        self._before = state["before"]
        self._started = time.monotonic()
        self.failed_validations, self.failed_checkpoints = state["failed"]
        self.best.restore(state)
        write_lines(self.this_run.output / METRICS_FILE, self.best.history)
        self.depths.restore(state.get("depths", {}))
        for wanted, weights, metrics in state["waiting"]:
            agent = DQNAgent(self.this_run.description(metrics))
            agent.network.load_state_dict(weights)
            self.waiting.append((wanted, agent, metrics))
        self._checkpoint_at, self._checkpointed = self.seconds, self._place
        self._validate()
