"""What the views share: settings, sessions, worker and library, the session cookie, rendering, and errors as pages."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from rl_aesthetics.errors import ScoringError, UserError
from rl_aesthetics.pages import rendering as pages
from rl_aesthetics.studio.library import Library
from rl_aesthetics.studio.sessions import COOKIE, Sessions, StorageFull
from rl_aesthetics.studio.worker import Busy, Job, Worker
from rl_aesthetics.web.request_body import BodyRefused

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

    def session(self, request: Request) -> str:
        """The visitor's session, a new one for a new visitor; its cookie goes with the answer."""
        if (known := getattr(request.state, "session", None)) is not None:
            return known
        name = self.sessions.name_of(request.cookies.get(COOKIE, ""))
        if name is None:
            request.state.new_cookie = self.sessions.new_cookie()
            name = self.sessions.name_of(request.state.new_cookie)
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

    async def wait(self, job: Job, seconds: float = PATIENCE_SECONDS) -> None:
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


def add_error_pages(app: FastAPI, site: Site) -> None:
    """Every failure a visitor can meet says what to do."""

    def answer(request: Request, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None):
        if wants_json(request):
            response: Response = JSONResponse({"detail": detail}, status)
        else:
            response = site.page(request, "error.html", status, title=title, detail=detail)
        response.headers.update(headers or {})
        return response

    @app.exception_handler(Busy)
    async def busy(request: Request, error: Busy) -> Response:
        detail = f"{site.worker.capacity} photos are being worked on. Nothing was lost: try again in a few seconds."
        return answer(request, 503, "Busy", detail, {"retry-after": "5"})

    @app.exception_handler(StorageFull)
    async def full(request: Request, error: StorageFull) -> Response:
        return answer(request, 507, "No room", str(error))

    @app.exception_handler(UserError)
    async def mistake(request: Request, error: UserError) -> Response:
        return answer(request, 422, "That does not work", _sentence(str(error)))

    @app.exception_handler(ScoringError)
    async def no_score(request: Request, error: ScoringError) -> Response:
        return answer(request, 502, "The juror gives no score", _sentence(str(error)))

    @app.exception_handler(BodyRefused)
    async def body(request: Request, error: BodyRefused) -> Response:
        return answer(request, error.status, "Upload refused", _sentence(str(error)), {"connection": "close"})

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return answer(request, 422, "That does not work", f"{where}: {first['msg']}. Change the address or go back.")

    @app.exception_handler(StarletteHTTPException)
    async def http(request: Request, error: StarletteHTTPException) -> Response:
        if isinstance(error.__cause__, BodyRefused):  # FastAPI wraps what happens while it reads a body
            return await body(request, error.__cause__)
        titles = {403: "Not from here", 404: "Not here", 405: "Not like that"}
        detail = str(error.detail)
        if detail == "Not Found":
            detail = "There is no such page. Choose a view above."
        return answer(request, error.status_code, titles.get(error.status_code, "That does not work"), detail)

    @app.exception_handler(KeyError)
    async def unknown(request: Request, error: KeyError) -> Response:
        return answer(request, 404, "Not here", f"There is no {error.args[0]!r} here (any more). Choose another one.")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
