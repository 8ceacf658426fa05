"""Scores that are known already, by photo and edit state.

The 14 reversible edits lead to 3,072 states of a photo and no more, so episodes meet again in the same ones; a state
that was scored once is never sent to the juror again.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

import numpy as np

from rl_aesthetics.errors import UserError
from rl_aesthetics.files.atomic import write_file

SCORED = np.dtype([("photo", "<u4"), ("state", "<u4"), ("score", "<f4")])
"""A score and what it belongs to, as it travels between processes and lies in files."""

WAYS = 8
"""Entries in a set. At half the capacity about 2 % of the sets of eight are full, so little is forgotten early."""

_EMPTY = np.uint64(2**64 - 1)
_BLOCK = 4096  # entries stored at a time: what does not fit a processor's cache takes longer
_FORMAT = "1"
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ / golden ratio: multiplicative hashing (Knuth, TAOCP 3, 6.4)


class ScoreCache:
    """A bounded cache from (photo, edit state) to score, for one scorer; vectorised, 16 bytes an entry.

    Organised as a processor's cache is: a key belongs to one set of eight entries, and a full set forgets its least
    recently used entry. That keeps lookups of a whole vector step to a handful of array operations, and the memory to
    four preallocated arrays that never grow.

    Not thread-safe: each environment owns its cache.

    Args:
        scorer_fingerprint: the `Scorer.fingerprint` that the scores belong to.
        capacity: number of entries, rounded up to a power of two.
        photos_fingerprint: names what the photo numbers mean (the dataset), so that a saved cache is never read for
            other photos.
        journal: note what is stored, for `take_new`.

    Attributes:
        hits: how many lookups were answered.
        misses: how many were not.
    """

    def __init__(
        self, scorer_fingerprint: str, capacity: int = 1 << 20, photos_fingerprint: str = "", journal: bool = False
    ):
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        sets = 1 << max(0, (-(-capacity // WAYS) - 1).bit_length())
        self.scorer_fingerprint, self.photos_fingerprint = scorer_fingerprint, photos_fingerprint
        self.capacity = sets * WAYS
        self.hits = self.misses = 0
        self._shift = np.uint64(64 - (sets.bit_length() - 1)) if sets > 1 else None
        self._keys = np.full((sets, WAYS), _EMPTY, np.uint64)
        self._scores = np.zeros((sets, WAYS), np.float32)
        self._used = np.zeros((sets, WAYS), np.uint32)
        self._time = 0
        self._journal: list[np.ndarray] | None = [] if journal else None

    def __len__(self) -> int:
        return int((self._keys != _EMPTY).sum())

    @property
    def nbytes(self) -> int:
        """Bytes held; constant from construction on."""
        return self._keys.nbytes + self._scores.nbytes + self._used.nbytes

    @property
    def hit_rate(self) -> float:
        """Share of lookups that were answered; 0 before the first."""
        return self.hits / max(1, self.hits + self.misses)

    def lookup(self, photos_B: np.ndarray, states_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is known.

        Args:
            photos_B: photo numbers, integers in [0, 2³² − 1).
            states_B: edit states, integers in [0, 2⁶³).

        Returns:
            float32 `(B,)` scores, NaN where unknown, and bool `(B,)`, true where known.
        """
        keys = self._key(photos_B, states_B)
        sets = self._set(keys)
        matches = self._keys[sets] == keys[:, None]
        known = matches.any(axis=1)
        way = matches.argmax(axis=1)
        scores = np.where(known, self._scores[sets, way], np.float32(np.nan))
        self._used[sets[known], way[known]] = self._tick()
        found = int(np.count_nonzero(known))
        self.hits += found
        self.misses += len(keys) - found
        return scores, known

    def store(self, photos_B: np.ndarray, states_B: np.ndarray, scores_B: np.ndarray) -> None:
        """Remember scores; a repeated key keeps its last score.

        Raises:
            ValueError: a score that is not a finite number: a failed scoring must not be remembered as one.
        """
        scores = np.asarray(scores_B, np.float32)
        if not np.isfinite(scores).all():
            raise ValueError("only finite scores can be cached")
        keys = self._key(photos_B, states_B)
        if scores.shape != keys.shape:
            raise ValueError(f"{keys.shape[0]} keys but scores of shape {scores.shape}")
        if self._journal is not None:
            self._journal.append(_scored(keys, scores))
        self._store(keys, scores)

    def add(self, scored_N: np.ndarray) -> None:
        """Take in what another cache had: `SCORED` records, the most recently used last. Not noted for `take_new`.

        Raises:
            ValueError: a score that is not a finite number.
        """
        if not np.isfinite(scored_N["score"]).all():
            raise ValueError("only finite scores can be cached")
        for start in range(0, len(scored_N), _BLOCK):
            block = scored_N[start : start + _BLOCK]
            self._store(self._key(block["photo"], block["state"]), block["score"])

    def entries(self) -> np.ndarray:
        """Everything it knows, as `SCORED` records, the most recently used last."""
        held = self._keys != _EMPTY
        recent_last = np.argsort(self._used[held], kind="stable")
        return _scored(self._keys[held][recent_last], self._scores[held][recent_last])

    def take_new(self) -> np.ndarray:
        """What was stored since the last call, as `SCORED` records; nothing without `journal`."""
        if not self._journal:
            return np.zeros(0, SCORED)
        taken, self._journal = self._journal, []
        return np.concatenate(taken)

    def _store(self, keys: np.ndarray, scores: np.ndarray) -> None:
        sets, time = self._set(keys), self._tick()
        # Keys of one set must be placed one after the other, else two of them would pick the same victim.
        order = np.argsort(sets, kind="stable")
        ranked = sets[order]
        first = np.ones(len(ranked), bool)
        first[1:] = ranked[1:] != ranked[:-1]
        while len(order):
            now = order[first]
            chosen = sets[now]
            rows = self._keys[chosen]
            matches = rows == keys[now, None]
            free = np.where(rows == _EMPTY, np.int64(-1), self._used[chosen])
            way = np.where(matches.any(axis=1), matches.argmax(axis=1), free.argmin(axis=1))
            self._keys[chosen, way] = keys[now]
            self._scores[chosen, way] = scores[now]
            self._used[chosen, way] = time
            order = order[~first]
            ranked = sets[order]
            first = np.ones(len(ranked), bool)
            first[1:] = ranked[1:] != ranked[:-1]

    def save(self, path: Path | str) -> None:
        """Write the entries; the file appears complete, by rename, or not at all.

        Raises:
            UserError: it cannot be written.
        """
        content = io.BytesIO()
        np.savez(
            content,
            format=np.array(_FORMAT),
            scorer=np.array(self.scorer_fingerprint),
            photos=np.array(self.photos_fingerprint),
            scored=self.entries(),
        )
        write_file(Path(path), content.getvalue())

    def restore(self, path: Path | str, photos: np.ndarray | None = None) -> int:
        """Take in the entries of a saved cache, so that a second run starts warm.

        Args:
            photos: numbers of the photos that matter; all if left out.

        Returns:
            how many entries were taken.

        Raises:
            UserError: the file is not such a cache, or belongs to another scorer or other photos.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                form, scorer, theirs = (str(file[name]) for name in ("format", "scorer", "photos"))
                scored_N = file["scored"]
            if form != _FORMAT or scored_N.dtype != SCORED or scored_N.ndim != 1:
                raise ValueError("of another format")
            if not np.isfinite(scored_N["score"]).all():
                raise ValueError("it holds a score that is not a number")
        except FileNotFoundError:
            raise UserError(f"no score cache at {path}") from None
        except _UNREADABLE as error:
            raise UserError(f"{path} is not a readable score cache ({error}); delete it to start a new one") from error
        for what, found, ours in (
            ("another scorer", scorer, self.scorer_fingerprint),
            ("other photos", theirs, self.photos_fingerprint),
        ):
            if found != ours:
                raise UserError(f"{path} holds scores of {what} ({found!r}, not {ours!r}); delete or move it")
        if photos is not None:
            scored_N = scored_N[np.isin(scored_N["photo"], photos)]
        self.add(scored_N)
        return len(scored_N)

    @staticmethod
    def _key(photos_B: np.ndarray, states_B: np.ndarray) -> np.ndarray:
        photos_B, states_B = np.asarray(photos_B).astype(np.uint64), np.asarray(states_B).astype(np.uint64)
        keys_B = (photos_B << np.uint64(32)) | states_B
        if (states_B >> np.uint64(32)).any():
            # Photographic states have 60 bits. Both are mixed into one key (MurmurHash3's finaliser): among a million
            # entries two share a key with a probability of 1 in 37 million.
            mixed_B = states_B ^ (photos_B * _SPREAD)
            for factor in (np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)):
                mixed_B = (mixed_B ^ (mixed_B >> np.uint64(33))) * factor
            mixed_B ^= mixed_B >> np.uint64(33)
            keys_B = np.where(states_B >> np.uint64(32) == 0, keys_B, mixed_B)
        return keys_B

    def _set(self, keys: np.ndarray) -> np.ndarray:
        if self._shift is None:
            return np.zeros(len(keys), np.int64)
        return ((keys * _SPREAD) >> self._shift).astype(np.int64)

    def _tick(self) -> int:
        self._time += 1
        if self._time == 2**32 - 1:  # after 4 billion calls the order of use starts anew
            self._used[:] = 0
            self._time = 1
        return self._time


_UNREADABLE = (
    *(OSError, ValueError, KeyError, EOFError, AttributeError, RuntimeError, SyntaxError),
    *(MemoryError, NotImplementedError, zipfile.BadZipFile, zlib.error),
)
"""What NumPy raises on a file that is damaged, cut off, or something else altogether."""


def _scored(keys: np.ndarray, scores: np.ndarray) -> np.ndarray:
    scored_N = np.empty(len(keys), SCORED)
    scored_N["photo"], scored_N["state"] = keys >> np.uint64(32), keys & np.uint64(0xFFFFFFFF)
    scored_N["score"] = scores
    return scored_N
