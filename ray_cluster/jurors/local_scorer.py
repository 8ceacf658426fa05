"""The reference signal within a training: computed where it is needed, so there is no actor to ask."""

from __future__ import annotations

from ray_cluster.jurors.actor_scorer import ActorScorer, start_jurors
from rl_aesthetics.config.cluster import Juror
from rl_aesthetics.errors import UserError
from rl_aesthetics.scores.reference import MixedScorer, ReferenceScorer


class LocalReference(ReferenceScorer):
    """`ReferenceScorer` as a `JurorPool`: there is nobody to ask."""

    def metrics(self, timeout_s: float = 1.0) -> dict[str, float]:
        """There is no queue to measure."""
        return {}

    def readings(self, timeout_s: float) -> list[tuple[float, dict[str, float]]]:
        """There are no replicas."""
        return []

    def grow(self, replicas: int) -> bool:
        """It is wherever it is needed already."""
        return False

    def close(self) -> None:
        """There is nothing to let go."""


class ReferenceAndJuror(MixedScorer):
    """`MixedScorer` as a `JurorPool`, whose juror is a set of actors."""

    juror: ActorScorer

    def metrics(self, timeout_s: float = 1.0) -> dict[str, float]:
        """Those of the juror."""
        return self.juror.metrics(timeout_s)

    def readings(self, timeout_s: float) -> list[tuple[float, dict[str, float]]]:
        """Those of the juror."""
        return self.juror.readings(timeout_s)

    def grow(self, replicas: int) -> bool:
        """The juror's part of the score is asked for too rarely."""
        return False

    def close(self) -> None:
        """Let the juror's actors go."""
        self.juror.close()


def local_jurors(juror: Juror) -> LocalReference | ReferenceAndJuror | None:
    """The pool where the juror's name is `reference`, else None.

    Its options: `juror`, the name of a juror to mix in, and `weight`, the reference's share (0.5 if left out).

    Raises:
        UserError: another option, or a weight outside [0, 1].
    """
    if juror.name != "reference":
        return None
    options = dict(juror.options)
    other, weight = options.pop("juror", None), options.pop("weight", 0.5)
    if options:
        raise UserError(f"juror 'reference' has no option {sorted(options)[0]!r}; it has juror, weight")
    if not isinstance(weight, int | float) or not 0 <= weight <= 1:
        raise UserError(f"juror.options.weight must lie in [0, 1], not {weight!r}")
    if other is None:
        return LocalReference()
    actors = start_jurors(
        other,
        replicas=1 if juror.replicas == "auto" else juror.replicas,
        num_cpus=juror.num_cpus,
        num_gpus=juror.num_gpus,
    )
    return ReferenceAndJuror(actors, float(weight))
