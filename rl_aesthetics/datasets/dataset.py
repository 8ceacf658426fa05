"""A degraded dataset on disk, and the view of it that training and evaluation have.

    ROOT/{train,val,test}/annotations.json    COCO: images, one annotation each, one category a transformation
    ROOT/{train,val,test}/images/*.png        the degraded photos, lossless
    ROOT/{train,val,test}/originals/*.png     the originals of those whose degradation cannot be undone
    ROOT/skipped.json                         files that were not used, with reasons

`file_name` in the annotations is relative to `images/`, as `CocoDetection` and `pycocotools` users expect.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from rl_aesthetics.datasets.annotations import (
    ANNOTATIONS,
    FORMAT_VERSION,
    Record,
    _parse_records,
    _read_annotations,
    _said,
)
from rl_aesthetics.datasets.degrade import degrade, edit_state, is_reversible, restore
from rl_aesthetics.edits.transforms import get_transform
from rl_aesthetics.errors import UserError
from rl_aesthetics.photos.resize import reduce_image


class RLDataset:
    """The photos of one split: degraded pixels, the original's score and what was done.

    Pixels are read when asked for; what is pickled is the path, so a dataset is cheap to ship to a rollout worker that
    shares the file system.

    Attributes:
        root: the dataset's folder; None for one made `from_arrays`.
        split: `train`, `val` or `test`.
        records: one `Record` a photo, in the order of the image ids.
        juror: fingerprint of the juror whose scores the records hold.
        fingerprint: hash of the annotations; two datasets with the same one hold the same records.
        info: COCO's `info` as it stands in the file.
    """

    def __init__(self, root: str | Path, split: str = "train"):
        """Open a split and check that it is whole; no pixels are decoded.

        Raises:
            UserError: the folder or split is missing, holds no photo, is of another format version, or its annotations
                are broken or name a file that is not there.
        """
        self.root: Path | None = Path(root)
        self.split = split
        self._degraded: list[np.ndarray] | None = None
        self._originals: list[np.ndarray] | None = None
        self._thumbnails: dict[tuple[int, str], np.ndarray] = {}
        text = _read_annotations(self.root, split)
        path = self.folder / ANNOTATIONS
        self.fingerprint = hashlib.sha256(text).hexdigest()[:16]
        try:
            document = json.loads(text)
            self.info: dict = document["info"]
            version = self.info["version"]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is broken ({_said(error)}); generate the dataset again") from error
        if version != FORMAT_VERSION:
            raise UserError(
                f"{path} is of dataset format {version!r}, this program reads {FORMAT_VERSION!r}; generate it again"
            )
        try:
            self.juror: str = self.info["juror"]
            self.records: tuple[Record, ...] = tuple(_parse_records(document))
        except (ValueError, KeyError, TypeError, AttributeError, UserError) as error:
            raise UserError(f"{path} is broken ({_said(error)}); generate the dataset again") from error
        if not self.records:
            raise UserError(f"{path} holds no photo; generate the dataset again, or choose another split")
        self._check_files()

    @classmethod
    def from_arrays(
        cls,
        originals: Sequence[np.ndarray],
        sequences: Sequence[Sequence[str]],
        initial_scores: Sequence[float] | None = None,
        split: str = "train",
        strengths: Sequence[Sequence[float]] | None = None,
    ) -> RLDataset:
        """Make a dataset in memory, for tests and notebooks.

        Args:
            originals: uint8 `(H, W, 3)` BGR photos with even sides.
            sequences: the edits to degrade each photo with; names or aliases.
            initial_scores: scores of the originals; NaN (not known) if left out.
            strengths: of each photo's edits, for `tonal_degradation`; edits as the registry has them if left out.

        Raises:
            UserError: an unknown edit.
            ValueError: lengths differ, or pixels are not uint8 `(H, W, 3)` with even sides.
        """
        initial_scores = [math.nan] * len(originals) if initial_scores is None else initial_scores
        dataset = cls.__new__(cls)
        dataset.root, dataset.split, dataset.info, dataset.juror = None, split, {}, ""
        dataset._originals, dataset._degraded, dataset._thumbnails = [], [], {}
        records, digest = [], hashlib.sha256()
        for number, (photo, names, score) in enumerate(zip(originals, sequences, initial_scores, strict=True), 1):
            if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or any(s % 2 for s in photo.shape[:2]):
                raise ValueError(
                    f"photo {number} must be uint8 (H, W, 3) with even sides, got {photo.dtype} {photo.shape}"
                )
            sequence = tuple(get_transform(name).name for name in names)
            dataset._originals.append(photo)
            sizes = tuple(strengths[number - 1]) if strengths is not None else ()
            dataset._degraded.append(degrade(photo, sequence, sizes))
            height, width = photo.shape[:2]
            name = f"{number:06d}.png"
            records.append(
                Record(
                    number,
                    f"images/{name}",
                    None if is_reversible(sequence) else f"originals/{name}",
                    "+".join(sequence),
                    sequence,
                    math.nan,
                    float(score),
                    f"memory/{number}",
                    width,
                    height,
                    strengths=sizes,
                )
            )
            digest.update(repr((sequence, photo.shape, score)).encode() + np.ascontiguousarray(photo).tobytes())
        dataset.records = tuple(records)
        dataset.fingerprint = digest.hexdigest()[:16]
        return dataset

    @property
    def folder(self) -> Path:
        """The split's folder."""
        if self.root is None:
            raise ValueError("a dataset in memory has no folder")
        return self.root / self.split

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> tuple[np.ndarray, float, str]:
        """The guide's triple: the degraded photo (uint8 `(H, W, 3)` BGR), the original's score, the transformation."""
        record = self.records[index]
        return self.degraded(index), record.initial_score, record.transformation

    def degraded(self, index: int) -> np.ndarray:
        """The degraded photo, uint8 `(H, W, 3)` BGR.

        Raises:
            UserError: its file is gone, broken, or not of the annotated size.
        """
        if self._degraded is not None:
            return self._degraded[index].copy()
        return self._read(self.records[index].image_file, self.records[index])

    def original(self, index: int) -> np.ndarray:
        """The photo before it was degraded, uint8 `(H, W, 3)` BGR: exact, by undoing the degradation or from its file.

        Raises:
            UserError: as `degraded`.
        """
        if self._originals is not None:
            return self._originals[index].copy()
        record = self.records[index]
        if record.original_file is not None:
            return self._read(record.original_file, record)
        return restore(self.degraded(index), record.sequence)

    @property
    def is_reversible(self) -> bool:
        """Whether every degradation can be undone exactly."""
        return all(is_reversible(record.sequence) for record in self.records)

    def start_states(self) -> np.ndarray:
        """The canonical edit state (`transforms.algebra`) in which each photo starts an episode: int64 `(N,)`.

        Raises:
            ValueError: a degradation is not reversible, so that it has no edit state.
        """
        return np.array([edit_state(record.sequence) for record in self.records], np.int64)

    def thumbnails(self, size: int, kind: str = "original") -> np.ndarray:
        """All photos reduced to squares: uint8 `(N, 3, size, size)` RGB, read-only, kept in memory once made.

        Args:
            kind: `original` or `degraded`.

        Raises:
            UserError: a file is gone or broken.
        """
        read = {"original": self.original, "degraded": self.degraded}[kind]
        if (size, kind) not in self._thumbnails:
            thumbnails = np.empty((len(self), 3, size, size), np.uint8)

            def fill(index: int) -> None:
                thumbnails[index] = reduce_image(read(index), size)[..., ::-1].transpose(2, 0, 1)

            # Decoding leaves the interpreter lock alone, so a few threads are worth it; more only fill memory.
            with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
                for _ in pool.map(fill, range(len(self))):
                    pass
            thumbnails.setflags(write=False)
            self._thumbnails[size, kind] = thumbnails
        return self._thumbnails[size, kind]

    def __reduce__(self):
        """A dataset on disk is shipped as its path and opened again; one in memory with its pixels."""
        if self.root is not None:
            return RLDataset, (self.root, self.split)
        return object.__new__, (RLDataset,), {**self.__dict__, "_thumbnails": {}}

    def _read(self, file: str, record: Record) -> np.ndarray:
        path = self.folder / file
        image = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
        if image is None:
            raise UserError(f"{path} is {'broken' if path.exists() else 'missing'}; generate the dataset again")
        if image.shape != (record.height, record.width, 3):
            raise UserError(
                f"{path} is {image.shape[1]}×{image.shape[0]}, its annotation says {record.width}×{record.height}"
            )
        return image

    def _check_files(self) -> None:
        present: dict[Path, set[str]] = {}
        for record in self.records:
            for file in filter(None, (record.image_file, record.original_file)):
                path = self.folder / file
                if path.parent not in present:
                    present[path.parent] = set(os.listdir(path.parent)) if path.parent.is_dir() else set()
                if path.name not in present[path.parent]:
                    raise UserError(f"{path} is missing, but {ANNOTATIONS} lists it; generate the dataset again")
