"""Which episode comes next: the photo, and the edit state that it begins in."""

from __future__ import annotations

import numpy as np

from rl_aesthetics.edits import algebra
from rl_aesthetics.episodes.photos import EpisodePhotos


class PhotoOrder:
    """Every photo of a shard once, shuffled, then all again.

    Args:
        count: photos.
        shard: (k, n) leaves photos k, k + n, k + 2n, … to this sampler, so that n samplers share a pass over all. Where
            there are fewer photos than samplers, they share them.

    Attributes:
        depth: if not None, samplers of a reversible space draw a new degradation of this depth for each episode,
            whatever was recorded.
    """

    def __init__(self, count: int, shard: tuple[int, int] = (0, 1)):
        self.count = count
        self.depth: int | None = None
        self.photos = np.arange(count)[shard[0] :: shard[1]]
        if not len(self.photos):
            self.photos = np.arange(count)
        self.seed(None)

    def seed(self, seed: int | None) -> None:
        """Begin anew; None takes what the system has of randomness."""
        self.random = np.random.default_rng(seed)
        self.pending: list[int] = []

    def next_photo(self) -> int:
        if not self.pending:
            self.pending = self.random.permutation(self.photos).tolist()
        return self.pending.pop()

    def __call__(self) -> tuple[int, int]:
        """(photo's number, edit state) of the next episode."""
        raise NotImplementedError


class EpisodeSampler(PhotoOrder):
    """In a reversible space: the photo, or a crop of it, and the edit state that it is degraded to.

    Args:
        starts: the recorded degradations, edit states `(N,)`.
        fresh: draw a new degradation of the recorded one's depth for each episode.
        shard: see `PhotoOrder`.
        review: share of episodes below `depth`, where that is set.
        variants: how many crops of each photo there are besides (`rl_aesthetics.episodes.crops`).
    """

    def __init__(
        self,
        starts: np.ndarray,
        fresh: bool = False,
        shard: tuple[int, int] = (0, 1),
        review: float = 0.0,
        variants: int = 0,
    ):
        self.starts, self.fresh, self.review, self.variants = np.asarray(starts), fresh, review, variants
        super().__init__(len(self.starts), shard)

    def __call__(self) -> tuple[int, int]:
        """(photo, edit state) of the next episode."""
        photo = self.next_photo()
        start = int(self.starts[photo])
        if self.fresh or self.depth is not None:
            depth = algebra.DEPTH[start] if self.depth is None else self.depth
            if self.depth is not None and depth > 1 and self.random.random() < self.review:
                depth = self.random.integers(1, depth)
            start = int(self.random.choice(np.flatnonzero(depth == algebra.DEPTH)))
        if self.variants:
            photo += len(self.starts) * int(self.random.integers(self.variants + 1))
        return photo, start


class VariantSampler(PhotoOrder):
    """In a photographic space: a photo in a new variant, whose number says how it is cut and degraded, unedited.

    Args:
        fresh: draw variants; else the recorded degradations, as they are.
        shard: see `PhotoOrder`.
    """

    def __init__(self, photos: EpisodePhotos, fresh: bool, shard: tuple[int, int] = (0, 1)):
        super().__init__(len(photos), shard)
        self.fresh = fresh

    def __call__(self) -> tuple[int, int]:
        """(number, edit state) of the next episode."""
        photo = self.next_photo()
        variants = (2**32 - 1) // self.count  # numbers travel as 32 bits
        return photo + self.count * int(self.random.integers(1, variants)) if self.fresh else photo, 0


def episode_order(
    photos: EpisodePhotos, fresh: bool = False, shard: tuple[int, int] = (0, 1), review: float = 0.0
) -> PhotoOrder:
    """The order in which a training goes through its photos.

    Args:
        fresh: a new degradation for each episode, in place of the recorded ones.
        shard: see `PhotoOrder`.
        review: see `EpisodeSampler`; counts where degradations have a depth.
    """
    if photos.acts_on_given:
        return VariantSampler(photos, fresh, shard)
    variants = photos.crops.variants if photos.crops else 0
    return EpisodeSampler(photos.start_states(), fresh, shard, review, variants)
