"""Which edits were taken for which, and how often the right one was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from rl_aesthetics.edits.transform import ADD
from rl_aesthetics.edits.transforms import TRANSFORMS
from rl_aesthetics.evaluation.trajectories import NONE, Trajectory


def confusion(trajectories: Iterable[Trajectory]) -> tuple[list[str], list[str], np.ndarray]:
    """Edits that photos were degraded with against edits that the agent applied.

    Each edit of a recipe counts once: against what takes it back (`undoing`) where the agent applied that, else against
    the agent's edits that no edit of the recipe accounts for, in their order, else against `none`. For photos with one
    edit that is simply: what was done, and what the agent did first. Steps in one direction of a photographic edit
    count as one edit, whatever their number and size.

    Returns:
        The rows' names, the columns' names (`none` last), counts int `(rows, columns)`.
    """
    pairs: Counter[tuple[str, str]] = Counter()
    for one in trajectories:
        left = _directions(one.edits)
        missed = []
        for name in _directions(one.degradation):
            if undoing(name) in left:
                left.remove(undoing(name))
                pairs[name, undoing(name)] += 1
            else:
                missed.append(name)
        for place, name in enumerate(missed):
            pairs[name, left[place] if place < len(left) else NONE] += 1
    rows = sorted({row for row, _ in pairs}, key=_place)
    undone = [undoing(row) for row in rows]
    others = {column for _, column in pairs} - {*undone, NONE}
    columns = [*undone, *sorted(others, key=_place), NONE]
    counts = np.array([[pairs[row, column] for column in columns] for row in rows], int)
    return rows, columns, counts.reshape(len(rows), len(columns))


def undoing(name: str) -> str:
    """The edit that takes another one back: a reversible one itself, a photographic step a step the other way."""
    return _step(name, -1)


def _directions(names: Iterable[str]) -> list[str]:
    """Edits without the sizes of photographic steps, of which each direction is left once."""
    kept: list[str] = []
    for name in names:
        direction = _step(name, 1)
        if direction == name and not _is_photographic(name):
            kept.append(name)
        elif direction not in kept:
            kept.append(direction)
    return kept


def _is_photographic(name: str) -> bool:
    return name in TRANSFORMS and TRANSFORMS[name].change is not None


@lru_cache
def _step(name: str, way: int) -> str:
    """The single step of a parameter in the same direction (`way` 1) or the other (−1); else the edit itself."""
    change = TRANSFORMS[name].change if name in TRANSFORMS else None
    if change is None or change.kind != ADD:
        return name
    for other, transform in TRANSFORMS.items():  # single steps come before those of other sizes
        step = transform.change
        if (
            step is not None
            and (step.field, step.kind) == (change.field, ADD)
            and step.amount * change.amount * way > 0
        ):
            return other
    return name


def by_edit(trajectories: Sequence[Trajectory]) -> dict[str, dict[str, float]]:
    """For each edit that photos were degraded with first: shares improved, recovered and exact, and how many."""
    groups: dict[str, list[Trajectory]] = {}
    for one in trajectories:
        groups.setdefault(one.degradation[0] if one.degradation else NONE, []).append(one)
    return {
        name: {
            "improved": float(np.mean([one.final > one.degraded for one in group])),
            "recovered": float(np.mean([one.final >= one.original for one in group])),
            "exact": float(np.mean([one.exact for one in group])),
            "photos": len(group),
        }
        for name, group in sorted(groups.items(), key=lambda item: _place(item[0]))
    }


def _place(name: str) -> tuple[int, str]:
    """Where a name comes in the order of the edits; names that are not there any more come last but `none`."""
    order = list(TRANSFORMS)
    return (order.index(name) if name in TRANSFORMS else len(order) + (name == NONE), name)
