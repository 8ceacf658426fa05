"""A sweep: many trainings with other settings each, on Ray Tune, with Optuna's proposals and ASHA's early ends.

    rl-aesthetics sweep --config configs/sweep.yaml dataset=runs/data output=runs/sweep

Trials share the juror actors and run side by side as far as the cluster's CPUs go. Each is a run in MLflow below the
sweep's own. Leaves in the output folder `best.yaml`, `trials.json` and `trials/NAME/`, each as `train` leaves it. It
deliberately leaves out resuming a sweep.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler

from ray_cluster.cluster.interruption import Interruption
from ray_cluster.cluster.session import ray_session
from ray_cluster.cluster.topology import VALIDATION_CPUS
from ray_cluster.jurors.juror_pool import start_pool
from ray_cluster.sweep.trial import BEST, EPOCH, OVER, Shared, TrainingTrial, trial_name
from ray_cluster.tracking.tracker import Tracker
from rl_aesthetics.config.config import Config, to_yaml
from rl_aesthetics.config.sweep_plan import Domain, SweepPlan
from rl_aesthetics.errors import ScoringError, UserError
from rl_aesthetics.files.atomic import write_text
from rl_aesthetics.files.run_files import AGENT_FILE, BEST_FILE, TRIALS, TRIALS_FILE

PARENT_PATIENCE_S = 60.0
"""How long trials wait for the sweep's run in MLflow, below which theirs are to stand."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrialReport:
    """What became of a trial.

    Attributes:
        name: of its folder below `trials`.
        values: what was tried.
        best: the metric at its best, or None if it was never measured.
        epochs: how far it came.
        state: 'finished', 'ended early' (by ASHA), 'stopped' (with the sweep) or 'failed'.
        failure: why it failed.
    """

    name: str
    values: dict[str, Any]
    best: float | None
    epochs: int
    state: str
    failure: str | None = None


@dataclass(frozen=True)
class SweepReport:
    """What a sweep leaves.

    Attributes:
        trials: the best first, then those that were never measured.
        best_config: a YAML for `train`, or None if no trial was measured.
        best_agent: the agent of the best trial.
        interrupted: whether Ctrl-C or SIGTERM ended it.
    """

    trials: list[TrialReport]
    best_config: Path | None
    best_agent: Path | None
    interrupted: bool
    seconds: float


class Sweep:
    """One sweep, from a checked plan to a `SweepReport`.

    Args:
        overrides: settings of every trial, such as the dataset; they give way to what is tried.
        report: called with (trial's name, its values, what it told) after each measured epoch.

    Raises:
        UserError: Optuna is not installed, there is no dataset, or the output folder holds an earlier sweep.
    """

    def __init__(
        self,
        plan: SweepPlan,
        overrides: tuple[str, ...] = (),
        report: Callable[[str, dict[str, Any], dict[str, Any]], None] = lambda name, values, told: None,
    ):
        self.plan, self.overrides, self.report = plan, overrides, report
        self.config: Config = plan.config({}, overrides)
        if self.config.dataset is None:
            raise UserError("no dataset: add dataset=DIR, a folder that `rl-aesthetics generate` wrote")
        try:
            import optuna
        except ImportError:
            raise UserError("a sweep needs Optuna: pip install 'rl-aesthetics[sweep]'") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.output = self.config.output.resolve()
        if (self.output / TRIALS_FILE).exists() or (self.output / TRIALS).exists():
            raise UserError(f"{self.output} holds an earlier sweep: choose another output")
        try:
            (self.output / TRIALS).mkdir(parents=True)
        except OSError as error:
            raise UserError(f"cannot write to {self.output}: {error.strerror}") from None
        self.overrides = (*overrides, f"dataset={json.dumps(str(self.config.dataset.resolve()))}")

    def run(self) -> SweepReport:
        """Try.

        Raises:
            UserError: not even one trial fits the cluster.
            ScoringError: all trials failed.
        """
        with ray_session(self.config.ray.address, self.config.ray.num_cpus, self.config.ray.dashboard):
            return self._run()

    def _run(self) -> SweepReport:
        config, started = self.config, time.monotonic()
        bundles, at_once = share(config, self.plan, ray.cluster_resources().get("CPU", 0))
        with Tracker(config.mlflow, config, spool=self.output, tags={"sweep": self.output.name}) as tracker:
            jurors = start_pool(config.juror, _jurors(config))
            try:
                parent = tracker.run_id(PARENT_PATIENCE_S)
                if parent is None:
                    _log.warning("MLflow does not answer: trials will be runs of their own, with the tag `sweep`")
                shared = Shared(self.plan, self.overrides, self.output, jurors, parent, self.output.name)
                with Interruption() as interruption:
                    stop = _Stop(interruption, self.plan.max_minutes)
                    grid = self._tune(shared, bundles, at_once, stop)
                    report = self._conclude(grid, stop.ended, interruption(), started)
            finally:
                jurors.close()
            if report.best_config:
                tracker.log_metrics({f"best_{self.plan.metric}": report.trials[0].best}, step=0)
                tracker.log_artifact(report.best_config)
            tracker.log_artifact(self.output / TRIALS_FILE)
            tracker.finish("KILLED" if report.interrupted else "FINISHED")
        if all(trial.state == "failed" for trial in report.trials) and not report.interrupted:
            raise ScoringError(f"all {len(report.trials)} trials failed, the first because: {report.trials[0].failure}")
        return report

    def _tune(self, shared: Shared, bundles: list[dict[str, float]], at_once: int, stop: _Stop):
        from ray.tune.search.optuna import OptunaSearch

        plan = self.plan
        os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # MLflow has the curves
        os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # `_Stop` ends trials in good order
        os.environ["TUNE_DISABLE_STRICT_METRIC_CHECKING"] = "1"  # a trial may end before it was ever measured
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failed trials are in the report, with their reason
        search = OptunaSearch(
            space={key: _domain(domain) for key, domain in plan.space.items()},
            metric=plan.metric,
            mode=plan.mode,
            points_to_evaluate=plan.first or None,
            seed=plan.seed,
        )
        scheduler = FIFOScheduler()
        if plan.asha.enabled:
            epochs = self.config.rl_training.training.num_epochs
            scheduler = AsyncHyperBandScheduler(
                time_attr=EPOCH,
                max_t=max(epochs, plan.asha.grace_period),
                grace_period=plan.asha.grace_period,
                reduction_factor=plan.asha.reduction_factor,
                stop_last_trials=False,
            )
        trainable = tune.with_parameters(TrainingTrial, shared=shared)
        tuner = tune.Tuner(
            tune.with_resources(trainable, tune.PlacementGroupFactory(bundles)),
            tune_config=tune.TuneConfig(
                metric=plan.metric,
                mode=plan.mode,
                search_alg=search,
                scheduler=scheduler,
                num_samples=plan.trials,
                max_concurrent_trials=at_once,
                trial_name_creator=lambda trial: trial.trial_id,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(self.output),
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
                callbacks=[_Listener(self.report)],
                stop=stop,
            ),
        )
        return tuner.fit()

    def _conclude(self, grid: tune.ResultGrid, stopped: bool, interrupted: bool, started: float) -> SweepReport:
        trials = sorted((self._trial(result, stopped) for result in grid), key=self._rank)
        best = trials[0] if trials and trials[0].best is not None else None
        best_config = best_agent = None
        if best:
            best_config, best_agent = self.output / BEST_FILE, self.output / TRIALS / best.name / AGENT_FILE
            head = f"# {self.plan.metric} {best.best:g}: trial {best.name} of a sweep of {len(trials)}. Use it with\n"
            head += f"#   rl-aesthetics train --config {best_config} output=DIR\n"
            winner = self.plan.config(best.values, self.overrides)
            winner.output = Config().output
            write_text(best_config, head + to_yaml(winner))
        write_text(self.output / TRIALS_FILE, json.dumps([asdict(trial) for trial in trials], indent=2) + "\n")
        return SweepReport(trials, best_config, best_agent, interrupted, time.monotonic() - started)

    def _trial(self, result: tune.Result, stopped: bool) -> TrialReport:
        told = result.metrics or {}
        epochs = int(told.get(EPOCH, 0))
        failure = str(result.error).strip().splitlines()[-1] if result.error else None
        state = "failed" if failure else "finished"
        if not failure and not told.get(OVER) and epochs < self.config.rl_training.training.num_epochs:
            state = "stopped" if stopped else "ended early"
        name = trial_name(Path(result.path).name)
        return TrialReport(name, dict(result.config or {}), told.get(BEST), epochs, state, failure)

    def _rank(self, trial: TrialReport) -> tuple[bool, float]:
        sign = -1 if self.plan.mode == "max" else 1
        return trial.best is None, sign * (trial.best or 0.0)


class _Listener(tune.Callback):
    """Hands on what trials tell."""

    def __init__(self, report: Callable[[str, dict[str, Any], dict[str, Any]], None]):
        self.report = report

    def __getstate__(self) -> dict:
        """Tune writes its callbacks to disk, to go on another time, which sweeps do not."""
        return {}

    def on_trial_result(self, iteration, trials, trial, result, **info) -> None:
        if BEST in result and not result.get(OVER):
            self.report(trial_name(trial.trial_id), dict(trial.config), result)


class _Stop(tune.Stopper):
    """Ends the sweep on Ctrl-C or SIGTERM and when its time is up."""

    def __init__(self, interruption: Interruption, max_minutes: float | None):
        self.interruption, self.ended = interruption, False
        self.until = None if max_minutes is None else time.monotonic() + 60 * max_minutes

    def __getstate__(self) -> dict:
        """As for `_Listener`."""
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        self.ended |= self.interruption() or (self.until is not None and time.monotonic() > self.until)
        return self.ended


def share(config: Config, plan: SweepPlan, cpus: float) -> tuple[list[dict[str, float]], int]:
    """What Ray sets aside for each trial (learner; workers and validation), and how many trials run at once.

    Raises:
        UserError: not even one trial fits.
    """
    workers = 1 if config.ray.num_rollout_workers == "auto" else config.ray.num_rollout_workers
    others = workers * config.ray.cpus_per_rollout_worker + VALIDATION_CPUS
    left = cpus - _jurors(config) * config.juror.num_cpus
    learner = plan.cpus_per_learner or min(1.0, max(0.1, left - others))
    if learner + others > left + 1e-9:
        raise UserError(
            f"a trial needs {learner + others:g} CPUs (rollout workers: {workers}; validation; learner), the jurors "
            f"leave {left:g} of {cpus:g}: lower ray.cpus_per_rollout_worker, ray.num_rollout_workers or juror.num_cpus"
        )
    fit = int((left + 1e-9) // (learner + others))
    at_once = min(fit, plan.trials_at_once or fit, plan.trials)
    first = {"CPU": learner} | ({"GPU": config.ray.num_gpus_learner} if config.ray.num_gpus_learner else {})
    return [first, {"CPU": others}], at_once


def _domain(domain: Domain) -> Any:
    """As Tune writes it; its upper ends of whole numbers are not included."""
    if domain.kind == "choice":
        return tune.choice(domain.choice)
    low, high = domain.arguments
    return getattr(tune, domain.kind)(low, high + 1 if "int" in domain.kind else high)


def _jurors(config: Config) -> int:
    """All trials share them, so one does unless a number was asked for."""
    return 1 if config.juror.replicas == "auto" else config.juror.replicas
