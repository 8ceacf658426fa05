"""Several jurors as one: their scores on a common scale, averaged with weights.

    juror:
      name: mix
      options:
        jurors:
          - {name: pocket, weight: 0.7}
          - {name: laion, weight: 0.3, options: {device: cpu}}
      score_range: [0, 1]    # for value_range: auto

The score of an image is Σ wᵢ (sᵢ − lowᵢ) / (highᵢ − lowᵢ) / Σ wᵢ, where sᵢ is juror i's score and [lowᵢ, highᵢ] its
range: what the juror says of itself, or `range: [low, high]`. Within their ranges all jurors so give 0 to 1; nothing is
cut off outside, because a cut would hide that one image is better than another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from juror_service.jurors.registry import Juror, available_jurors, load_juror
from rl_aesthetics.errors import UserError, closest
from rl_aesthetics.photos.resize import reduce_image
from rl_aesthetics.scores.scorer import Images, Scorer, is_full_reference


@dataclass(frozen=True)
class Part:
    """One of the jurors: its scorer, its weight above 0, and the range that becomes 0 to 1."""

    scorer: Scorer
    weight: float
    low: float
    high: float


class MixedJuror:
    """A `Scorer` over several.

    Attributes:
        size: the largest of its jurors' sizes; images are reduced further for the others, which is the reduction that
            they would have made themselves wherever one size divides the other, and close to it elsewhere.
        fingerprint: `mix:` and 16 hexadecimal digits of a hash of the jurors' fingerprints, weights and ranges.
        full_reference: whether one of them compares with originals.
    """

    def __init__(self, parts: Sequence[Part]):
        if not parts:
            raise ValueError("a mix needs at least one juror")
        self.parts = tuple(parts)
        self.size = max(part.scorer.size for part in parts)
        self.full_reference = any(is_full_reference(part.scorer) for part in parts)
        content = sorted((p.scorer.fingerprint, float(p.weight), float(p.low), float(p.high)) for p in parts)
        self.fingerprint = "mix:" + hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    def score(self, images: Images, originals: Images | None = None) -> np.ndarray:
        """Weighted means of the rescaled scores, float32 `(B,)`, of uint8 RGB images `(size, size, 3)`.

        Args:
            originals: of the images, for jurors that compare with them.

        Raises:
            ScoringError: one of the jurors could not answer; the others alone would be another scale.
        """
        total_B = np.zeros(len(images), np.float64)
        for part in self.parts:
            seen = self._reduced(images, part.scorer.size)
            if is_full_reference(part.scorer):
                beside = None if originals is None else self._reduced(originals, part.scorer.size)
                scores_B = part.scorer.score(seen, beside).astype(np.float64)
            else:
                scores_B = part.scorer.score(seen).astype(np.float64)
            total_B += part.weight * (scores_B - part.low) / (part.high - part.low)
        return (total_B / sum(part.weight for part in self.parts)).astype(np.float32)

    def _reduced(self, images: Images, size: int) -> Images:
        return images if size == self.size else [reduce_image(image, size) for image in images]


def load_mix(jurors: Sequence[dict[str, Any]] = ()) -> MixedJuror:
    """Load a mix.

    Args:
        jurors: for each its `name`, and if wanted its `weight` (1), `range` and `options`.

    Raises:
        UserError: no jurors, an unknown one or one with unknown options, a weight that is not above 0, or no range.
    """
    if not isinstance(jurors, list | tuple) or not jurors:
        raise UserError("juror 'mix' needs jurors: [{name: pocket, weight: 0.7}, {name: laion, weight: 0.3}]")
    return MixedJuror([load_part(described) for described in jurors])


def load_part(described: Any) -> Part:
    """One juror of a mix, as settings describe it.

    Raises:
        UserError: as `load_mix`.
    """
    if not isinstance(described, dict) or "name" not in described:
        raise UserError(f"each juror of a mix needs a name, such as {{name: pocket, weight: 0.7}}, got {described!r}")
    known = ("name", "weight", "range", "options")
    if unknown := set(described) - set(known):
        first = sorted(unknown)[0]
        raise UserError(f"a juror of a mix has no {first!r}{closest(first, known)}; it has {', '.join(known)}")
    name, weight = described["name"], described.get("weight", 1.0)
    if name == "mix":
        raise UserError("a mix cannot be part of a mix")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not weight > 0:
        raise UserError(f"juror {name!r} of the mix: weight must be above 0, got {weight!r}")
    scorer = load_juror(name, **described.get("options", {}))
    span = described.get("range") or getattr(scorer, "score_range", None) or available_jurors()[name].score_range
    if span is None:
        raise UserError(f"juror {name!r} does not say between what its scores lie: give range: [LOW, HIGH] in the mix")
    if len(span) != 2 or not span[0] < span[1]:
        raise UserError(f"juror {name!r} of the mix: range must be [LOW, HIGH] with LOW below HIGH, got {span!r}")
    return Part(scorer, float(weight), float(span[0]), float(span[1]))


JUROR = Juror(
    title="several jurors, weighted on a common scale",
    licence="that of its jurors",
    size=0,  # the largest of its jurors'
    weights="none of its own",
    weights_bytes=0,
    load=load_mix,
)
