"""Training: a dataset in, an agent out.

    rl-aesthetics train --config configs/tuned.yaml dataset=runs/data output=runs/train

Leaves in the output folder `agent.safetensors` (the best by validation), `checkpoints/`, `config.yaml` (the effective
configuration) and `metrics.jsonl`. It deliberately leaves out resuming a replay buffer.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import ray
import torch

from ray_cluster.algorithm import build_algorithm
from ray_cluster.fit_values import fit_values
from ray_cluster.juror_actor import ActorScorer, start_jurors
from ray_cluster.session import ray_session
from ray_cluster.topology import plan
from ray_cluster.tracking import Tracker, remember_run
from ray_cluster.validation import ValidationWorker
from rl_aesthetics.agent import AGENT_FILE, AgentDescription, DQNAgent
from rl_aesthetics.config import Config, to_yaml
from rl_aesthetics.dataset import RLDataset
from rl_aesthetics.env import Task
from rl_aesthetics.errors import UserError
from rl_aesthetics.networks import make_network
from rl_aesthetics.saved_scores import SavedScores
from rl_aesthetics.transforms import action_names
from rl_aesthetics.transforms.space import EditSpace

METRICS_FILE, CHECKPOINTS = "metrics.jsonl", "checkpoints"
SAVE_SCORES_EVERY_S = 60.0
"""Between two savings at a checkpoint; 2 million scores take a second."""
Report = Callable[[dict[str, float]], None]


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


def task_of(config: Config) -> Task:
    """The episode that a configuration describes."""
    settings = config.rl_training
    return Task(
        actions=action_names(settings.action_space.transforms, settings.action_space.add_stop_action),
        max_steps=settings.training.max_steps_per_episode,
        reward=settings.reward.make(settings.training.gamma),
        observation_size=settings.state.shape[-1],
    )


class Training:
    """One run, from a checked configuration to a `TrainReport`."""

    def __init__(self, config: Config, report: Report = lambda metrics: None, overwrite: bool = False):
        self.config, self.report = config, report
        if config.dataset is None:
            raise UserError("no dataset: add dataset=DIR, a folder that `rl-aesthetics generate` wrote")
        root = config.dataset.resolve()  # workers of a cluster have other working directories
        self.dataset, self.validation_set = RLDataset(root, "train"), RLDataset(root, "val")
        self.task = task_of(config)
        self.config = config = fit_values(config, self.task)
        make_network(
            config.learner.network, self.task.actions, self.task.observation_size, **config.learner.network_options
        )
        self.initial_agent = None
        if config.learner.initial_agent:
            self.initial_agent = DQNAgent.load(config.learner.initial_agent)
            _check_same_network(self.initial_agent, config, self.task)
        for dataset in (self.dataset, self.validation_set):
            try:
                dataset.start_states()
            except ValueError as error:
                raise UserError(f"{config.dataset} cannot be trained on: {error}") from None
        if config.learner.replay == "reference" and not EditSpace(self.task.actions).reversible:
            raise UserError("learner.replay=reference needs reversible transforms alone; use learner.replay=frames")
        self.output = _prepare(config.output, overwrite)
        self.history: list[dict[str, float]] = []
        self.best: tuple[float, ...] | None = None
        self.best_metrics: dict[str, float] = {}
        self.saved_scores: SavedScores | None = None
        self._scores_saved = time.monotonic()

    def run(self) -> TrainReport:
        """Train.

        Raises:
            UserError: the configuration does not fit the cluster or the dataset.
            ScoringError: no score could be had for minutes.
        """
        with ray_session(self.config.ray.address, self.config.ray.num_cpus, self.config.ray.dashboard):
            return self._run()

    def _run(self) -> TrainReport:
        config, started = self.config, time.monotonic()
        resources = ray.cluster_resources()
        self.topology = plan(config, resources.get("CPU", 0), resources.get("GPU", 0))
        scorer = start_jurors(
            config.juror.name,
            config.juror.options,
            replicas=self.topology.jurors,
            num_cpus=self.topology.cpus_per_juror,
            num_gpus=self.topology.gpus_per_juror,
            cache_images=config.juror.pixel_cache_size,
        )
        if config.juror.save_scores and EditSpace(self.task.actions).reversible:
            self.saved_scores = SavedScores(self.dataset, scorer.fingerprint, config.juror.score_cache_size)
            self.saved_scores.check()
        description = AgentDescription(
            network=config.learner.network,
            actions=self.task.actions,
            observation_shape=tuple(config.rl_training.state.shape),
            max_steps=self.task.max_steps,
            juror=scorer.fingerprint,
            network_options=config.learner.network_options,
            config=config.model_dump(mode="json"),
        )
        (self.output / "config.yaml").write_text(to_yaml(config))
        torch.set_num_threads(self.topology.learner_threads)
        with Tracker(config.mlflow, config, spool=self.output) as tracker:
            remember_run(tracker, self.output, "KILLED")  # until it has come to its end
            tracker.set_tags({"dataset": self.dataset.fingerprint, "juror": scorer.fingerprint})
            tracker.log_artifact(self.output / "config.yaml")
            self.algorithm = build_algorithm(config, self.dataset, scorer, self.task, self.topology, self.saved_scores)
            if self.initial_agent:
                tensors = self.initial_agent.network.state_dict()
                self.algorithm.start_from(lambda network: network.load_state_dict(tensors))
            self.validator = ValidationWorker.remote(self.validation_set, scorer, self.task, description)
            try:
                self._epochs(tracker, description, scorer)
            finally:
                self._save_scores()
                if (self.output / AGENT_FILE).exists():  # a run that was stopped early has its best so far
                    tracker.log_artifact(self.output / AGENT_FILE)
                self.algorithm.stop()
                ray.kill(self.validator)
                for actor in scorer.actors:
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

    def _epochs(self, tracker: Tracker, description: AgentDescription, scorer: ActorScorer) -> None:
        config, algorithm = self.config, self.algorithm
        training, learner = config.rl_training.training, config.learner
        started = time.monotonic()
        waiting: deque[tuple[ray.ObjectRef | None, DQNAgent, dict[str, float]]] = deque()
        for epoch in range(training.num_epochs):
            began, before = time.monotonic(), self._counts()
            while algorithm.episodes_done < (epoch + 1) * len(self.dataset):
                algorithm.progress = self._progress(started)
                algorithm.train()
                if learner.max_minutes and time.monotonic() - started > 60 * learner.max_minutes:
                    break
            out_of_time = learner.max_minutes and time.monotonic() - started > 60 * learner.max_minutes
            last = bool(epoch + 1 == training.num_epochs or out_of_time)
            elapsed = time.monotonic() - began
            metrics = self._training_metrics(elapsed, before) | {
                "epoch": epoch + 1,
                "seconds": time.monotonic() - started,
            }
            metrics |= scorer.metrics()
            metrics["step"] = algorithm.env_steps
            agent = self._snapshot(metrics, description)
            if last or (epoch + 1) % learner.checkpoint_frequency == 0:
                self._checkpoint(agent, epoch + 1, tracker)
                self._save_scores(SAVE_SCORES_EVERY_S)
            pending = None
            if last or (epoch + 1) % training.validation_frequency == 0:
                pending = self.validator.run.remote(agent.network.state_dict())
            waiting.append((pending, agent, metrics))
            while waiting and (last or waiting[0][0] is None or ray.wait([waiting[0][0]], timeout=0)[0]):
                pending, agent, metrics = waiting.popleft()  # in the order of the epochs
                if pending is None:
                    self._record(metrics, tracker)
                else:
                    self._record(metrics | ray.get(pending), tracker, agent)
            if last:
                break

    def _progress(self, started: float) -> float:
        """How much of the training is done, in [0, 1]: by epochs or by time, whichever is further."""
        training, limit = self.config.rl_training.training, self.config.learner.max_minutes
        done = self.algorithm.episodes_done / (training.num_epochs * len(self.dataset))
        return min(1.0, max(done, (time.monotonic() - started) / (60 * limit) if limit else 0.0))

    def _counts(self) -> tuple[int, int, int, int, int]:
        algorithm = self.algorithm
        counts = algorithm.env_steps, algorithm.trained, algorithm.scorer_calls
        return *counts, algorithm.score_lookups, algorithm.score_hits

    def _training_metrics(self, seconds: float, before: tuple[int, int, int, int, int]) -> dict[str, float]:
        algorithm, episodes = self.algorithm, self.algorithm.take_episodes()
        losses = algorithm.take_losses()
        steps, trained, calls, lookups, hits = (now - then for now, then in zip(self._counts(), before, strict=True))
        metrics = {
            "epsilon": algorithm.epsilon,
            "samples_per_insert": algorithm.samples_per_insert,
            "replay_size": len(algorithm.replay),
            "dropped_episodes": algorithm.dropped,
            "perf_env_steps_per_s": steps / seconds,
            "perf_trained_per_s": trained / seconds,
            "perf_juror_calls_per_step": calls / max(1, steps),
            "perf_score_cache_hit_rate": hits / max(1, lookups),
        }
        if len(episodes):
            metrics |= {
                "train_avg_reward": float(episodes["episode_return"].mean()),
                "train_success_rate": float((episodes["final_score"] > episodes["degraded_score"]).mean()),
                "train_avg_steps": float(episodes["steps"].mean()),
            }
        if losses:
            metrics["train_avg_loss"] = float(np.mean(losses))
        return metrics

    def _save_scores(self, at_most_every_s: float = 0.0) -> None:
        """Add what the juror said to the file beside the dataset."""
        if time.monotonic() - self._scores_saved < at_most_every_s:
            return
        scored_N, self._scores_saved = self.algorithm.take_scores(), time.monotonic()
        if self.saved_scores is not None and not self.saved_scores.merge(scored_N):
            self.saved_scores = None

    def _snapshot(self, metrics: dict[str, float], description: AgentDescription) -> DQNAgent:
        """The agent as it is now."""
        agent = DQNAgent(replace(description, training=metrics))
        weights = self.algorithm.network_weights()
        agent.network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        return agent

    def _checkpoint(self, agent: DQNAgent, epoch: int, tracker: Tracker) -> None:
        folder = self.output / CHECKPOINTS
        agent.save(folder / f"epoch_{epoch:04d}.safetensors")
        tracker.log_artifact(folder / f"epoch_{epoch:04d}.safetensors", "checkpoints")
        for old in sorted(folder.glob("epoch_*.safetensors"))[: -self.config.learner.keep_checkpoints]:
            old.unlink()

    def _record(self, metrics: dict[str, float], tracker: Tracker, validated: DQNAgent | None = None) -> None:
        """Report an epoch, and save the agent if its validation is the best so far."""
        self.history.append(metrics)
        with (self.output / METRICS_FILE).open("a") as file:
            file.write(json.dumps(metrics) + "\n")
        tracker.log_metrics(
            {name: value for name, value in metrics.items() if name not in ("step", "epoch")}, step=int(metrics["step"])
        )
        if validated:
            # Exactness breaks ties of the success rate, and the reward breaks ties of both.
            rank = (metrics["val_success_rate"], metrics["val_exact"], metrics["val_avg_reward"])
            if self.best is None or rank > self.best:
                self.best, self.best_metrics = rank, metrics
                DQNAgent(replace(validated.description, training=metrics), validated.network).save(
                    self.output / AGENT_FILE
                )
        self.report(metrics)


def _check_same_network(agent: DQNAgent, config: Config, task: Task) -> None:
    described, learner = agent.description, config.learner
    theirs = (described.network, described.network_options, described.actions, described.observation_shape)
    ours = (learner.network, learner.network_options, task.actions, tuple(config.rl_training.state.shape))
    for what, mine, other in zip(("network", "network options", "actions", "observations"), ours, theirs, strict=True):
        if mine != other:
            raise UserError(f"{learner.initial_agent} has other {what} than this training: {other}, not {mine}")


def _prepare(folder: Path, overwrite: bool) -> Path:
    """Make the output folder, and empty it of an earlier training if that was asked for."""
    ours = [folder / AGENT_FILE, folder / METRICS_FILE, folder / CHECKPOINTS]
    earlier = [path for path in ours if path.exists()]
    if earlier and not overwrite:
        raise UserError(f"{earlier[0]} is there from an earlier training: choose another output or pass --overwrite")
    try:
        for path in earlier:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        (folder / CHECKPOINTS).mkdir(parents=True)
        (folder / METRICS_FILE).touch()
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from None
    return folder
