"""The Enhance view: upload or pick photos, watch the agent, take back, steer, play, download."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Form, HTTPException, Request, Response, UploadFile
from fastapi.responses import HTMLResponse, JSONResponse

from rl_aesthetics.errors import ScoringError, UserError
from rl_aesthetics.pages import rendering as pages
from rl_aesthetics.photos.formats import PhotoError
from rl_aesthetics.photos.read import read_photo
from rl_aesthetics.photos.resize import fit_within
from rl_aesthetics.photos.write import encode_webp
from rl_aesthetics.studio.photo_episode import PhotoEpisode
from rl_aesthetics.studio.sessions import Sitting
from rl_aesthetics.studio.site import Site, go, wants_json
from rl_aesthetics.studio.uploads import check_photo
from rl_aesthetics.studio.worker import Job

SAMPLES = 6
NAME_LENGTH = 120
THUMBNAIL = 240
MEDIA_TYPES = {"png": "image/png", "tif": "image/tiff", "jpg": "image/jpeg"}
"""Of results, by the ends of their names."""

Token = Annotated[str, Form()]


def add(app: FastAPI, site: Site) -> None:
    """Add the view to the application."""
    _add_table(app, site)
    _add_episode(app, site)
    _add_steering(app, site)


def _add_table(app: FastAPI, site: Site) -> None:
    @app.get("/enhance")
    def enhance(request: Request) -> Response:
        """Choose photos, agent and juror."""
        return table(request)

    def table(request: Request, problems: list[str] | None = None, status: int = 200) -> Response:
        found = site.library.found()
        return site.page(
            request,
            "enhance.html",
            status,
            agents=list(found.agents),
            jurors=site.library.jurors,
            samples=sample_names(site),
            sittings=site.sessions.all(site.session(request)),
            problems=problems or [],
            settings=site.settings,
        )

    @app.post("/enhance")
    async def upload(request: Request) -> Response:
        """Take photos in and let the agent edit them."""
        limit = site.settings.max_photos
        async with request.form(max_files=limit + 1, max_fields=8) as form:
            session = site.check_form(request, form.get("form_token"))
            agent, juror = str(form.get("agent", "")), str(form.get("juror", ""))
            sample = str(form.get("sample", ""))
            if agent not in site.library.found().agents:
                raise UserError("choose an agent; if there is none, train one with `rl-aesthetics demo`")
            files = [file for file in form.getlist("photos") if hasattr(file, "filename") and file.filename]
            sources: list[tuple[str, Callable[[Path], Any]]]
            if sample:
                sources = [
                    (f"sample {sample}.png", lambda path: path.write_bytes(sample_file(site, sample).read_bytes()))
                ]
            else:
                sources = [(file.filename, _copier(file)) for file in files]
            if not sources:
                return refused(request, ["No photo was chosen: drop one, browse for one, or pick a sample."])
            if len(sources) > limit:
                return refused(request, [f"{len(sources)} photos are too many; at most {limit} are taken in one go."])
            taken, problems = [], []
            for name, copy in sources:
                try:
                    taken.append(await asyncio.to_thread(take, session, name, copy))
                except PhotoError as error:
                    problems.append(f"{error.path}: {error.reason}.")
        if not taken:
            return refused(request, problems)
        for sitting in taken:
            sitting.agent, sitting.juror = agent, juror
        try:
            job = site.worker.submit("begin", lambda job: begin(job, taken))
        except Exception:
            for sitting in taken:
                site.sessions.drop(session, sitting.key)
            raise
        for sitting in taken:
            sitting.job = job
        await site.wait(job)
        if problems:
            return refused(request, problems)
        return go(request, site, f"/episodes/{taken[0].key}" if len(taken) == 1 else "/enhance#photos")

    def refused(request: Request, problems: list[str]) -> Response:
        if wants_json(request):
            return JSONResponse({"problems": problems}, 422)
        return table(request, problems, 422)

    def take(session: str, name: str, copy: Callable[[Path], Any]) -> Sitting:
        name = Path(name.replace("\\", "/")).name[:NAME_LENGTH] or "photo"
        with tempfile.TemporaryDirectory(dir=site.sessions.folder) as folder:
            path = Path(folder) / "upload"
            copy(path)
            width, height = check_photo(path, name, site.settings.max_pixels)
            sitting = site.sessions.add(session, path, name)
        sitting.file.width, sitting.file.height = width, height
        return sitting

    def begin(job: Job, sittings: list[Sitting]) -> None:
        for number, sitting in enumerate(sittings, 1):
            if job.cancelled():
                return
            job.progress = f"photo {number} of {len(sittings)}"
            open_and_edit(site, sitting, job)

    @app.get("/samples/{key}.webp")
    def sample(key: str) -> Response:
        """A sample photo, small."""
        content = encode_webp(fit_within(read_photo(sample_file(site, key)), THUMBNAIL))
        return Response(content, media_type="image/webp", headers={"cache-control": "private, max-age=3600"})


def open_and_edit(site: Site, sitting: Sitting, job: Job, play: bool = False) -> None:
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


def _copier(file: UploadFile) -> Callable[[Path], Any]:
    def copy(path: Path) -> None:
        with path.open("wb") as target:
            shutil.copyfileobj(file.file, target)

    return copy


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


def _add_episode(app: FastAPI, site: Site) -> None:
    def own(request: Request, key: str) -> Sitting:
        sitting = site.sessions.get(site.session(request), key)
        if sitting is None:
            raise HTTPException(404, "This photo is not here: uploads are private and deleted after an hour.")
        return sitting

    def context(sitting: Sitting, at: int | None) -> dict[str, Any]:
        looks = sitting.episode.looks if sitting.episode else []
        last = len(looks) - 1
        return {"sitting": sitting, "episode": sitting.episode, "at": last if at is None else max(0, min(at, last))}

    @app.get("/episodes/{key}")
    def episode(request: Request, key: str, at: int | None = None) -> Response:
        """The episode of one photo."""
        return site.page(request, "episode.html", **context(own(request, key), at))

    @app.get("/episodes/{key}/part")
    def part(request: Request, key: str, at: int | None = None) -> Response:
        """What changes while an episode runs or is stepped through: for the page's script."""
        session = site.session(request)
        token = site.sessions.form_token(session)
        text = pages.render("_episode.html", form_token=token, **context(own(request, key), at))
        return site.with_cookie(request, HTMLResponse(text))

    @app.get("/episodes/{key}/looks/{step}-{state}.webp")
    def look(request: Request, key: str, step: int, state: int, small: bool = False) -> Response:
        """The photo after some edits, as large as a page needs it. `state` makes the address change with the edits."""
        sitting = own(request, key)
        looks = sitting.episode.looks if sitting.episode else []
        if not 0 <= step < len(looks) or looks[step].state != state:
            raise HTTPException(404, "This step was taken back.")
        photo = sitting.episode.rendered(step)
        content = encode_webp(fit_within(photo, THUMBNAIL) if small else photo, sitting.file.header.icc_profile)
        return Response(content, media_type="image/webp", headers={"cache-control": "private, max-age=3600"})

    @app.get("/episodes/{key}/result.{kind}")
    async def result(request: Request, key: str, kind: str) -> Response:
        """The result at full size."""
        sitting = own(request, key)
        if kind not in MEDIA_TYPES or sitting.episode is None:
            raise HTTPException(404, "The result comes as .png, .tif or .jpg, once there is one.")
        job = site.worker.submit("write the result", lambda job: sitting.episode.download(f".{kind}"))
        await site.wait(job, 300)
        if not job.done:
            job.cancel()
            raise HTTPException(504, "Writing the result takes too long; try a smaller photo.")
        name = _download_name(sitting.file.name, kind)
        return Response(job.future.result(), media_type=MEDIA_TYPES[kind], headers=_attachment(name))

    @app.get("/episodes/{key}/recipe.json")
    def recipe(request: Request, key: str) -> Response:
        """What was done, by whom, and what was expected of it."""
        sitting = own(request, key)
        if sitting.episode is None:
            raise HTTPException(404, "There is no recipe yet.")
        document = {**sitting.episode.recipe(), "agent": sitting.agent}
        return JSONResponse(document, headers=_attachment(_download_name(sitting.file.name, "json")))

    app.state.own_sitting = own


def _download_name(name: str, kind: str) -> str:
    stem = "".join(c if c.isascii() and (c.isalnum() or c in "-_ ") else "_" for c in Path(name).stem).strip("_ ")
    return f"{stem or 'photo'}_edited.{kind}"


def _attachment(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"'}


def _add_steering(app: FastAPI, site: Site) -> None:
    own = app.state.own_sitting

    async def steer(request: Request, key: str, token: str, what: str, work: Callable[[Job, PhotoEpisode], None]):
        site.check_form(request, token)
        sitting = own(request, key)
        if sitting.episode is None or sitting.running:
            raise UserError("the photo is still being worked on: wait for it, or cancel it")
        sitting.job = site.worker.submit(what, lambda job: locked(job, sitting, work))
        await site.wait(sitting.job)
        if sitting.job.done and not sitting.job.future.cancelled():
            sitting.job.future.result()
        return go(request, site, f"/episodes/{key}")

    def locked(job: Job, sitting: Sitting, work: Callable[[Job, PhotoEpisode], None]) -> None:
        with sitting.lock:
            work(job, sitting.episode)

    @app.post("/episodes/{key}/undo")
    async def undo(request: Request, key: str, form_token: Token) -> Response:
        """Take the last edit back."""
        return await steer(request, key, form_token, "take it back", lambda job, episode: episode.undo())

    @app.post("/episodes/{key}/apply")
    async def apply(
        request: Request, key: str, form_token: Token, edit: Annotated[str, Form()], at: Annotated[int, Form()] = -1
    ) -> Response:
        """Apply an edit of one's own choice, in place of what came after the step that was looked at."""

        def work(job: Job, episode: PhotoEpisode) -> None:
            if at >= 0:
                episode.go_back(at)
            episode.apply(edit)

        return await steer(request, key, form_token, "apply it", work)

    @app.post("/episodes/{key}/continue")
    async def go_on(request: Request, key: str, form_token: Token) -> Response:
        """Let the agent go on from here."""
        return await steer(request, key, form_token, "go on", lambda job, episode: episode.go_on(job.cancelled))

    @app.post("/episodes/{key}/cancel")
    def cancel(request: Request, key: str, form_token: Token) -> Response:
        """End the work under way."""
        site.check_form(request, form_token)
        sitting = own(request, key)
        if sitting.job is not None:
            sitting.job.cancel()
        return go(request, site, f"/episodes/{key}")

    @app.post("/episodes/{key}/play")
    async def play(request: Request, key: str, form_token: Token) -> Response:
        """Begin again by hand, against the score that stands."""
        session = site.check_form(request, form_token)
        first = own(request, key)
        if first.episode is None:
            raise UserError("wait until the agent has had its turn")
        sitting = site.sessions.again(session, first)
        sitting.playing, sitting.goal = True, first.episode.looks[-1].score if not first.playing else first.goal
        try:
            sitting.job = site.worker.submit("begin", lambda job: open_and_edit(site, sitting, job, play=True))
        except Exception:
            site.sessions.drop(session, sitting.key)
            raise
        await site.wait(sitting.job)
        return go(request, site, f"/episodes/{sitting.key}")

    @app.post("/episodes/{key}/delete")
    def delete(request: Request, key: str, form_token: Token) -> Response:
        """Delete the photo now."""
        session = site.check_form(request, form_token)
        own(request, key)
        site.sessions.drop(session, key)
        return go(request, site, "/enhance")
