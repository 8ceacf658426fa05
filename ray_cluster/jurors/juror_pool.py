"""The jurors of a run, wherever they compute: in actors, where the score is needed, or both."""

from __future__ import annotations

from typing import Protocol

from ray_cluster.jurors.actor_scorer import start_jurors
from ray_cluster.jurors.local_scorer import local_jurors
from rl_aesthetics.config.cluster import Juror
from rl_aesthetics.scores.scorer import Scorer


class JurorPool(Scorer, Protocol):
    """A `Scorer` that travels to the workers, and its upkeep, which stays with whoever started it."""

    def metrics(self, timeout_s: float = 1.0) -> dict[str, float]:
        """How the jurors are doing, for tracking; what does not answer in time is left out, and nothing is raised."""
        ...

    def readings(self, timeout_s: float) -> list[tuple[float, dict[str, float]]]:
        """For each replica the seconds that it took to answer, and its `JurorActor.stats`; none where there are none.

        Raises:
            RayError: one does not answer.
        """
        ...

    def grow(self, replicas: int) -> bool:
        """Have so many replicas if there are fewer; whether some were started, of which earlier copies do not know.

        Raises:
            UserError, ScoringError: they cannot be started.
        """
        ...

    def close(self) -> None:
        """Let the replicas go; nothing is scored afterwards."""
        ...


def start_pool(juror: Juror, replicas: int) -> JurorPool:
    """Start the jurors that a configuration names.

    Args:
        replicas: how many, where they are actors.

    Raises:
        UserError: the juror is unknown or cannot be loaded, has no such option, or the cluster has no room for it.
        ScoringError: the actors died while starting.
    """
    return local_jurors(juror) or start_jurors(
        juror.name, juror.options, replicas=replicas, num_cpus=juror.num_cpus, num_gpus=juror.num_gpus
    )
