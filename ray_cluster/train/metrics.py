"""What the Ray dashboard, Prometheus and Grafana see of a training, through `ray.util.metrics`.

Ray exports them on every node with the prefix `ray_`: `ray_rl_env_steps_total`, `ray_rl_replay_fill`, … One thread of
the driver reads the training's counters and asks the jurors for theirs, so neither sampling nor learning pays for it,
and a training that hangs still says that nothing moves. `ray_cluster/deploy/grafana` has the dashboard for them.
"""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType

from ray.exceptions import RayError
from ray.util.metrics import Counter, Gauge, Histogram

from ray_cluster.jurors.juror_pool import JurorPool
from ray_cluster.learner.actor_learner import ActorLearner

INTERVAL_S = 5.0
"""Between two readings; Prometheus asks every 10 s."""

LATENCY_BOUNDS_MS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000)

COUNTERS = {
    "rl_env_steps": ("env_steps", "Environment steps taken"),
    "rl_trained": ("trained", "Transitions trained on, repetitions included"),
    "rl_episodes": ("episodes_done", "Episodes finished"),
    "rl_dropped_episodes": ("dropped", "Episodes thrown away because a score could not be had"),
    "rl_score_lookups": ("score_lookups", "Scores that rollout workers needed"),
    "rl_score_hits": ("score_hits", "Scores that rollout workers knew already"),
}
"""Name → attribute of the algorithm that only grows, and description."""

GAUGES = {
    "rl_replay_fill": "Share of the replay buffer that is filled",
    "rl_epsilon": "Share of random actions",
    "rl_samples_per_insert": "Transitions trained for each transition sampled",
    "rl_rollout_workers": "Rollout workers that answer",
    "rl_worker_restarts": "Rollout workers restarted since the training began",
    "rl_train_success_rate": "Share of an epoch's episodes that improved their photo",
    "rl_val_success_rate": "Share of the validation photos that were improved",
    "rl_failed_checkpoints": "Checkpoints that could not be written",
    "rl_checkpoint_age_seconds": "Seconds since the last checkpoint",
}

JUROR_GAUGES = {
    "rl_juror_queue_images": ("queued_images", "Images that wait at a juror"),
    "rl_juror_batch_images": ("images_per_batch", "Images in a batch, mean of the last 512"),
    "rl_juror_wait_ms_p95": ("wait_ms_p95", "Time a request waits for its batch, 95th percentile"),
    "rl_juror_inference_ms_p50": ("inference_ms_p50", "Time a batch takes, median"),
    "rl_juror_inference_ms_p95": ("inference_ms_p95", "Time a batch takes, 95th percentile"),
    "rl_juror_busy_share": ("busy_share", "Share of a juror's time in which it computes"),
}
"""Name → key of `JurorActor.stats`, and description; tagged by juror."""

_log = logging.getLogger(__name__)


class MetricsExporter:
    """Exports a training's metrics while it is entered.

    Args:
        algorithm: whose counters are read.
        jurors: asked for how they are doing; their number may change.
        run: tags every metric, so that several trainings of a cluster can be told apart.
    """

    def __init__(self, algorithm: ActorLearner, jurors: JurorPool, run: str):
        self.algorithm, self.jurors = algorithm, jurors
        self._run = {"run": run}
        self._counters = {name: Counter(name, text, ("run",)) for name, (_, text) in COUNTERS.items()}
        self._gauges = {name: Gauge(name, text, ("run",)) for name, text in GAUGES.items()}
        self._juror_gauges = {name: Gauge(name, text, ("run", "juror")) for name, (_, text) in JUROR_GAUGES.items()}
        self._latency = Histogram(
            "rl_juror_health_ms", "Time a juror takes to say that it is there", LATENCY_BOUNDS_MS, ("run",)
        )
        self._told = dict.fromkeys(COUNTERS, 0)
        self._checkpointed = time.monotonic()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._export, name="metrics", daemon=True)

    def __enter__(self) -> MetricsExporter:
        self._told = {name: getattr(self.algorithm, attribute) for name, (attribute, _) in COUNTERS.items()}
        for name in ("rl_train_success_rate", "rl_val_success_rate", "rl_failed_checkpoints"):
            self._gauges[name].set(0.0, self._run)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join(2.0)

    def epoch(self, metrics: dict[str, float]) -> None:
        """Take what an epoch's metrics say of success and checkpoints."""
        for name in ("train_success_rate", "val_success_rate", "failed_checkpoints"):
            if name in metrics:
                self._gauges[f"rl_{name}"].set(metrics[name], self._run)

    def checkpoint(self) -> None:
        """Note that a checkpoint was written now."""
        self._checkpointed = time.monotonic()

    def _export(self) -> None:
        while True:
            try:
                self._read_algorithm()
                self._ask_jurors()
            except RayError as error:  # a juror restarts, or Ray is going away: the next reading will tell
                _log.debug("metrics could not be read: %s", error)
            if self._closing.wait(INTERVAL_S):
                return

    def _read_algorithm(self) -> None:
        algorithm = self.algorithm
        for name, (attribute, _) in COUNTERS.items():
            value = getattr(algorithm, attribute)
            if value > self._told[name]:
                self._counters[name].inc(value - self._told[name], self._run)
            self._told[name] = value
        group = algorithm.env_runner_group
        readings = {
            "rl_replay_fill": len(algorithm.replay) / algorithm.replay.capacity,
            "rl_epsilon": algorithm.epsilon,
            "rl_samples_per_insert": algorithm.samples_per_insert,
            "rl_rollout_workers": group.num_healthy_remote_env_runners(),
            "rl_worker_restarts": group.num_remote_worker_restarts(),
            "rl_checkpoint_age_seconds": time.monotonic() - self._checkpointed,
        }
        for name, value in readings.items():
            self._gauges[name].set(float(value), self._run)

    def _ask_jurors(self) -> None:
        for number, (seconds, stats) in enumerate(self.jurors.readings(INTERVAL_S)):
            self._latency.observe(max(1e-3, 1000 * seconds), self._run)
            for name, (key, _) in JUROR_GAUGES.items():
                self._juror_gauges[name].set(float(stats[key]), self._run | {"juror": str(number)})
