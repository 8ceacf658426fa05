"""Where things run and are kept: juror, Ray, checkpoints and MLflow."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from rl_aesthetics.config.section import Positive, Section


class Juror(Section):
    """Who scores."""

    name: str = Field("pocket", description="a juror's name, see `rl-aesthetics juror list`")
    options: dict[str, Any] = Field({}, description="passed to the juror, such as url for 'remote'")
    replicas: Positive | Literal["auto"] = Field(
        "auto", description="juror actors; 'auto' is one for each GPU, or without GPU share one for 32 CPUs"
    )
    num_cpus: float = Field(0.5, ge=0, description="CPUs that Ray sets aside for each juror actor")
    num_gpus: float = Field(0, ge=0, description="GPU share of each juror actor")
    score_range: tuple[float, float] | None = Field(
        None, description="the least and the greatest score, for value_range: auto, where the juror does not say"
    )
    score_cache_size: Positive = Field(2_000_000, description="scores that each rollout worker remembers")
    save_scores: bool = Field(
        True, description="keep scores beside the dataset for the next training on it; never in lockstep"
    )


class RayCluster(Section):
    """Where the work runs."""

    address: str | None = Field(None, description="a running cluster ('auto' or host:port); none starts one here")
    num_cpus: Positive | None = Field(None, description="CPUs of a cluster started here; none counts the machine's")
    num_rollout_workers: int | Literal["auto"] = Field(
        "auto", description="EnvRunner actors; 'auto' leaves a CPU each for the learner and the juror"
    )
    cpus_per_rollout_worker: float = Field(1, gt=0, description="CPUs that Ray sets aside for each rollout worker")
    rollout_fragment_length: Positive = Field(8, description="vector steps that a worker sends at a time")
    num_gpus_learner: float = Field(0, ge=0, description="GPU share of the learner, or of each learner actor")
    num_learners: int = Field(
        0, ge=0, description="learner actors that share each batch; 0 learns in the driver, beside the replay buffer"
    )
    cpus_per_learner: float = Field(1, gt=0, description="CPUs that Ray sets aside for each learner actor")
    elastic: bool = Field(
        True, description="fit rollout workers ('auto') and jurors to a cluster that grew or shrank, at each epoch"
    )
    dashboard: bool = Field(False, description="start the dashboard of a cluster started here")

    @field_validator("num_rollout_workers")
    @classmethod
    def _at_least_one(cls, workers: int | str) -> int | str:
        if isinstance(workers, int) and workers < 1:
            raise ValueError("must be 'auto' or at least 1")
        return workers


class Checkpoints(Section):
    """What a training needs to go on where it was stopped, see `train --resume`."""

    storage: str | None = Field(
        None, description="folder, s3://… or gs://… of the checkpoints; none means `state` in the output folder"
    )
    every_minutes: float = Field(
        5, ge=0, description="after the first epoch, one at the end of an epoch once this has passed since the last"
    )
    keep: Positive = Field(2, description="checkpoints to keep, besides that of the best epoch")
    replay_limit_mb: float = Field(4096, ge=0, description="a larger replay buffer is left out and filled again")


class MLflow(Section):
    """Where runs are recorded."""

    tracking_uri: str | None = Field(None, description="none means MLFLOW_TRACKING_URI, else sqlite:///mlflow.db")
    experiment: str = Field("RL Image Optimization", description="the experiment's name")
    run_name: str | None = Field(None, description="the run's name; none names it after the output folder")
