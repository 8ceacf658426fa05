"""The Dataset view: every photo of a dataset as a grid that scrolls, and a page for each."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import HTMLResponse

from rl_aesthetics.datasets.annotations import Record
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.files.atomic import write_file
from rl_aesthetics.pages import rendering as pages
from rl_aesthetics.photos.resize import fit_within
from rl_aesthetics.photos.write import encode_webp
from rl_aesthetics.studio.library import Library
from rl_aesthetics.studio.site import TheSite

PAGE = 120
THUMBNAIL = 160
router = APIRouter()

SORTS = ("id", "score_up", "score_down", "loss_down", "loss_up")


@dataclass(frozen=True)
class Placed:
    """A photo and where it is in the dataset."""

    split: str
    place: int
    record: Record

    @property
    def loss(self) -> float:
        """What the degradation cost in score."""
        return self.record.initial_score - self.record.score


@dataclass(frozen=True)
class Query:
    """What to show: all conditions must hold; empty ones hold for all."""

    split: str = ""
    edit: str = ""
    source: str = ""
    least: float = -math.inf
    most: float = math.inf
    sort: str = "id"

    def run(self, library: Library, name: str) -> list[Placed]:
        """The photos of a dataset that fit, in order."""
        found = [
            Placed(split, place, record)
            for split in library.splits(name)
            if self.split in ("", split)
            for place, record in enumerate(library.dataset(name, split).records)
            if (not self.edit or self.edit in record.sequence)
            and (not self.source or self.source.lower() in record.source_file.lower())
            and self.least <= record.score <= self.most
        ]
        keys = {
            "score_up": lambda one: one.record.score,
            "score_down": lambda one: -one.record.score,
            "loss_up": lambda one: one.loss,
            "loss_down": lambda one: -one.loss,
        }
        return sorted(found, key=keys.get(self.sort, lambda one: one.record.image_id))


def thumbnail(folder: Path, dataset: RLDataset, place: int) -> bytes:
    """A degraded photo, small, as WebP; made once and kept on disk.

    Args:
        folder: that keeps thumbnails, by the dataset's fingerprint.

    Raises:
        UserError: the photo is gone.
    """
    kept = folder / dataset.fingerprint / f"{dataset.records[place].image_id}.webp"
    try:
        return kept.read_bytes()
    except FileNotFoundError:
        content = encode_webp(fit_within(dataset.degraded(place), THUMBNAIL))
    kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_file(kept, content)
    return content


def _listed(request: Request, library: Library, name: str, page: int) -> dict[str, Any]:
    given = request.query_params
    query = Query(
        given.get("split", ""),
        given.get("edit", ""),
        given.get("source", ""),
        _number(given.get("least", ""), -math.inf),
        _number(given.get("most", ""), math.inf),
        given.get("sort", "id"),
    )
    photos = query.run(library, name)
    count = max(1, -(-len(photos) // PAGE))
    page = max(1, min(page, count))
    kept = {key: given[key] for key in ("split", "edit", "source", "least", "most", "sort") if given.get(key)}
    return {
        "name": name,
        "query": query,
        "given": kept,
        "total": len(photos),
        "shown": photos[(page - 1) * PAGE : page * PAGE],
        "page_number": page,
        "pages": count,
        "page_link": lambda number: urlencode({"name": name, **kept, "page": number}),
        "fingerprints": {split: library.dataset(name, split).fingerprint for split in library.splits(name)},
    }


@router.get("/dataset")
def dataset(request: Request, site: TheSite, name: str = "", page: int = 1) -> Response:
    """A page of the grid, with everything to filter it by."""
    found = list(site.library.found().datasets)
    if not found:
        return site.page(request, "dataset.html", found=[], name="")
    name = name or found[0]
    splits = {split: site.library.dataset(name, split) for split in site.library.splits(name)}
    edits = sorted({edit for one in splits.values() for record in one.records for edit in record.sequence})
    counts = {split: len(one) for split, one in splits.items()}
    listed = _listed(request, site.library, name, page)
    return site.page(request, "dataset.html", found=found, counts=counts, edits=edits, sorts=SORTS, **listed)


@router.get("/dataset/part")
def part(request: Request, site: TheSite, name: str, page: int = 1) -> Response:
    """A page of the grid without the page around it: for the script that goes on scrolling."""
    return HTMLResponse(pages.render("_grid.html", **_listed(request, site.library, name, page)))


@router.get("/dataset/thumbnail/{fingerprint}/{split}/{place}.webp")
def small(site: TheSite, name: str, fingerprint: str, split: str, place: int) -> Response:
    """A degraded photo, small. `fingerprint` makes the address change with the dataset."""
    one = site.library.dataset(name, split)
    if not 0 <= place < len(one):
        raise HTTPException(404, "The dataset has no such photo.")
    headers = {"cache-control": "private, max-age=31536000, immutable"}
    return Response(thumbnail(site.thumbnails, one, place), media_type="image/webp", headers=headers)


@router.get("/dataset/photo/{split}/{image_id}")
def photo(request: Request, site: TheSite, name: str, split: str, image_id: int) -> Response:
    """Everything about one photo."""
    one = site.library.dataset(name, split)
    place = _place(one, image_id)
    record = one.records[place]
    return site.page(
        request,
        "photo.html",
        name=name,
        split=split,
        record=record,
        annotations=asdict(record),
        juror=one.juror,
        fingerprint=one.fingerprint,
        earlier=one.records[place - 1].image_id if place else None,
        later=one.records[place + 1].image_id if place + 1 < len(one) else None,
        link=lambda number: f"/dataset/photo/{split}/{number}?" + urlencode({"name": name}),
    )


@router.get("/dataset/picture/{fingerprint}/{split}/{image_id}-{kind}.webp")
def picture(
    site: TheSite, name: str, fingerprint: str, split: str, image_id: int, kind: Literal["degraded", "original"]
) -> Response:
    """A photo at the dataset's size."""
    one = site.library.dataset(name, split)
    place = _place(one, image_id)
    pixels = one.degraded(place) if kind == "degraded" else one.original(place)
    headers = {"cache-control": "private, max-age=86400"}
    return Response(encode_webp(pixels), media_type="image/webp", headers=headers)


def _place(dataset: RLDataset, image_id: int) -> int:
    for place, record in enumerate(dataset.records):
        if record.image_id == image_id:
            return place
    raise HTTPException(404, f"There is no photo {image_id} in “{dataset.split}”.")


def _number(text: str, otherwise: float) -> float:
    try:
        return float(text)
    except ValueError:
        return otherwise
