"""What `rl-aesthetics sweep` is told: a YAML file that says what to try, how often, and what is good.

    base: configs/tuned.yaml              # what every trial begins with
    settings: {training.num_epochs: 20}   # and what is different in all of them
    space:
      training.learning_rate: {loguniform: [1e-4, 1e-2]}
      training.batch_size: {choice: [64, 128, 256]}
    metric: val_success_rate
    trials: 20

Every setting of docs/configuration.md may stand under `settings` and `space`.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from rl_aesthetics.config.config import Config, load_config, settings
from rl_aesthetics.config.old_names import OLD_NAMES
from rl_aesthetics.config.section import Positive
from rl_aesthetics.config.yaml_file import read_mapping
from rl_aesthetics.errors import UserError, closest

METRICS = (
    *("val_success_rate", "val_exact", "val_recovered", "val_avg_reward", "val_avg_improvement", "val_avg_steps"),
    *("train_success_rate", "train_avg_reward", "train_avg_loss", "train_avg_steps"),
    *("perf_env_steps_per_s", "perf_trained_per_s", "perf_juror_calls_per_step"),
)
"""What a sweep may look at: metrics that every training has."""

SHARED = ("dataset", "output", "juror", "ray", "checkpoints", "mlflow")
"""Settings that cannot be tried: trials share the jurors, the cluster and what they are compared by."""

KINDS = ("choice", "uniform", "loguniform", "randint", "lograndint")


class Domain(BaseModel):
    """What one setting may be: exactly one of these."""

    model_config = ConfigDict(extra="forbid")

    choice: list[Any] | None = Field(None, min_length=1, description="one of these values")
    uniform: tuple[float, float] | None = Field(None, description="a number between the two")
    loguniform: tuple[float, float] | None = Field(None, description="the same, its logarithm uniform")
    randint: tuple[int, int] | None = Field(
        None, description="a whole number from the first to the second, both included"
    )
    lograndint: tuple[int, int] | None = Field(None, description="the same, its logarithm uniform")

    @model_validator(mode="after")
    def _exactly_one(self) -> Domain:
        if len(self.model_fields_set) != 1:
            raise ValueError(f"needs exactly one of {', '.join(KINDS)}")
        if self.kind != "choice":
            low, high = self.arguments
            if not low < high:
                raise ValueError(f"{self.kind}: the first number must be below the second, got [{low:g}, {high:g}]")
            if "log" in self.kind and low <= 0:
                raise ValueError(f"{self.kind}: both numbers must be above 0, got [{low:g}, {high:g}]")
        return self

    @property
    def kind(self) -> str:
        """Which of the five it is."""
        (kind,) = self.model_fields_set
        return kind

    @property
    def arguments(self) -> Any:
        """The list of choices, or (low, high)."""
        return getattr(self, self.kind)

    def holds(self, value: Any) -> bool:
        """Whether a value is one of these."""
        if self.kind == "choice":
            return value in self.arguments
        low, high = self.arguments
        kinds = int if "int" in self.kind else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and low <= value <= high

    @property
    def examples(self) -> list[Any]:
        """All choices, or both ends and, of real numbers, one in between, which tells whole numbers apart."""
        if self.kind in ("uniform", "loguniform"):
            low, high = self.arguments
            return [low, low + 0.37123 * (high - low), high]
        return list(self.arguments)


class Pruning(BaseModel):
    """ASHA, asynchronous successive halving (arXiv 1810.05934): at epochs grace_period · reduction_factorᵏ a trial goes
    on only if it is among the best 1/reduction_factor of those that got there."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool = Field(True, description="end trials early that are worse than others were at that time")
    grace_period: Positive = Field(4, description="epochs that every trial may have")
    reduction_factor: int = Field(3, ge=2, description="one of so many goes on")


class SweepPlan(BaseModel):
    """The file, checked."""

    model_config = ConfigDict(extra="forbid")

    base: Path | None = Field(None, description="a training's YAML, relative to this file; none means the defaults")
    settings: dict[str, Any] = Field({}, description="settings of every trial, by dotted key")
    space: dict[str, Domain] = Field(min_length=1, description="what is tried, by dotted key")
    first: list[dict[str, Any]] = Field([], description="values to try before any others, such as those in use")
    metric: str = Field("val_success_rate", description="one of `METRICS`")
    mode: Literal["max", "min"] = Field("max", description="whether more of it is better, or less")
    trials: Positive = Field(20, description="how many trainings")
    trials_at_once: Positive | None = Field(None, description="none means as many as fit the machine")
    max_minutes: float | None = Field(None, gt=0, description="for the whole sweep; what runs then is stopped")
    cpus_per_learner: float | None = Field(
        None,
        gt=0,
        description="CPUs set aside for each trial's learner; none means 1, or less where one trial needs all",
    )
    asha: Pruning = Pruning()
    seed: int = Field(0, ge=0, description="of the search; trials have the seed of their training")

    @field_validator("space", mode="before")
    @classmethod
    def _domains_are_mappings(cls, space: Any) -> Any:
        for key, domain in space.items() if isinstance(space, dict) else ():
            if not isinstance(domain, dict):
                raise ValueError(f"{key} needs one of {', '.join(KINDS)}, such as {{uniform: [0, 1]}}")
        return space

    @field_validator("metric")
    @classmethod
    def _is_measured(cls, metric: str) -> str:
        if metric not in METRICS:
            raise ValueError(f"no training has {metric!r}{closest(metric, METRICS)}; there are {', '.join(METRICS)}")
        return metric

    @model_validator(mode="after")
    def _first_are_of_the_space(self) -> SweepPlan:
        for point in self.first:
            if unknown := set(point) - set(self.space):
                raise ValueError(f"first: {sorted(unknown)[0]} is not in space")
            # Optuna tries a number outside of its range as it is, and ends the sweep at the others once it has begun.
            if missing := set(self.space) - set(point):
                raise ValueError(f"first: a point says nothing of {sorted(missing)[0]}; name every setting of space")
            for key, value in point.items():
                domain = self.space[key]
                if domain.kind != "choice" and isinstance(value, str):
                    with suppress(ValueError):  # YAML 1.1 takes 1e-4 for a string
                        point[key] = value = float(value)
                if not domain.holds(value):
                    raise ValueError(f"first: {key}={value!r} is not within {domain.kind} {list(domain.arguments)}")
        return self

    def config(self, values: dict[str, Any], overrides: tuple[str, ...] = ()) -> Config:
        """The training with these values of the space.

        Raises:
            UserError: it cannot be.
        """
        chosen = [f"{key}={yaml.safe_dump(value, default_flow_style=True)}" for key, value in values.items()]
        return load_config(self.base, [*self._settings, *overrides, *chosen])

    @property
    def _settings(self) -> list[str]:
        return [f"{key}={yaml.safe_dump(value, default_flow_style=True)}" for key, value in self.settings.items()]


def load_plan(file: Path | str, overrides: tuple[str, ...] = ()) -> SweepPlan:
    """Read and check a sweep's file: keys, values, and that trainings with the ends of each domain are possible.

    Args:
        overrides: `key=value` settings of every trial, such as the dataset.

    Raises:
        UserError: a missing or broken file, an unknown setting, values that no training can have.
    """
    path = Path(file)
    tree = read_mapping(path, "sweep")
    try:
        plan = SweepPlan.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = list(KINDS if key.startswith("space.") else SweepPlan.model_fields)
            raise UserError(f"{path}: unknown {key!r}{closest(key.split('.')[-1], known)}") from None
        raise UserError(f"{path}: {key}: {first['msg'].removeprefix('Value error, ')}") from None
    if plan.base is not None:
        plan.base = (path.parent / plan.base).resolve()  # trials have other working directories
    _check_values(plan, path, overrides)
    return plan


def _check_values(plan: SweepPlan, path: Path, overrides: tuple[str, ...]) -> None:
    known = {key.removeprefix("rl_training.") for key in [*(key for key, _, _ in settings()), *OLD_NAMES]}
    for key in plan.space:
        short = key.removeprefix("rl_training.")
        if short not in known and not any(short.startswith(f"{k}.") for k in known if k.endswith("options")):
            raise UserError(f"{path}: space: unknown setting {key!r}{closest(short, known)}")
        if short.split(".")[0] in SHARED:
            raise UserError(f"{path}: space: {key} is the same for all trials; it may stand under settings")
    others = {key: domain.examples[0] for key, domain in plan.space.items()}
    plan.config(others, overrides)
    for key, domain in plan.space.items():
        for value in domain.examples:
            plan.config({**others, key: value}, overrides)
    for point in plan.first:
        plan.config({**others, **point}, overrides)
