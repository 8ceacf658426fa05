"""From a photo to a degraded photo and the record of how it came about.

A degradation depends on the seed and on which photo it is for, never on the machine, the worker or the order of work.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rl_aesthetics.datasets.tonal_degradation import TonalDegradation, degrade_tone, sequence_of, strengths_of
from rl_aesthetics.edits import algebra
from rl_aesthetics.edits.transforms import REVERSIBLE, STOP, TRANSFORMS, action_names, get_transform
from rl_aesthetics.errors import UserError

MAX_DEPTH = int(algebra.DEPTH.max())
"""9: no edit state is farther than this from the original."""


@dataclass(frozen=True)
class Degradation:
    """What was done to one photo.

    Attributes:
        sequence: canonical names of the edits, in the order in which they were applied.
        seed: what it was drawn with: a function of the dataset's seed and the photo's identity, 0 ≤ seed < 2⁴⁸.
        copy: which of the photo's degraded copies this is, from 0.
        strengths: of each edit, where a degradation model drew them; empty for edits as the registry has them.
    """

    sequence: tuple[str, ...]
    seed: int = 0
    copy: int = 0
    strengths: tuple[float, ...] = ()

    @property
    def transformation(self) -> str:
        """The degradation in one label, names joined by `+`."""
        return "+".join(self.sequence)


def degrade(photo_HWC: np.ndarray, sequence: Sequence[str], strengths: Sequence[float] = ()) -> np.ndarray:
    """Apply edits one after the other to a photo, uint8 `(H, W, 3)` BGR; returns a new array.

    Args:
        strengths: one for each edit makes it a degradation of `tonal_degradation`, which is rendered at once.

    Raises:
        UserError: an unknown edit.
        ValueError: a half shift of an odd side, or pixels that are not uint8 `(H, W, 3)`.
    """
    if len(strengths):
        return degrade_tone(photo_HWC, strengths_of(sequence, strengths))
    degraded = photo_HWC.copy()
    for name in sequence:
        degraded = get_transform(name)(degraded)
    return np.ascontiguousarray(degraded)


def is_reversible(sequence: Sequence[str]) -> bool:
    """Whether the edits of a sequence can be undone exactly, so that the original follows from the degraded photo.

    No edit at all is nothing to undo.
    """
    return all(get_transform(name).element is not None for name in sequence)


def edit_state(sequence: Sequence[str]) -> int:
    """The canonical edit state (`transforms.algebra`) that a sequence leads to from the original.

    Raises:
        ValueError: the sequence holds an edit that is not reversible.
    """
    state = algebra.ORIGINAL
    for name in sequence:
        element = get_transform(name).element
        if element is None:
            raise ValueError(f"{name} is not reversible: {'+'.join(sequence)} has no edit state")
        state = int(algebra.compose(state, element))
    return state


def restore(degraded_HWC: np.ndarray, sequence: Sequence[str]) -> np.ndarray:
    """Undo a reversible sequence: the original's pixels, exactly.

    Raises:
        ValueError: the sequence is not reversible, or a side is odd.
    """
    return algebra.apply(degraded_HWC, int(algebra.inverse(edit_state(sequence))))


def choices(transformation: str | Sequence[str], depth: int = 1) -> tuple[tuple[str, ...], ...]:
    """Every sequence that a photo may be degraded with, in a fixed order; one is drawn for each photo.

    Args:
        transformation: `RANDOM` for all 14 reversible edits, one name, several joined by commas, or a list of names.
        depth: edits a sequence. Above 1, each edit state of exactly this distance from the original that the given
            edits reach in as many steps stands there once, so that no degradation can be undone in fewer.

    Raises:
        UserError: unknown or repeated names, a depth outside 1–9, a depth above 1 for edits that cannot be undone, or
            one that the given edits never reach.
    """
    if isinstance(transformation, str) and "," in transformation:
        transformation = [name.strip() for name in transformation.split(",") if name.strip()]
    if STOP in ([transformation] if isinstance(transformation, str) else transformation):
        raise UserError("STOP ends an episode; it degrades nothing: leave it out of --transformation")
    names = sorted(action_names(transformation, add_stop=False), key=list(TRANSFORMS).index)
    if not 1 <= depth <= MAX_DEPTH:
        raise UserError(f"--depth must be from 1 to {MAX_DEPTH}, got {depth}")
    if depth == 1:
        return tuple((name,) for name in names)
    if one_way := [name for name in names if name not in REVERSIBLE]:
        raise UserError(f"--depth {depth} needs reversible edits, but {', '.join(one_way)} cannot be undone")
    elements = np.array([TRANSFORMS[name].element for name in names])
    level: dict[int, tuple[str, ...]] = {algebra.ORIGINAL: ()}
    for reached in range(1, depth + 1):
        states = algebra.compose(np.array(list(level))[:, None], elements)
        following: dict[int, tuple[str, ...]] = {}
        for row, sequence in enumerate(level.values()):
            for column in np.flatnonzero(algebra.DEPTH[states[row]] == reached):
                following.setdefault(int(states[row, column]), (*sequence, names[column]))
        level = following
        if not level:
            raise UserError(f"no {depth} edits out of {', '.join(names)} lead to a photo that is {depth} edits away")
    return tuple(level[state] for state in sorted(level))


def photo_seed(seed: int, photo_id: str) -> int:
    """The seed of one photo under the dataset's seed: 48 bits, so that JSON readers keep every digit."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{photo_id}".encode("utf-8", "surrogateescape")).digest()[:6], "big")


def draw_tonal(model: TonalDegradation, seed: int, photo_id: str, copy: int = 0) -> Degradation:
    """Draw the degradation of one photo's copy from a degradation model; arguments as `draw`."""
    own_seed = photo_seed(seed, photo_id)
    strengths = model.draw(np.random.default_rng((own_seed, copy)))
    sequence, sizes = sequence_of(strengths)
    return Degradation(sequence, own_seed, copy, sizes)


def draw(sequences: Sequence[tuple[str, ...]], seed: int, photo_id: str, copy: int = 0) -> Degradation:
    """Draw the degradation of one photo's copy, uniformly; the copies of a photo all differ.

    Args:
        sequences: from `choices`.
        seed: the dataset's seed.
        photo_id: what identifies the photo within its source.
        copy: which degraded copy, from 0.

    Raises:
        UserError: more copies are asked for than there are sequences.
    """
    if copy >= len(sequences):
        raise UserError(f"--copies {copy + 1} asks for more different degradations than there are ({len(sequences)})")
    own_seed = photo_seed(seed, photo_id)
    order = np.random.default_rng(own_seed).permutation(len(sequences))
    return Degradation(sequences[order[copy]], own_seed, copy)
