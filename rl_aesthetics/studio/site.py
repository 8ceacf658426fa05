"""What the views share: settings, sessions, worker and library, the session cookie, and rendering."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Form, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse

from rl_aesthetics.pages import rendering as pages
from rl_aesthetics.studio.library import Library
from rl_aesthetics.studio.sessions import COOKIE, Sessions
from rl_aesthetics.studio.worker import Job, Worker

PATIENCE_SECONDS = 1.5
"""How long an answer waits for the work that it started; what takes longer is watched on the page."""


@dataclass(frozen=True)
class StudioSettings:
    """How the studio runs.

    Attributes:
        token: what visitors must know; None lets everybody in.
        hosts: names under which it may be addressed, without port; None for any.
        max_body_bytes: of one upload, all its photos together.
        max_pixels: of one photo.
        max_photos: in one upload.
        threads, queue: of the worker.
        lifetime_s: after which uploads are deleted.
        links: dashboards elsewhere, by name.
        thumbnails: the folder that keeps thumbnails of datasets between starts.
    """

    token: str | None = None
    hosts: frozenset[str] | None = None
    max_body_bytes: int = 64_000_000
    max_pixels: int = 60_000_000
    max_photos: int = 8
    threads: int = 2
    queue: int = 10
    lifetime_s: float = 3600.0
    links: Mapping[str, str] | None = None
    thumbnails: Path | None = None


class Site:
    """What the views share.

    Args:
        settings: how the studio runs.
        library: what there is to look at.
    """

    def __init__(self, settings: StudioSettings, library: Library):
        self.settings, self.library = settings, library
        self.sessions = Sessions(settings.lifetime_s)
        self.worker = Worker(settings.threads, settings.queue)

    @property
    def thumbnails(self) -> Path:
        """The folder that keeps thumbnails of datasets."""
        return self.settings.thumbnails or self.sessions.folder / "thumbnails"

    def session(self, request: Request) -> str:
        """The visitor's session, a new one for a new visitor; its cookie goes with the answer."""
        known: str | None = getattr(request.state, "session", None)
        if known is not None:
            return known
        name = self.sessions.name_of(request.cookies.get(COOKIE, ""))
        if name is None:
            name, request.state.new_cookie = self.sessions.new_session()
        request.state.session = name
        return name

    def check_form(self, request: Request, token: Any) -> str:
        """The session of a form that is really its own.

        Raises:
            HTTPException: 403, where it is not.
        """
        session = self.session(request)
        if not isinstance(token, str) or not self.sessions.is_form_token(session, token):
            raise HTTPException(403, "This page is too old: go back, reload it, and try again.")
        return session

    def page(self, request: Request, template: str, status: int = 200, **context: Any) -> Response:
        """A page as an answer."""
        session = self.session(request)
        text = pages.render(
            template,
            form_token=self.sessions.form_token(session),
            view=template.removesuffix(".html"),
            path=request.url.path,
            login=self.settings.token is not None,
            **context,
        )
        return self.with_cookie(request, HTMLResponse(text, status))

    def with_cookie(self, request: Request, response: Response) -> Response:
        """The answer, with the cookie of a visitor who has just come."""
        if (cookie := getattr(request.state, "new_cookie", None)) is not None:
            response.set_cookie(COOKIE, cookie, httponly=True, samesite="lax", secure=request.url.scheme == "https")
        return response

    async def wait(self, job: Job[Any], seconds: float = PATIENCE_SECONDS) -> None:
        """Wait a moment for a job; what it raised is for whoever reads its result."""
        waiting = asyncio.wrap_future(job.future)
        await asyncio.wait({waiting}, timeout=seconds)
        if waiting.done() and not waiting.cancelled():
            waiting.exception()

    def close(self) -> None:
        """Delete the uploads and end the worker."""
        self.worker.close()
        self.sessions.close()


def wants_json(request: Request) -> bool:
    """Whether the answer is for a script of the page rather than for somebody who reads it."""
    return "application/json" in request.headers.get("accept", "")


def go(request: Request, site: Site, address: str) -> Response:
    """Send the visitor to a page of the studio."""
    if wants_json(request):
        return site.with_cookie(request, JSONResponse({"location": address}))
    return site.with_cookie(request, RedirectResponse(address, 303))


async def site_of(request: Request) -> Site:
    """The studio that a request is for."""
    site: Site = request.app.state.site
    return site


TheSite = Annotated[Site, Depends(site_of)]
"""What a view asks for to get the `Site`."""


async def checked_form(request: Request, site: TheSite, form_token: Annotated[str, Form()]) -> str:
    """The session of a form; see `Site.check_form`."""
    return site.check_form(request, form_token)


FormSession = Annotated[str, Depends(checked_form)]
"""What a view that changes something asks for to be sure that the form is its visitor's."""
