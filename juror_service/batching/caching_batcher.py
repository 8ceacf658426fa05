"""The cache before the model, keyed by the pixels: an image that was scored, or is being scored, is not scored again.

This is the service's cache, which knows nothing of photos and edits; environments have
`rl_aesthetics.scores.score_cache`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from juror_service.batching.batcher import Batcher
from juror_service.errors import DeadlineExceeded, ImageFailed


def pixel_key(image_HWC: np.ndarray) -> bytes:
    """128 bits that stand for the pixels of an image of the juror's size (BLAKE2b: collisions cannot be made up)."""
    return hashlib.blake2b(np.ascontiguousarray(image_HWC).data, digest_size=16).digest()


@dataclass
class CacheStats:
    """Images answered from the cache, shared with a request that was computing them, and computed."""

    hits: int = 0
    shared: int = 0
    misses: int = 0


class CachingBatcher:
    """A `Batcher` that asks the juror for each image once.

    Duplicates within a request, and across requests that are under way at the same time, are computed once. If the
    request that computes an image is cancelled or refused, those that were waiting for it compute it themselves:
    nobody inherits another's failure. Failures of an image are handed to all who wait for it and are not remembered.

    Args:
        batcher: what computes; the cache belongs to its scorer.
        capacity: scores remembered, the least recently used go first; 0 remembers none. About 150 bytes each.
    """

    def __init__(self, batcher: Batcher, capacity: int = 100_000):
        if capacity < 0:
            raise ValueError(f"capacity cannot be negative, got {capacity}")
        self.batcher, self.capacity = batcher, capacity
        self.stats = CacheStats()
        self._scores: OrderedDict[bytes, float] = OrderedDict()
        self._under_way: dict[bytes, asyncio.Future[float | str]] = {}

    def __len__(self) -> int:
        return len(self._scores)

    async def score(self, images: np.ndarray | Sequence[np.ndarray], timeout_s: float | None = None) -> np.ndarray:
        """Score images; arguments, answer and errors are those of `Batcher.score`."""
        images_BHWC = self.batcher.checked(images)
        loop = asyncio.get_running_loop()
        deadline = None if timeout_s is None else loop.time() + timeout_s
        positions: OrderedDict[bytes, list[int]] = OrderedDict()
        for position, image in enumerate(images_BHWC):
            positions.setdefault(pixel_key(image), []).append(position)
        self.stats.shared += len(images_BHWC) - len(positions)
        scores_B, errors = np.full(len(images_BHWC), np.nan, np.float32), {}
        missing = list(positions)
        first_look = True
        while missing:
            outcomes: dict[bytes, float | str] = {}
            for key in missing:
                if (score := self._recall(key)) is not None:
                    outcomes[key] = score
            others = {key: self._under_way[key] for key in missing if key not in outcomes and key in self._under_way}
            own = [key for key in missing if key not in outcomes and key not in others]
            if first_look:
                self.stats.hits += len(outcomes)
                self.stats.shared += len(others)
                first_look = False
            self.stats.misses += len(own)
            remaining = None if deadline is None else deadline - loop.time()
            if own:
                outcomes |= await self._compute(own, images_BHWC[[positions[key][0] for key in own]], remaining)
            if others:
                remaining = None if deadline is None else max(0.0, deadline - loop.time())
                _done, late = await asyncio.wait(others.values(), timeout=remaining)
                if late:
                    raise DeadlineExceeded(f"no score within {timeout_s:g} s")
                outcomes |= {key: future.result() for key, future in others.items() if not future.cancelled()}
            for key, outcome in outcomes.items():
                for position in positions[key]:
                    if isinstance(outcome, str):
                        errors[position] = outcome
                    else:
                        scores_B[position] = outcome
            missing = [key for key in missing if key not in outcomes]
        if errors:
            raise ImageFailed(dict(sorted(errors.items())), scores_B)
        return scores_B

    async def close(self) -> None:
        """See `Batcher.close`."""
        await self.batcher.close()

    async def _compute(
        self, keys: list[bytes], images_BHWC: np.ndarray, timeout_s: float | None
    ) -> dict[bytes, float | str]:
        """Score or reason by key. Whoever waits for one of them is told, or released if this request ends without."""
        futures = [asyncio.get_running_loop().create_future() for _ in keys]
        self._under_way.update(zip(keys, futures, strict=True))
        try:
            try:
                scores_B, errors = await self.batcher.score(images_BHWC, timeout_s), {}
            except ImageFailed as failure:
                scores_B, errors = failure.scores_B, failure.errors
            outcomes = {key: errors.get(i, float(scores_B[i])) for i, key in enumerate(keys)}
            for future, outcome in zip(futures, outcomes.values(), strict=True):
                future.set_result(outcome)
        finally:
            for key, future in zip(keys, futures, strict=True):
                del self._under_way[key]
                future.cancel()
        for key, outcome in outcomes.items():
            if not isinstance(outcome, str):
                self._remember(key, outcome)
        return outcomes

    def _recall(self, key: bytes) -> float | None:
        if (score := self._scores.get(key)) is not None:
            self._scores.move_to_end(key)
        return score

    def _remember(self, key: bytes, score: float) -> None:
        self._scores[key] = score
        if len(self._scores) > self.capacity:
            self._scores.popitem(last=False)
