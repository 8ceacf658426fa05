"""From the cluster's resources and the configuration to who runs where."""

from __future__ import annotations

import os
from dataclasses import dataclass

from rl_aesthetics.config import Config
from rl_aesthetics.errors import UserError


@dataclass(frozen=True)
class Topology:
    """How many of each there are, and what Ray sets aside for each.

    The learner runs in the driver's process beside the replay buffer and takes no CPU of Ray's.
    """

    rollout_workers: int
    cpus_per_rollout_worker: float
    jurors: int
    cpus_per_juror: float
    gpus_per_juror: float
    gpus_learner: float
    learner_threads: int

    def __str__(self) -> str:
        jurors = f"{self.jurors} juror{'s' * (self.jurors > 1)}"
        workers = f"{self.rollout_workers} rollout worker{'s' * (self.rollout_workers > 1)}"
        return f"{workers}, {jurors}, learner with {self.learner_threads} thread{'s' * (self.learner_threads > 1)}"


VALIDATION_CPUS = 0.25
"""Set aside for the validation worker, which works for a second or two an epoch."""


def plan(config: Config, cpus: float, gpus: float) -> Topology:
    """Fit the configuration to `cpus` and `gpus` of a cluster.

    Raises:
        UserError: it does not fit; the message says what is missing.
    """
    juror, ray = config.juror, config.ray
    left = cpus - juror.replicas * juror.num_cpus - VALIDATION_CPUS
    workers = ray.num_rollout_workers
    if workers == "auto":
        workers = max(1, int((left - 1) // ray.cpus_per_rollout_worker))
    if workers * ray.cpus_per_rollout_worker > left + 1e-9:
        needed = cpus - left + workers * ray.cpus_per_rollout_worker
        raise UserError(
            f"{workers} rollout workers, {juror.replicas} jurors and the validation need {needed:g} CPUs, the cluster "
            f"has {cpus:g}: lower ray.num_rollout_workers, ray.cpus_per_rollout_worker or juror.num_cpus"
        )
    wanted_gpus = juror.replicas * juror.num_gpus + ray.num_gpus_learner
    if wanted_gpus > gpus:
        raise UserError(
            f"jurors and learner want {wanted_gpus:g} GPUs, the cluster has {gpus:g}: lower juror.num_gpus or "
            "ray.num_gpus_learner"
        )
    here = os.cpu_count() or 1
    return Topology(
        rollout_workers=workers,
        cpus_per_rollout_worker=ray.cpus_per_rollout_worker,
        jurors=juror.replicas,
        cpus_per_juror=juror.num_cpus,
        gpus_per_juror=juror.num_gpus,
        gpus_learner=ray.num_gpus_learner,
        learner_threads=config.learner.threads or max(1, here - workers),
    )
