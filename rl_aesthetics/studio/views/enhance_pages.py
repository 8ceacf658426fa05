"""The Enhance view: upload photos or pick samples, and let an agent edit them."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile

from rl_aesthetics.errors import ScoringError, UserError
from rl_aesthetics.photos.formats import PhotoError
from rl_aesthetics.photos.read import read_photo
from rl_aesthetics.photos.resize import fit_within
from rl_aesthetics.photos.write import encode_webp
from rl_aesthetics.studio.photo_episode import PhotoEpisode
from rl_aesthetics.studio.sessions import Sitting
from rl_aesthetics.studio.site import Site, TheSite, go, wants_json
from rl_aesthetics.studio.uploads import check_photo
from rl_aesthetics.studio.worker import Job

router = APIRouter()

SAMPLES = 6
NAME_LENGTH = 120
THUMBNAIL = 240


@router.get("/enhance")
def enhance(request: Request, site: TheSite) -> Response:
    """Choose photos, agent and juror."""
    return _table(request, site)


def _table(request: Request, site: Site, problems: Sequence[str] = (), status: int = 200) -> Response:
    found = site.library.found()
    return site.page(
        request,
        "enhance.html",
        status,
        agents=list(found.agents),
        jurors=site.library.jurors,
        samples=sample_names(site),
        sittings=site.sessions.all(site.session(request)),
        problems=problems,
        settings=site.settings,
    )


@router.post("/enhance")
async def upload(request: Request, site: TheSite) -> Response:
    """Take photos in and let the agent edit them."""
    limit = site.settings.max_photos
    async with request.form(max_files=limit + 1, max_fields=8) as form:
        session = site.check_form(request, form.get("form_token"))
        agent, juror = str(form.get("agent", "")), str(form.get("juror", ""))
        if agent not in site.library.found().agents:
            raise UserError("choose an agent; if there is none, train one with `rl-aesthetics demo`")
        files = [file for file in form.getlist("photos") if isinstance(file, UploadFile)]
        sources = [(file.filename, _copier(file)) for file in files if file.filename]
        if sample := str(form.get("sample", "")):
            sources = [(f"sample {sample}.png", lambda path: path.write_bytes(sample_file(site, sample).read_bytes()))]
        if not sources:
            return _refused(request, site, ["No photo was chosen: drop one, browse for one, or pick a sample."])
        if len(sources) > limit:
            many = f"{len(sources)} photos are too many; at most {limit} are taken in one go."
            return _refused(request, site, [many])
        taken: list[Sitting] = []
        problems: list[str] = []
        for name, copy in sources:
            try:
                taken.append(await asyncio.to_thread(_take, site, session, name, copy))
            except PhotoError as error:
                problems.append(f"{error.path}: {error.reason}.")
    if not taken:
        return _refused(request, site, problems)
    for sitting in taken:
        sitting.agent, sitting.juror = agent, juror
    try:
        job = site.worker.submit("begin", lambda job: _begin(site, job, taken))
    except Exception:
        for sitting in taken:
            site.sessions.drop(session, sitting.key)
        raise
    for sitting in taken:
        sitting.job = job
    await site.wait(job)
    if problems:
        return _refused(request, site, problems)
    return go(request, site, f"/episodes/{taken[0].key}" if len(taken) == 1 else "/enhance#photos")


def _refused(request: Request, site: Site, problems: list[str]) -> Response:
    if wants_json(request):
        return JSONResponse({"problems": problems}, 422)
    return _table(request, site, problems, 422)


def _take(site: Site, session: str, name: str, copy: Callable[[Path], Any]) -> Sitting:
    name = Path(name.replace("\\", "/")).name[:NAME_LENGTH] or "photo"
    with tempfile.TemporaryDirectory(dir=site.sessions.folder) as folder:
        path = Path(folder) / "upload"
        copy(path)
        width, height = check_photo(path, name, site.settings.max_pixels)
        sitting = site.sessions.add(session, path, name)
    sitting.file.width, sitting.file.height = width, height
    return sitting


def _copier(file: UploadFile) -> Callable[[Path], Any]:
    def copy(path: Path) -> None:
        with path.open("wb") as target:
            shutil.copyfileobj(file.file, target)

    return copy


def _begin(site: Site, job: Job[None], sittings: list[Sitting]) -> None:
    for number, sitting in enumerate(sittings, 1):
        if job.cancelled():
            return
        job.progress = f"photo {number} of {len(sittings)}"
        open_and_edit(site, sitting, job)


def open_and_edit(site: Site, sitting: Sitting, job: Job[None], play: bool = False) -> None:
    """Load agent and juror, open the photo, and let the agent edit it; what goes wrong is noted on the sitting."""
    try:
        agent = site.library.agent(sitting.agent)
        scorer = site.library.scorer(sitting.juror, agent)
        episode = PhotoEpisode(agent, scorer, sitting.file)
        episode.begin()
        sitting.episode = episode
        if not play:
            episode.go_on(job.cancelled)
    except (UserError, ScoringError) as error:
        reason = error.reason if isinstance(error, PhotoError) else str(error)
        sitting.problem = reason[:1].upper() + reason[1:]
    except KeyError as error:
        sitting.problem = f"There is no {error.args[0]!r} here any more; choose another agent or juror"


@router.get("/samples/{key}.webp")
def sample(site: TheSite, key: str) -> Response:
    """A sample photo, small."""
    content = encode_webp(fit_within(read_photo(sample_file(site, key)), THUMBNAIL))
    return Response(content, media_type="image/webp", headers={"cache-control": "private, max-age=3600"})


def sample_names(site: Site) -> list[str]:
    """Some degraded photos of the first dataset's test split, or of its last split where there is no test split."""
    for name in site.library.found().datasets:
        split = site.library.splits(name)[-1]
        records = site.library.dataset(name, split).records
        places = sorted({round(k * (len(records) - 1) / max(1, SAMPLES - 1)) for k in range(SAMPLES)})
        return [f"{records[place].image_id}" for place in places]
    return []


def sample_file(site: Site, key: str) -> Path:
    """The file of a sample.

    Raises:
        KeyError: it is none of `sample_names`.
    """
    if key not in sample_names(site):
        raise KeyError(key)
    name = next(iter(site.library.found().datasets))
    dataset = site.library.dataset(name, site.library.splits(name)[-1])
    return next(dataset.folder / record.image_file for record in dataset.records if str(record.image_id) == key)
