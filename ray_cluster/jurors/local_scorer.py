"""The reference signal within a training: computed where it is needed, so there is no actor to ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ray_cluster.jurors.actor_scorer import start_jurors
from rl_aesthetics.config.cluster import Juror
from rl_aesthetics.errors import UserError
from rl_aesthetics.scores.reference import MixedScorer, ReferenceScorer


class LocalReference(ReferenceScorer):
    """`ReferenceScorer`, as a training expects its jurors."""

    actors: Sequence[Any] = ()

    def metrics(self) -> dict[str, float]:
        """There is no queue to measure."""
        return {}


class ReferenceAndJuror(MixedScorer):
    """`MixedScorer` whose juror is a set of actors."""

    @property
    def actors(self) -> Sequence[Any]:
        """Those of the juror."""
        return self.juror.actors

    def metrics(self) -> dict[str, float]:
        """Those of the juror."""
        return self.juror.metrics()


def reference_scorer(juror: Juror) -> LocalReference | ReferenceAndJuror | None:
    """The scorer where the juror's name is `reference`, else None.

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
