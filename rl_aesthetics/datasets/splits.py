"""Dividing source photos into train, val and test."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from rl_aesthetics.datasets.annotations import SPLITS
from rl_aesthetics.errors import UserError


def assign_splits(groups: Iterable[str], ratios: Sequence[float], seed: int) -> dict[str, str]:
    """Give each source photo one split; what belongs to one photo (tiles, copies) follows it.

    The photos are ordered by a hash of seed and name and cut at the shares, so that it does not matter how they were
    listed, and adding a few moves only few of them. Every split with a share gets at least one photo.

    Args:
        groups: names of source photos; repetitions do not count.
        ratios: shares of `SPLITS`, summing to 1; 0 leaves a split out.

    Returns:
        The split of each group.

    Raises:
        UserError: there are fewer photos than splits.
    """
    ordered = sorted(set(groups), key=lambda group: hashlib.sha256(f"{seed}:split:{group}".encode()).digest())
    shares = [(split, ratio) for split, ratio in zip(SPLITS, ratios, strict=True) if ratio > 0]
    if len(ordered) < len(shares):
        found = "1 usable photo" if len(ordered) == 1 else f"{len(ordered)} usable photos"
        raise UserError(
            f"{found} cannot fill {len(shares)} splits ({', '.join(split for split, _ in shares)}):"
            " give more photos, or fewer splits, e.g. --split-ratios 1,0,0"
        )
    counts = [max(1, int(len(ordered) * ratio + 1e-9)) for _, ratio in shares]
    while sum(counts) != len(ordered):  # what rounding left over goes where the most is missing, and the reverse
        lack = [len(ordered) * ratio - count for (_, ratio), count in zip(shares, counts, strict=True)]
        if sum(counts) < len(ordered):
            counts[lack.index(max(lack))] += 1
        else:
            spare = [value if count > 1 else float("inf") for value, count in zip(lack, counts, strict=True)]
            counts[spare.index(min(spare))] -= 1
    split_of: dict[str, str] = {}
    start = 0
    for (split, _), count in zip(shares, counts, strict=True):
        split_of |= dict.fromkeys(ordered[start : start + count], split)
        start += count
    return split_of
