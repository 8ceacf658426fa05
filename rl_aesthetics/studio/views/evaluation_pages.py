"""The Evaluation view: episodes of an evaluation, filtered and sorted; its charts; two agents side by side."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request, Response

from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.edits import recipe
from rl_aesthetics.errors import UserError
from rl_aesthetics.evaluation.trajectories import Trajectory, read_trajectories, select
from rl_aesthetics.files.run_files import SUMMARY, TRAJECTORIES
from rl_aesthetics.photos.resize import fit_within
from rl_aesthetics.photos.write import encode_webp
from rl_aesthetics.reports.report_page import evaluation_context
from rl_aesthetics.studio.library import Library
from rl_aesthetics.studio.site import TheSite

router = APIRouter()

PAGE = 24
PICTURE = 240


@dataclass(frozen=True)
class Evaluated:
    """One evaluation as it lies in its folder.

    Attributes:
        name: in the library.
        summary: the content of `summary.json`.
        trajectories: the episodes in the order of the split.
        context: what the templates need of it.
        version: changes when it is written again.
    """

    name: str
    summary: dict[str, Any]
    trajectories: tuple[Trajectory, ...]
    context: dict[str, Any]
    version: int

    def trajectory(self, image_id: int) -> Trajectory | None:
        """The episode on one photo."""
        return next((one for one in self.trajectories if one.image_id == image_id), None)


def read_evaluation(library: Library, name: str) -> Evaluated:
    """Read an evaluation, or give the one read before.

    Raises:
        KeyError: there is none of this name.
        UserError: its files are broken.
    """
    folder = library.found().evaluations[name]

    def read(file: Path) -> Evaluated:
        try:
            summary = json.loads(file.read_text(encoding="utf-8"))
            trajectories = read_trajectories(folder / TRAJECTORIES)
            return Evaluated(
                name, summary, trajectories, evaluation_context(trajectories, summary), int(file.stat().st_mtime)
            )
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{file} is broken ({error}); run `rl-aesthetics evaluate` again") from error

    return library.kept("evaluation", folder / SUMMARY, read)


def dataset_of(library: Library, evaluated: Evaluated) -> RLDataset | None:
    """The split that was evaluated, told by its fingerprint, if it is among the datasets found."""
    split = evaluated.summary["split"]
    for name in library.found().datasets:
        if split in library.splits(name):
            dataset = library.dataset(name, split)
            if dataset.fingerprint == evaluated.summary["dataset_fingerprint"]:
                return dataset
    return None


@router.get("/evaluation")
def evaluation(
    request: Request,
    site: TheSite,
    run: str = "",
    against: str = "",
    kind: str = "",
    first: str = "",
    depth: str = "",
    sort: str = "",
    fooled: str = "",
    differ: str = "",
    page: int = 1,
) -> Response:
    """Episodes of one evaluation, or of two on the same photos."""
    found = list(site.library.found().evaluations)
    if not found:
        return site.page(request, "evaluation.html", found=[], evaluated=None)
    evaluated = read_evaluation(site.library, run or found[0])
    other = read_evaluation(site.library, against) if against and against != evaluated.name else None
    problem = ""
    if other and other.summary["dataset_fingerprint"] != evaluated.summary["dataset_fingerprint"]:
        problem, other = f"{other.name} was evaluated on other photos, so the two cannot be put side by side.", None
    sorts = evaluated.context["sorts"]
    query: dict[str, Any] = {
        "kind": kind,
        "first": first,
        "depth": int(depth) if depth.isdigit() else None,
        "sort": sort if sort in sorts else sorts[0],
        "fooled": bool(fooled),
    }
    chosen = select(evaluated.trajectories, **query)
    others = {one.image_id: one for one in other.trajectories} if other else {}
    if other and differ:
        chosen = [one for one in chosen if others[one.image_id].edits != one.edits]
    pages = max(1, -(-len(chosen) // PAGE))
    page = max(1, min(page, pages))
    more = {"fooled": "1" if fooled else "", "differ": "1" if differ else ""}
    kept = {"run": evaluated.name, "against": other.name if other else "", **query, **more}
    return site.page(
        request,
        "evaluation.html",
        found=found,
        evaluated=evaluated,
        other=other,
        others=others,
        differ=bool(differ),
        problem=problem,
        total=len(chosen),
        shown=chosen[(page - 1) * PAGE : page * PAGE],
        page_number=page,
        pages=pages,
        page_link=lambda number: "?" + urlencode({k: v for k, v in {**kept, "page": number}.items() if v}),
        query=query,
        picture=_addresses(evaluated),
        other_picture=_addresses(other) if other else None,
        pictured=dataset_of(site.library, evaluated) is not None,
        **evaluated.context,
    )


@router.get("/evaluation/picture/{version}/{image_id}-{step}.webp")
def picture(site: TheSite, run: str, version: int, image_id: int, step: str) -> Response:
    """The photo of an episode after some edits, or the original."""
    evaluated = read_evaluation(site.library, run)
    dataset, trajectory = dataset_of(site.library, evaluated), evaluated.trajectory(image_id)
    if dataset is None or trajectory is None:
        raise HTTPException(404, "There is no such photo here.")
    place = evaluated.trajectories.index(trajectory)
    if step == "original":
        photo = dataset.original(place)
    elif step.isdigit() and int(step) <= len(trajectory.edits):
        photo = recipe.render(dataset.degraded(place), trajectory.edits[: int(step)])
    else:
        raise HTTPException(404, "The episode has no such step.")
    headers = {"cache-control": "private, max-age=86400, immutable"}
    return Response(encode_webp(fit_within(photo, PICTURE)), media_type="image/webp", headers=headers)


def _addresses(evaluated: Evaluated) -> Callable[[Trajectory, int | str], str]:
    query = urlencode({"run": evaluated.name})
    return lambda trajectory, step: f"/evaluation/picture/{evaluated.version}/{trajectory.image_id}-{step}.webp?{query}"
