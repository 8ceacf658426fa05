"""The trained agent edits a user's photo: decisions at the observation's size, edits on every pixel of the original.

The edits are exact, so the result is written without loss as PNG unless JPEG is asked for. Input files are only read.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from rl_aesthetics import recipe
from rl_aesthetics.agent import DQNAgent
from rl_aesthetics.errors import UserError
from rl_aesthetics.photo_file import encode_photo, read_metadata
from rl_aesthetics.reference import needs_reference
from rl_aesthetics.scoring import Scorer, reduce_image
from rl_aesthetics.sources.photo import SUFFIXES
from rl_aesthetics.transforms.space import EditSpace, View

FORMATS = {"png": ".png", "jpeg": ".jpg", "tiff": ".tif"}
"""How results are written: PNG and TIFF lose nothing and keep 16 bits; JPEG has quality 95 and full colour resolution.
`same` is the photo's own format, PNG where that is only read."""

Stopped = Literal["STOP", "step_limit", "repeats", "recipe"]

WHY: dict[Stopped, str] = {
    "STOP": "the agent chose STOP",
    "step_limit": "the step limit was reached",
    "repeats": "the next edit would have brought back an earlier version of the photo",
    "recipe": "the recipe has no further edit",
}


@dataclass(frozen=True)
class Step:
    """One decision.

    Attributes:
        edit: the action that the agent values most, `STOP` included.
        applied: whether the photo was edited: not by STOP, nor by an edit that would bring back an earlier version.
        values: Q(s, a) of every action: the expected sum of rewards from here on, in units of the score.
        score_before, score_after: the juror's score.
    """

    edit: str
    applied: bool
    values: dict[str, float]
    score_before: float
    score_after: float


@dataclass(frozen=True)
class Enhancement:
    """An edited photo and how it came about.

    Attributes:
        photo_HWC: the result, BGR `(H, W, 3)` of the photo's own depth.
        steps: every decision, in order.
        stopped: why there is no further step, a key of `WHY`.
        cropped: (rows, columns) cut off at the bottom and the right, 0 or 1 each: half shifts need even sides.
            A photo that is left as it is stays whole.
        score_before, score_after: the juror's scores of the photo and of the result; NaN where nobody judged.
        juror: the fingerprint of whose scores these are; empty where nobody judged.
        recipe: the edits, where they were given rather than decided step by step.
    """

    photo_HWC: np.ndarray
    steps: tuple[Step, ...]
    stopped: Stopped
    cropped: tuple[int, int]
    score_before: float
    score_after: float
    juror: str
    recipe: tuple[str, ...] = ()

    @property
    def edits(self) -> tuple[str, ...]:
        """Names of the edits that were applied, in order."""
        return self.recipe or tuple(step.edit for step in self.steps if step.applied)


def enhance_photo(
    agent: DQNAgent, photo_HWC: np.ndarray, scorer: Scorer | None, max_steps: int | None = None
) -> Enhancement:
    """Edit one photo greedily until the agent stops, the step limit, or the first repetition.

    The agent acts on what it sees alone, so from a version of the photo that it has seen before it would go in circles
    until the step limit; it stops instead. The juror is asked for the report only and decides nothing. Decisions are
    made on eight bits; the edits are rendered once, on the photo's own.

    Args:
        photo_HWC: uint8 or uint16 BGR `(H, W, 3)` of any size from 2×2 on.
        scorer: None, or one that compares with originals, which a user's photo has not, leaves the scores unknown.
        max_steps: another step limit than the agent was trained with; STOP counts as a step.

    Raises:
        UserError: the photo is smaller than 2×2, or the limit below 1.
        ScoringError: the scorer could not answer.
    """
    max_steps = agent.description.max_steps if max_steps is None else max_steps
    if max_steps < 1:
        raise UserError(f"editing needs at least 1 step, got {max_steps}")
    height, width = photo_HWC.shape[:2]
    if min(height, width) < 2:
        raise UserError(f"a photo of {width}×{height} pixels is too small to edit")
    space = EditSpace(agent.actions)
    even_HWC = photo_HWC  # only half shifts ask for even sides
    if not space.photographic:
        even_HWC = np.ascontiguousarray(photo_HWC[: height // 2 * 2, : width // 2 * 2])
    if scorer is not None and needs_reference(scorer):
        scorer = None
    shallow_HWC = even_HWC if even_HWC.dtype == np.uint8 else (even_HWC >> 8).astype(np.uint8)
    view = _view(space, shallow_HWC, agent.size, agent.shows_edits)
    same = scorer is None or (scorer.size == agent.size and not agent.shows_edits)
    juror_view = view if same else _view(space, shallow_HWC, scorer.size)

    def score(state: int) -> float:
        if scorer is None:
            return float("nan")
        return float(scorer.score(juror_view(np.zeros(1, int), np.array([state])).transpose(0, 2, 3, 1))[0])

    state, seen, steps = 0, {0}, []
    stopped: Stopped = "step_limit"
    before = first = score(state)
    while len(steps) < max_steps:
        values_A = agent.values(view(np.zeros(1, int), np.array([state])))[0]
        if agent.network.values_include_score and scorer is not None:
            values_A = values_A - before
        values = {name: float(value) for name, value in zip(agent.actions, values_A, strict=True)}
        action = int(values_A.argmax())
        following = int(space.after(state, action))
        if action == space.stop or following in seen:
            stopped = "STOP" if action == space.stop else "repeats"
            steps.append(Step(agent.actions[action], False, values, before, before))
            break
        after = score(following)
        steps.append(Step(agent.actions[action], True, values, before, after))
        state, before = following, after
        seen.add(state)
    edited = any(step.applied for step in steps)
    return Enhancement(
        photo_HWC=space.edit(even_HWC, state) if edited else photo_HWC.copy(),
        steps=tuple(steps),
        stopped=stopped,
        cropped=(height % 2, width % 2) if edited and not space.photographic else (0, 0),
        score_before=first,
        score_after=before,
        juror="" if scorer is None else scorer.fingerprint,
    )


def _view(space: EditSpace, photo_HWC: np.ndarray, size: int, shows_edits: bool = False) -> View:
    reduction_1CHW = np.ascontiguousarray(reduce_image(photo_HWC, size)[..., ::-1].transpose(2, 0, 1))[None]
    return View(space, reduction_1CHW, lambda number: photo_HWC, shows_edits=shows_edits)


def plan_outputs(
    photos: Sequence[Path], output_dir: Path, file_format: str = "png", overwrite: bool = False
) -> list[tuple[Path, Path, Path]]:
    """(photo, result, record) files of each photo: `NAME.png` and `NAME.json` in `output_dir`.

    A folder stands for all photos in it and below; their results keep their places under it.

    Raises:
        UserError: two photos would get the same result, a result would replace a photo given, or one is there already
            and `overwrite` is not set.
    """
    plan: list[tuple[Path, Path, Path]] = []
    given = {photo.resolve(): photo for photo, _ in _places(photos)}
    taken: dict[Path, Path] = {}
    for photo, place in _places(photos):
        suffix = FORMATS.get(file_format) or _OWN.get(photo.suffix.lower(), ".png")
        result, record = output_dir / f"{place}{suffix}", output_dir / f"{place}.json"
        if other := taken.get(record):  # which photos of one name share, whatever their suffixes
            raise UserError(
                f"{other} and {photo} would both become {output_dir / place}; edit them into different folders"
            )
        taken[record] = photo
        for file in (result, record):
            if file.resolve() in given or any(_same(file, one) for one in given.values()):
                raise UserError(f"{file} is one of the photos; choose another --output-dir, photos are never replaced")
            if file.exists() and not overwrite:
                raise UserError(f"{file} is there already; pass --overwrite to replace it, or choose another folder")
        plan.append((photo, result, record))
    return plan


_OWN = {suffix: suffix for suffix in (".jpg", ".jpeg", ".tif", ".tiff")} | {".jpe": ".jpg"}


def _places(photos: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Each photo with the place of its results, without suffix."""
    places: list[tuple[Path, Path]] = []
    for photo in photos:
        if not photo.is_dir():
            places.append((photo, Path(photo.stem)))
            continue
        found = sorted(path for path in photo.rglob("*") if path.is_file() and path.suffix.lower() in SUFFIXES)
        if not found:
            raise UserError(f"{photo} holds no photo")
        places += [(path, path.relative_to(photo).with_suffix("")) for path in found]
    return places


def _same(file: Path, other: Path) -> bool:
    """Whether two paths are one file, by hard link or otherwise."""
    return file.exists() and other.exists() and os.path.samefile(file, other)


def write_enhancement(
    enhancement: Enhancement, photo: Path, result: Path, record: Path, agent_file: Path | str, agent_juror: str = ""
) -> None:
    """Write the edited photo and the JSON of how it came about, each by rename, the JSON last.

    The photo's EXIF block and colour profile go along; without the latter other colours would be shown.

    Raises:
        UserError: the folder cannot be written.
    """
    description = {
        "photo": str(photo),
        "result": str(result),
        **recipe.describe(enhancement.edits),
        "score_before": _known(enhancement.score_before),
        "score_after": _known(enhancement.score_after),
        "stopped": enhancement.stopped,
        "why": WHY[enhancement.stopped],
        "cropped": dict(zip(("rows", "columns"), enhancement.cropped, strict=True)),
        "width": enhancement.photo_HWC.shape[1],
        "height": enhancement.photo_HWC.shape[0],
        "agent_file": str(agent_file),
        "juror": enhancement.juror,
        "agent_juror": agent_juror,
        "steps": [
            {
                **asdict(step),
                "score_before": _known(step.score_before),
                "score_after": _known(step.score_after),
                "values": {name: round(value, 6) for name, value in step.values.items()},
            }
            for step in enhancement.steps
        ],
    }
    exif, profile = read_metadata(photo)
    write_file(result, encode_photo(enhancement.photo_HWC, result.suffix, exif, profile))
    write_file(record, (json.dumps(description, indent=2, allow_nan=False) + "\n").encode())


def _known(score: float) -> float | None:
    return None if math.isnan(score) else score


def write_file(file: Path, content: bytes) -> None:
    """Write a file beside and then by rename.

    Raises:
        UserError: its folder cannot be written.
    """
    beside = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    try:
        beside.write_bytes(content)
        os.replace(beside, file)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise UserError(f"cannot write {file}: {error.strerror}") from error
