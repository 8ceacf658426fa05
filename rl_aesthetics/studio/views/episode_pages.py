"""An episode on a visitor's photo: watch the agent, take back, steer, play, download."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from rl_aesthetics.errors import UserError
from rl_aesthetics.pages import rendering as pages
from rl_aesthetics.photos.resize import fit_within
from rl_aesthetics.photos.write import encode_webp
from rl_aesthetics.studio.photo_episode import PhotoEpisode
from rl_aesthetics.studio.sessions import Sitting
from rl_aesthetics.studio.site import FormSession, Site, TheSite, go
from rl_aesthetics.studio.views.enhance_pages import THUMBNAIL, open_and_edit
from rl_aesthetics.studio.worker import Job

router = APIRouter(prefix="/episodes/{key}")

MEDIA_TYPES = {"png": "image/png", "tif": "image/tiff", "jpg": "image/jpeg"}
"""Of results, by the ends of their names."""


async def own(request: Request, site: TheSite, key: str) -> Sitting:
    """The visitor's own photo of this key.

    Raises:
        HTTPException: 404, it is somebody else's or gone.
    """
    sitting = site.sessions.get(site.session(request), key)
    if sitting is None:
        raise HTTPException(404, "This photo is not here: uploads are private and deleted after an hour.")
    return sitting


Own = Annotated[Sitting, Depends(own)]


def _context(sitting: Sitting, at: int | None) -> dict[str, Any]:
    last = len(sitting.episode.looks if sitting.episode else []) - 1
    return {"sitting": sitting, "episode": sitting.episode, "at": last if at is None else max(0, min(at, last))}


@router.get("")
def episode(request: Request, site: TheSite, sitting: Own, at: int | None = None) -> Response:
    """The episode of one photo."""
    return site.page(request, "episode.html", **_context(sitting, at))


@router.get("/part")
def part(request: Request, site: TheSite, sitting: Own, at: int | None = None) -> Response:
    """What changes while an episode runs or is stepped through: for the page's script."""
    token = site.sessions.form_token(site.session(request))
    text = pages.render("_episode.html", form_token=token, **_context(sitting, at))
    return site.with_cookie(request, HTMLResponse(text))


@router.get("/looks/{step}-{state}.webp")
def look(sitting: Own, step: int, state: int, small: bool = False) -> Response:
    """The photo after some edits, as large as a page needs it. `state` makes the address change with the edits."""
    looks = sitting.episode.looks if sitting.episode else []
    if sitting.episode is None or not 0 <= step < len(looks) or looks[step].state != state:
        raise HTTPException(404, "This step was taken back.")
    photo_HWC = sitting.episode.rendered(step)
    if small:
        photo_HWC = fit_within(photo_HWC, THUMBNAIL)
    content = encode_webp(photo_HWC, sitting.file.header.icc_profile)
    return Response(content, media_type="image/webp", headers={"cache-control": "private, max-age=3600"})


@router.get("/result.{kind}")
async def result(site: TheSite, sitting: Own, kind: str) -> Response:
    """The result at full size."""
    if kind not in MEDIA_TYPES or (finished := sitting.episode) is None:
        raise HTTPException(404, "The result comes as .png, .tif or .jpg, once there is one.")
    job: Job[bytes] = site.worker.submit("write the result", lambda job: finished.download(f".{kind}"))
    await site.wait(job, 300)
    if not job.done:
        job.cancel()
        raise HTTPException(504, "Writing the result takes too long; try a smaller photo.")
    name = _download_name(sitting.file.name, kind)
    return Response(job.future.result(), media_type=MEDIA_TYPES[kind], headers=_attachment(name))


@router.get("/recipe.json")
def recipe(sitting: Own) -> Response:
    """What was done, by whom, and what was expected of it."""
    if sitting.episode is None:
        raise HTTPException(404, "There is no recipe yet.")
    document = {**sitting.episode.recipe(), "agent": sitting.agent}
    return JSONResponse(document, headers=_attachment(_download_name(sitting.file.name, "json")))


def _download_name(name: str, kind: str) -> str:
    stem = "".join(c if c.isascii() and (c.isalnum() or c in "-_ ") else "_" for c in Path(name).stem).strip("_ ")
    return f"{stem or 'photo'}_edited.{kind}"


def _attachment(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"'}


async def _steer(
    request: Request, site: Site, sitting: Sitting, what: str, work: Callable[[Job[None], PhotoEpisode], None]
) -> Response:
    steered = sitting.episode
    if steered is None or sitting.running:
        raise UserError("the photo is still being worked on: wait for it, or cancel it")

    def locked(job: Job[None]) -> None:
        with sitting.lock:
            work(job, steered)

    job = sitting.job = site.worker.submit(what, locked)
    await site.wait(job)
    if job.done and not job.future.cancelled():
        job.future.result()
    return go(request, site, f"/episodes/{sitting.key}")


@router.post("/undo")
async def undo(request: Request, site: TheSite, session: FormSession, sitting: Own) -> Response:
    """Take the last edit back."""
    return await _steer(request, site, sitting, "take it back", lambda job, episode: episode.undo())


@router.post("/apply")
async def apply(
    request: Request,
    site: TheSite,
    session: FormSession,
    sitting: Own,
    edit: Annotated[str, Form()],
    at: Annotated[int, Form()] = -1,
) -> Response:
    """Apply an edit of one's own choice, in place of what came after the step that was looked at."""

    def work(job: Job[None], episode: PhotoEpisode) -> None:
        if at >= 0:
            episode.go_back(at)
        episode.apply(edit)

    return await _steer(request, site, sitting, "apply it", work)


@router.post("/continue")
async def go_on(request: Request, site: TheSite, session: FormSession, sitting: Own) -> Response:
    """Let the agent go on from here."""
    return await _steer(request, site, sitting, "go on", lambda job, episode: episode.go_on(job.cancelled))


@router.post("/cancel")
def cancel(request: Request, site: TheSite, session: FormSession, sitting: Own) -> Response:
    """End the work under way."""
    if sitting.job is not None:
        sitting.job.cancel()
    return go(request, site, f"/episodes/{sitting.key}")


@router.post("/play")
async def play(request: Request, site: TheSite, session: FormSession, sitting: Own) -> Response:
    """Begin again by hand, against the score that stands."""
    if sitting.episode is None:
        raise UserError("wait until the agent has had its turn")
    again = site.sessions.again(session, sitting)
    again.playing, again.goal = True, sitting.goal if sitting.playing else sitting.episode.looks[-1].score
    try:
        again.job = site.worker.submit("begin", lambda job: open_and_edit(site, again, job, play=True))
    except Exception:
        site.sessions.drop(session, again.key)
        raise
    await site.wait(again.job)
    return go(request, site, f"/episodes/{again.key}")


@router.post("/delete")
def delete(request: Request, site: TheSite, session: FormSession, sitting: Own) -> Response:
    """Delete the photo now."""
    site.sessions.drop(session, sitting.key)
    return go(request, site, "/enhance")
