"""Writing a dataset from degraded photos that arrive in any order: the same photos give the same bytes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rl_aesthetics.datasets.annotations import SPLITS, Record, write_annotations
from rl_aesthetics.datasets.splits import assign_splits
from rl_aesthetics.edits.transforms import TRANSFORMS
from rl_aesthetics.errors import UserError
from rl_aesthetics.photos.sources.source import PhotoSource, Skipped

SKIPPED = "skipped.json"

SCORE_DIGITS = 6
"""Scores are rounded to this many decimals: the last bits of a float32 depend on the processor."""


@dataclass(frozen=True)
class DegradedPhoto:
    """One degraded copy of a photo.

    Attributes:
        index: of the photo in its source.
        copy: which of the photo's copies, from 0.
        sequence: canonical names of the edits.
        seed: what the degradation was drawn with.
        width, height: in pixels.
        digest: of the original's pixels, to tell two files with the same photo.
        score, initial_score: the juror's, of the degraded photo and of the original.
        degraded: the degraded photo as PNG.
        original: the original as PNG where it does not follow from undoing the degradation, else empty.
        strengths: of each edit, where a degradation model drew them.
    """

    index: int
    copy: int
    sequence: tuple[str, ...]
    seed: int
    width: int
    height: int
    digest: str
    score: float
    initial_score: float
    degraded: bytes
    original: bytes
    strengths: tuple[float, ...] = ()


@dataclass(frozen=True)
class Written:
    """What was written: source photos and images by split, files not used, and the mean scores."""

    photos: dict[str, int]
    images: dict[str, int]
    skipped: tuple[Skipped, ...]
    mean_score: float
    mean_initial_score: float


class DatasetWriter:
    """Collects degraded photos in a folder, then gives them splits, ids and annotations.

    Nothing that it leaves loads as a dataset before `finish`.
    """

    def __init__(self, folder: Path, source: PhotoSource):
        self.folder, self.source = folder, source
        self._pool = folder / "pool"
        self._pool.mkdir()
        self._photos: dict[tuple[int, int], DegradedPhoto] = {}
        self._skipped: dict[int, str] = {}
        self._seen: set[int] = set()

    @property
    def seen(self) -> int:
        """Photos of the source that have arrived, used or not."""
        return len(self._seen)

    def skip(self, index: int, reason: str) -> None:
        """Note that a photo of the source cannot be used."""
        self._skipped[index] = reason
        self._seen.add(index)

    def add(self, photo: DegradedPhoto) -> None:
        """Write one degraded photo's pixels.

        Raises:
            OSError: they cannot be written.
        """
        (self._pool / self._name(photo)).write_bytes(photo.degraded)
        if photo.original:
            (self._pool / f"original-{self._name(photo)}").write_bytes(photo.original)
        self._seen.add(photo.index)
        # The pixels are on disk: keeping them here too would fill the memory.
        self._photos[photo.index, photo.copy] = replace(photo, degraded=b"", original=photo.original[:1])

    def finish(self, ratios: Sequence[float], seed: int, info: dict[str, Any]) -> Written:
        """Divide the photos into splits and write the annotations.

        Args:
            ratios: shares of train, val and test.
            seed: decides who goes where.
            info: goes into every `annotations.json`; must hold the `juror` fingerprint.

        Raises:
            UserError: no photo was usable, or too few for the splits.
            OSError: something cannot be written.
        """
        self._skip_repetitions()
        photos = [self._photos[key] for key in sorted(self._photos)]
        skipped = self._all_skipped()
        if not photos:
            raise UserError(f"no photo of {self.source.name} can be used: {_summary(skipped)}")
        group_of = {photo.index: self.source.photos[photo.index].group for photo in photos}
        split_of = assign_splits(group_of.values(), ratios, seed)
        records: dict[str, list[Record]] = {split: [] for split in SPLITS}
        for number, photo in enumerate(photos, 1):
            split = split_of[group_of[photo.index]]
            records[split].append(self._place(photo, number, split))
        order = list(TRANSFORMS)
        categories = sorted(
            {record.transformation: record.sequence for each in records.values() for record in each}.items(),
            key=lambda item: (len(item[1]), [order.index(name) for name in item[1]]),
        )
        info = {**info, "skipped_files": len(skipped)}
        for split, each in records.items():
            if each:
                labels = [label for label, _ in categories]
                write_annotations(self.folder / split, each, labels, {**info, "split": split})
        text = json.dumps([asdict(file) for file in skipped], indent=1)
        (self.folder / SKIPPED).write_text(text + "\n", encoding="utf-8")
        for leftover in self._pool.iterdir():
            leftover.unlink()
        self._pool.rmdir()
        return Written(
            photos={split: sum(value == split for value in split_of.values()) for split in SPLITS},
            images={split: len(each) for split, each in records.items()},
            skipped=skipped,
            mean_score=float(np.mean([photo.score for photo in photos])),
            mean_initial_score=float(np.mean([photo.initial_score for photo in photos])),
        )

    def _skip_repetitions(self) -> None:
        # The same photo under two names would otherwise be trained on and tested with.
        first: dict[str, int] = {}
        for index, copy in sorted(self._photos):
            seen_at = first.setdefault(self._photos[index, copy].digest, index)
            if seen_at != index:
                self._skipped[index] = f"the same pixels as {self.source.photos[seen_at].name}"
                del self._photos[index, copy]

    def _all_skipped(self) -> tuple[Skipped, ...]:
        found = [Skipped(self.source.photos[index].name, reason) for index, reason in self._skipped.items()]
        return tuple(sorted([*self.source.skipped, *found], key=lambda file: file.file))

    def _place(self, photo: DegradedPhoto, number: int, split: str) -> Record:
        name = f"{number:06d}.png"
        moves = {f"images/{name}": self._name(photo)}
        if photo.original:
            moves[f"originals/{name}"] = f"original-{self._name(photo)}"
        for target, written in moves.items():
            path = self.folder / split / target
            path.parent.mkdir(parents=True, exist_ok=True)
            (self._pool / written).rename(path)
        return Record(
            image_id=number,
            image_file=f"images/{name}",
            original_file=f"originals/{name}" if photo.original else None,
            transformation="+".join(photo.sequence),
            sequence=photo.sequence,
            score=round(photo.score, SCORE_DIGITS),
            initial_score=round(photo.initial_score, SCORE_DIGITS),
            source_file=self.source.photos[photo.index].name,
            width=photo.width,
            height=photo.height,
            seed=photo.seed,
            copy=photo.copy,
            strengths=photo.strengths,
        )

    @staticmethod
    def _name(photo: DegradedPhoto) -> str:
        return f"{photo.index:06d}-{photo.copy:03d}.png"


def _summary(skipped: Sequence[Skipped]) -> str:
    reasons = Counter(file.reason for file in skipped).most_common(3)
    return "; ".join(f"{count} × {reason}" for reason, count in reasons)
