"""The studio's ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import FastAPI, Form, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles

from rl_aesthetics.pages.rendering import STATIC
from rl_aesthetics.studio.gate import TOKEN_COOKIE, Gate, token_proof
from rl_aesthetics.studio.library import Library
from rl_aesthetics.studio.site import Site, StudioSettings, add_error_pages
from rl_aesthetics.studio.views import dataset_pages, enhance_pages, evaluation_pages, training_pages

SWEEP_SECONDS = 30.0


class KeptStaticFiles(StaticFiles):
    """Files whose addresses change with their content; browsers may keep them."""

    def file_response(self, *arguments, **options) -> Response:
        """As Starlette does it, to be kept."""
        response = super().file_response(*arguments, **options)
        response.headers["cache-control"] = "public, max-age=31536000, immutable"
        return response


def create_app(library: Library, settings: StudioSettings | None = None) -> FastAPI:
    """Put the studio together.

    Args:
        library: what there is to look at.
        settings: how it runs; by default for one visitor on this machine.
    """
    settings = settings or StudioSettings()
    site = Site(settings, library)

    async def sweeping() -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await asyncio.to_thread(site.sessions.sweep)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(sweeping())
        yield
        task.cancel()
        site.close()

    app = FastAPI(title="rl-aesthetics studio", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.state.site = site
    app.add_middleware(Gate, token=settings.token, hosts=settings.hosts, max_body_bytes=settings.max_body_bytes)
    app.mount("/static", KeptStaticFiles(directory=STATIC))
    add_error_pages(app, site)
    _add_doors(app, site)
    for view in (enhance_pages, dataset_pages, evaluation_pages, training_pages):
        view.add(app, site)
    return app


def _add_doors(app: FastAPI, site: Site) -> None:
    @app.get("/")
    def first() -> Response:
        """The first view."""
        return RedirectResponse("/enhance", 307)

    @app.get("/livez")
    def alive() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @app.get("/login")
    def ask(request: Request, to: str = "/") -> Response:
        """Ask for the token."""
        return site.page(request, "login.html", to=to, problem="")

    @app.post("/login")
    def log_in(request: Request, token: Annotated[str, Form()] = "", to: Annotated[str, Form()] = "/") -> Response:
        """Check the token and remember it in a cookie."""
        expected = site.settings.token or ""
        if not hmac.compare_digest(token.strip().encode(), expected.encode()):
            return site.page(request, "login.html", 401, to=to, problem="That is not the token of this studio.")
        local = to.startswith("/") and not to.startswith(("//", "/\\"))
        response = RedirectResponse(to if local else "/", 303)
        secure = request.url.scheme == "https"
        response.set_cookie(TOKEN_COOKIE, token_proof(expected), httponly=True, samesite="lax", secure=secure)
        return response
