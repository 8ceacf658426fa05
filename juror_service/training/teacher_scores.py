"""Scores of a slow teacher, each had once: a file beside the student that grows as they come."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from juror_service.batching.caching_batcher import pixel_key
from rl_aesthetics.errors import UserError
from rl_aesthetics.scores.scorer import Scorer


class TeacherScores:
    """A `Scorer` that asks another one only what it was never asked before, in this run or an earlier one.

    The file has a line for each image, the hash of its pixels and the score, after a line that names the teacher. Lines
    are written as soon as the teacher has answered, so a run that is cut off at any moment loses nothing that was had
    before; half a line at the end is dropped. Another teacher, or other weights of it, has another file.

    Attributes:
        path: the file.
        asked: how many images the teacher was asked for, in this run.
    """

    def __init__(self, teacher: Scorer, folder: Path):
        """Read what is known.

        Raises:
            UserError: the file is there and is not one of this teacher's.
        """
        self.teacher, self.size, self.fingerprint, self.asked = teacher, teacher.size, teacher.fingerprint, 0
        self.path = folder / f"teacher-{re.sub(r'[^A-Za-z0-9._]+', '-', teacher.fingerprint)}.jsonl"
        self._known = self._read()

    def __len__(self) -> int:
        return len(self._known)

    def score(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Scores float32 `(B,)`; arguments and errors are the teacher's.

        Raises:
            UserError: the file cannot be written.
        """
        keys = [pixel_key(image).hex() for image in images]
        new = {key: image for key, image in zip(keys, images, strict=True) if key not in self._known}
        if new:
            scores = dict(zip(new, self.teacher.score(list(new.values())).tolist(), strict=True))
            self._append(scores)
            self._known.update(scores)
            self.asked += len(new)
        return np.array([self._known[key] for key in keys], np.float32)

    def _read(self) -> dict[str, float]:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise UserError(f"cannot read {self.path}: {error.strerror}") from error
        whole = content[: content.rfind(b"\n") + 1]
        try:
            lines = [json.loads(line) for line in whole.splitlines()]
            if lines and lines[0] != {"teacher": self.fingerprint}:
                raise ValueError
            known = {line["pixels"]: float(line["score"]) for line in lines[1:]}
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self.path} does not hold scores of {self.fingerprint}: delete or move it, and they will be had again"
            ) from error
        if len(whole) < len(content):
            with open(self.path, "r+b") as file:
                file.truncate(len(whole))
        return known

    def _append(self, scores: dict[str, float]) -> None:
        lines = [{"pixels": key, "score": score} for key, score in scores.items()]
        try:
            with open(self.path, "a") as file:
                if file.tell() == 0:
                    lines.insert(0, {"teacher": self.fingerprint})
                file.write("".join(json.dumps(line) + "\n" for line in lines))
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}") from error
