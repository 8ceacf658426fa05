"""The Training view: curves while a training is on, the validation filmstrip, and where else to look."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml
from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import HTMLResponse

from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.files.run_files import CONFIG_FILE, FILMSTRIP, METRICS_FILE
from rl_aesthetics.pages import rendering as pages
from rl_aesthetics.photos.resize import fit_within
from rl_aesthetics.photos.write import encode_webp
from rl_aesthetics.reports.filmstrip import edited, read_filmstrip, some
from rl_aesthetics.reports.training_view import read_metrics, training_charts
from rl_aesthetics.studio.library import Library
from rl_aesthetics.studio.site import TheSite

router = APIRouter()

LIVE_SECONDS = 120.0
"""A training whose metrics are older than this is taken for ended or stuck, and the page stops asking."""

PICTURE = 160


def _validation_set(library: Library, folder: Path) -> RLDataset | None:
    """The validation split of the dataset that a training was given, if it is among the datasets found."""
    given = _yaml(folder / CONFIG_FILE).get("dataset")
    if given is None:
        return None
    for name, path in library.found().datasets.items():
        same = path.resolve() == Path(given).resolve() or Path(given).parts[-1:] == path.parts[-1:]
        if same and "val" in library.splits(name):
            return library.dataset(name, "val")
    return None


def _state(library: Library, name: str) -> dict[str, Any]:
    folder = library.found().trainings[name]
    rows = read_metrics(folder / METRICS_FILE)
    age = time.time() - (folder / METRICS_FILE).stat().st_mtime
    moments = read_filmstrip(folder / FILMSTRIP)
    dataset = _validation_set(library, folder) if moments else None
    validated = [row for row in rows if "val_success_rate" in row]
    return {
        "name": name,
        "rows": rows,
        "last": rows[-1] if rows else None,
        "validated": validated[-1] if validated else None,
        "best": max(validated, key=lambda row: (row["val_success_rate"], row["val_exact"]), default=None),
        "age": age,
        "live": age < LIVE_SECONDS and _run(folder).get("status") != "FINISHED",
        "charts": training_charts(rows),
        "moments": some(moments) if dataset else [],
        "all_moments": len(moments),
        "photos": {record.image_id: record for record in dataset.records} if dataset else {},
        "picture": lambda image_id, what: f"/training/picture/{image_id}-{what}.webp?" + urlencode({"run": name}),
    }


@router.get("/training")
def training(request: Request, site: TheSite, run: str = "") -> Response:
    """One training."""
    found = list(site.library.found().trainings)
    if not found:
        return site.page(request, "training.html", found=[], name="")
    name = run or max(found, key=lambda one: (site.library.found().trainings[one] / METRICS_FILE).stat().st_mtime)
    folder = site.library.found().trainings[name]
    links = dict(site.settings.links or {})
    uri = str(_run(folder).get("tracking_uri", ""))
    if uri.startswith(("http://", "https://")):
        links.setdefault("MLflow", uri)
    command = f"mlflow ui --backend-store-uri {uri}" if uri.startswith("sqlite:") and "MLflow" not in links else ""
    return site.page(request, "training.html", found=found, links=links, command=command, **_state(site.library, name))


@router.get("/training/part")
def part(site: TheSite, run: str) -> Response:
    """What changes while a training is on: for the page's script."""
    return HTMLResponse(pages.render("_training.html", **_state(site.library, run)))


@router.get("/training/picture/{image_id}-{what}.webp")
def picture(site: TheSite, run: str, image_id: int, what: str) -> Response:
    """A validation photo: `degraded`, `original`, or after the edits of an epoch."""
    folder = site.library.found().trainings[run]
    dataset = _validation_set(site.library, folder)
    records = dataset.records if dataset else ()
    place = next((k for k, record in enumerate(records) if record.image_id == image_id), None)
    if dataset is None or place is None:
        raise HTTPException(404, "There is no such photo here.")
    if what == "original":
        pixels = dataset.original(place)
    elif what == "degraded":
        pixels = dataset.degraded(place)
    else:
        moments = {str(moment.epoch): moment for moment in read_filmstrip(folder / FILMSTRIP)}
        edits = next((e for k, e, _ in moments[what].photos if k == image_id), None) if what in moments else None
        if edits is None:
            raise HTTPException(404, "There was no validation in that epoch.")
        pixels = edited(dataset, image_id, edits)
    headers = {"cache-control": "private, max-age=3600"}
    return Response(encode_webp(fit_within(pixels, PICTURE)), media_type="image/webp", headers=headers)


def _run(folder: Path) -> dict[str, Any]:
    try:
        run: dict[str, Any] = json.loads((folder / "mlflow_run.json").read_text())
        return run
    except (OSError, ValueError):
        return {}


def _yaml(file: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = yaml.safe_load(file.read_text()) or {}
        return content
    except (OSError, yaml.YAMLError):
        return {}
