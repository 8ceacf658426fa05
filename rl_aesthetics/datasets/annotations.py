"""A split's annotations: COCO JSON, one record a photo."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rl_aesthetics.edits.transforms import get_transform
from rl_aesthetics.errors import UserError

FORMAT_VERSION = "1"
SPLITS = ("train", "val", "test")
ANNOTATIONS = "annotations.json"


@dataclass(frozen=True)
class Record:
    """One degraded photo.

    Attributes:
        image_id: unique over all splits, from 1.
        image_file: the degraded photo, relative to the split's folder.
        original_file: the original, relative to the split's folder; None where it follows from undoing the degradation.
        transformation: the degradation in one label, names joined by `+`.
        sequence: canonical names of the edits, in the order in which they were applied.
        score: the juror's score of the degraded photo.
        initial_score: the juror's score of the original, before it was degraded.
        source_file: where the original came from, relative to its source.
        width, height: in pixels, of both.
        strengths: how strong each edit of the sequence was, where that is not part of the edit: EV or log2 of a factor.
        seed: what the degradation was drawn with.
        copy: which of its photo's degraded copies this is.
    """

    image_id: int
    image_file: str
    original_file: str | None
    transformation: str
    sequence: tuple[str, ...]
    score: float
    initial_score: float
    source_file: str
    width: int
    height: int
    seed: int = 0
    copy: int = 0
    strengths: tuple[float, ...] = ()


def write_annotations(folder: Path, records: Sequence[Record], categories: Sequence[str], info: dict) -> None:
    """Write one split's COCO `annotations.json`; the same arguments give the same bytes.

    Args:
        folder: the split's folder.
        categories: every transformation label of the whole dataset; ids count from 1 in this order.
        info: goes into COCO's `info`; must hold the `juror` fingerprint.
    """
    category_ids = {label: number for number, label in enumerate(categories, 1)}
    document = {
        "info": {"description": "photos degraded by known edits", "version": FORMAT_VERSION, **info},
        "licenses": [],
        "categories": [
            {"id": number, "name": label, "supercategory": "transformation"} for label, number in category_ids.items()
        ],
        "images": [
            {"id": r.image_id, "file_name": Path(r.image_file).name, "width": r.width, "height": r.height}
            for r in records
        ],
        "annotations": [
            {
                "id": r.image_id,
                "image_id": r.image_id,
                "category_id": category_ids[r.transformation],
                "bbox": [0, 0, r.width, r.height],
                "area": r.width * r.height,
                "iscrowd": 0,
                "score": r.score,
                "initial_score": r.initial_score,
                "transformation": r.transformation,
                "sequence": list(r.sequence),
                "source_file": r.source_file,
                "seed": r.seed,
                "copy": r.copy,
                "juror": info["juror"],
                **({"original_file": r.original_file} if r.original_file else {}),
                **({"strengths": list(r.strengths)} if r.strengths else {}),
            }
            for r in records
        ],
    }
    text = json.dumps(document, indent=1, ensure_ascii=True, allow_nan=False)
    (folder / ANNOTATIONS).write_text(text + "\n", encoding="utf-8")


def _read_annotations(root: Path, split: str) -> bytes:
    if not root.is_dir():
        raise UserError(f"no dataset at {root}: no such folder; make one with `rl-aesthetics generate --output {root}`")
    path = root / split / ANNOTATIONS
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        there = [name for name in SPLITS if (root / name / ANNOTATIONS).is_file()]
        if there:
            raise UserError(f"{root} has no split {split!r}; it has {', '.join(there)}") from error
        raise UserError(
            f"{root} holds no dataset ({split}/{ANNOTATIONS} is missing); see `rl-aesthetics generate`"
        ) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


def _parse_records(document: dict) -> Iterable[Record]:
    annotations = {annotation["image_id"]: annotation for annotation in document["annotations"]}
    if len(annotations) != len(document["annotations"]):
        raise ValueError("an image has several annotations")
    for image in sorted(document["images"], key=lambda image: image["id"]):
        annotation = annotations[image["id"]]
        yield Record(
            image_id=image["id"],
            image_file=f"images/{image['file_name']}",
            original_file=annotation.get("original_file"),
            transformation=annotation["transformation"],
            sequence=tuple(get_transform(name).name for name in annotation["sequence"]),
            score=float(annotation["score"]),
            initial_score=float(annotation["initial_score"]),
            source_file=annotation["source_file"],
            width=int(image["width"]),
            height=int(image["height"]),
            seed=int(annotation["seed"]),
            copy=int(annotation["copy"]),
            strengths=tuple(float(strength) for strength in annotation.get("strengths", ())),
        )


def _said(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
