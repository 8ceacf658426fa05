"""What goes wrong with real photos, with known strength: exposure, colour casts, contrast, saturation, haze.

A degradation changes one or several different parameters, each once, so no two of its parts cancel. Tonal parts are
one tone vector (`transforms.tone`), rendered once; the result is rounded to 8 bits, and what that clips is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from rl_aesthetics.edits import tone
from rl_aesthetics.edits.filters import haze
from rl_aesthetics.errors import UserError

HAZE = "haze"

DIFFICULTIES: dict[str, tuple[float, float]] = {"easy": (0.3, 0.8), "mixed": (0.3, 1.5), "hard": (0.8, 2.0)}
"""Least and greatest strength in EV or log2 of a factor, by name."""


@dataclass(frozen=True)
class TonalDegradation:
    """A distribution of degradations.

    Attributes:
        parameters: what may go wrong: names of `tone.TONE`, or `haze`.
        most: parameters that change at once, at most; one to so many, equally often.
        low, high: the strength's range, EV or log2 of a factor; uniform, up or down equally often. Of haze, whose
            strength is a density in (0, 1), it is a third, and at most 0.6.
        always_down: parameters that only go down, such as contrast in the wild.
    """

    parameters: tuple[str, ...] = ("exposure", "temperature", "tint", "contrast", "saturation")
    most: int = 2
    low: float = 0.3
    high: float = 1.5
    always_down: tuple[str, ...] = ()

    def __post_init__(self):
        if unknown := set(self.parameters) - {*tone.TONE, HAZE}:
            raise UserError(f"no tonal degradation is called {', '.join(sorted(unknown))}")
        if not 1 <= self.most <= len(self.parameters):
            raise UserError(f"--depth must be from 1 to {len(self.parameters)} for this degradation, got {self.most}")

    def draw(self, generator: np.random.Generator) -> dict[str, float]:
        """Signed strengths by parameter."""
        count = int(generator.integers(1, self.most + 1))
        chosen = generator.choice(len(self.parameters), count, replace=False)
        strengths = {}
        for place in sorted(chosen.tolist()):
            name = self.parameters[place]
            size, up = float(generator.uniform(self.low, self.high)), bool(generator.random() < 0.5)
            if name == HAZE:
                strengths[name] = round(min(0.6, size / 3), 3)
            else:
                strengths[name] = round(size if up and name not in self.always_down else -size, 3)
        return strengths

    def described(self) -> dict:
        """As JSON holds it; `TonalDegradation(**described)` is the same again."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_description(cls, description: dict) -> TonalDegradation:
        """The inverse of `described`."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in description.items()
        }
        return cls(**fields)


MODELS: dict[str, TonalDegradation] = {
    "tonal": TonalDegradation(),
    "photographic": TonalDegradation(
        parameters=("exposure", "temperature", "tint", "contrast", "saturation", HAZE), high=2.0
    ),
}
"""Degradation models by the name that `generate --transformation` takes."""


def tonal_model(name: str, most: int | None = None, difficulty: str | None = None) -> TonalDegradation:
    """A model of `MODELS` with another number of parameters at once, or other strengths.

    Raises:
        UserError: an unknown difficulty, or more parameters at once than the model has.
    """
    model = MODELS[name.lower()]
    if difficulty is not None:
        if difficulty not in DIFFICULTIES:
            raise UserError(f"unknown difficulty {difficulty!r}; there are {', '.join(DIFFICULTIES)}")
        model = replace(model, low=DIFFICULTIES[difficulty][0], high=DIFFICULTIES[difficulty][1])
    return model if most is None else replace(model, most=most)


def sequence_of(strengths: dict[str, float]) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Names of the transforms that go the same way, such as `exposure_down`, and sizes of the strengths."""
    names = tuple(
        name if name == HAZE else f"{name}_{'up' if value > 0 else 'down'}" for name, value in strengths.items()
    )
    return names, tuple(abs(value) for value in strengths.values())


def strengths_of(sequence: Sequence[str], sizes: Sequence[float]) -> dict[str, float]:
    """The inverse of `sequence_of`."""
    strengths = {}
    for name, size in zip(sequence, sizes, strict=True):
        parameter, _, way = name.rpartition("_") if name != HAZE else (HAZE, "", "up")
        strengths[parameter] = size if way == "up" else -size
    return strengths


def degrade_tone(photo_HWC: np.ndarray, strengths: dict[str, float]) -> np.ndarray:
    """Degrade a photo, uint8 `(H, W, 3)` BGR; haze lies in the air, before the camera's tone. A new array."""
    if density := strengths.get(HAZE, 0.0):
        photo_HWC = haze(photo_HWC, density)
    tones = {name: value for name, value in strengths.items() if name != HAZE}
    return tone.render_bgr(photo_HWC, tone.vector(**tones))
