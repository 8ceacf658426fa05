"""The files of a photo's edit: what they are called, and how they are written."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rl_aesthetics.agents.edit_session import WHY, Step, Stopped
from rl_aesthetics.edits import recipe
from rl_aesthetics.enhance.enhance import Enhancement
from rl_aesthetics.errors import UserError
from rl_aesthetics.files.atomic import write_file
from rl_aesthetics.photos.formats import SUFFIXES
from rl_aesthetics.photos.metadata import read_exif, read_header
from rl_aesthetics.photos.write import encode_photo

FORMATS = {"png": ".png", "jpeg": ".jpg", "tiff": ".tif"}
"""How results are written: PNG and TIFF lose nothing and keep 16 bits; JPEG has quality 95 and full colour resolution.
`same` is the photo's own format, PNG where that is only read."""


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
        **describe_session(
            enhancement.edits,
            enhancement.steps,
            (enhancement.score_before, enhancement.score_after),
            enhancement.stopped,
            juror=enhancement.juror,
            agent_juror=agent_juror,
        ),
        "cropped": dict(zip(("rows", "columns"), enhancement.cropped, strict=True)),
        "width": enhancement.photo_HWC.shape[1],
        "height": enhancement.photo_HWC.shape[0],
        "agent_file": str(agent_file),
    }
    exif, profile = read_exif(photo).block, read_header(photo).icc_profile
    write_file(result, encode_photo(enhancement.photo_HWC, result.suffix, exif, profile))
    write_file(record, (json.dumps(description, indent=2, allow_nan=False) + "\n").encode())


def describe_session(
    edits: Sequence[str],
    steps: Sequence[Step],
    scores: tuple[float | None, float | None],
    stopped: Stopped | None,
    why: str = "",
    juror: str = "",
    agent_juror: str = "",
) -> dict[str, Any]:
    """A recipe (`recipe.describe`), and how it came about, for JSON: what `enhance` records and the studio gives out.

    Args:
        scores: the juror's, before and after.
        stopped: None where it may go on.
        why: it stopped, in other words than those of `WHY`.
        juror: the fingerprint of whose scores these are; empty where nobody judged.
        agent_juror: the one of whose scores the agent was trained on.
    """
    before, after = scores
    return {
        **recipe.describe(edits),
        "score_before": before,
        "score_after": after,
        "stopped": stopped,
        "why": why or (WHY[stopped] if stopped else ""),
        "juror": juror,
        "agent_juror": agent_juror,
        "steps": [
            {
                "edit": step.action,
                "by": step.by,
                "applied": step.applied,
                "values": {name: round(value, 6) for name, value in step.values.items()},
                "score_before": step.score_before,
                "score_after": step.score,
            }
            for step in steps
        ],
    }
