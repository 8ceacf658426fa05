"""The reference signal within a training: computed where it is needed, so there is no actor to ask."""

from __future__ import annotations

from typing import Any

from juror_service.jurors.mix import MixedJuror, Part, load_part
from ray_cluster.jurors.actor_scorer import ActorScorer, start_jurors
from rl_aesthetics.config.cluster import Juror
from rl_aesthetics.errors import UserError
from rl_aesthetics.scores.reference import ReferenceScorer


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


class ReferenceAndJurors(MixedJuror):
    """`MixedJuror` of the reference and a set of actors, as a `JurorPool`."""

    def __init__(self, reference: Part, jurors: ActorScorer, weight: float):
        super().__init__([reference, Part(jurors, weight, 0, 1)])
        self.jurors = jurors

    def metrics(self, timeout_s: float = 1.0) -> dict[str, float]:
        """Those of the jurors."""
        return self.jurors.metrics(timeout_s)

    def readings(self, timeout_s: float) -> list[tuple[float, dict[str, float]]]:
        """Those of the jurors."""
        return self.jurors.readings(timeout_s)

    def grow(self, replicas: int) -> bool:
        """The jurors' part of the score is asked for too rarely."""
        return False

    def close(self) -> None:
        """Let the jurors' actors go."""
        self.jurors.close()


def local_jurors(juror: Juror) -> LocalReference | ReferenceAndJurors | None:
    """The pool where the juror is `reference`, or a `mix` with it; else None.

    The options `juror`, another one's name, and `weight`, the reference's share (0.5 if left out), of `reference` are
    how such mixes were written once.

    Raises:
        UserError: another option, or a weight outside [0, 1].
    """
    if juror.name == "mix":
        return _mix(juror)
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
    jurors = _start(juror, other)
    mixed = ReferenceAndJurors(Part(ReferenceScorer(jurors.size), float(weight), 0, 1), jurors, 1 - float(weight))
    mixed.fingerprint = f"mixed:{weight:g}:{ReferenceScorer.fingerprint}+{jurors.fingerprint}"
    return mixed


def _mix(juror: Juror) -> ReferenceAndJurors | None:
    """The reference is computed where it is needed; what else is in the mix, in actors, is a mix of its own."""
    described = juror.options.get("jurors")
    named = described if isinstance(described, list | tuple) else ()
    reference = [one for one in named if isinstance(one, dict) and one.get("name") == "reference"]
    others = [one for one in named if one not in reference]
    if not reference:
        return None
    if len(reference) > 1 or not others:
        raise UserError("juror 'mix' takes reference once, beside other jurors; alone it is juror.name=reference")
    part = load_part(reference[0])
    jurors = _start(juror, "mix", {"jurors": others})
    return ReferenceAndJurors(part, jurors, sum(float(one.get("weight", 1.0)) for one in others))


def _start(juror: Juror, name: str, options: dict[str, Any] | None = None) -> ActorScorer:
    return start_jurors(
        name,
        options,
        replicas=1 if juror.replicas == "auto" else juror.replicas,
        num_cpus=juror.num_cpus,
        num_gpus=juror.num_gpus,
    )
