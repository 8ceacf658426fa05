"""The studio's ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import cv2
from fastapi import FastAPI, Response
from fastapi.staticfiles import StaticFiles

from rl_aesthetics.pages.rendering import STATIC
from rl_aesthetics.studio.error_pages import HANDLERS
from rl_aesthetics.studio.gate import Gate
from rl_aesthetics.studio.library import Library
from rl_aesthetics.studio.site import Site, StudioSettings
from rl_aesthetics.studio.views import (
    dataset_pages,
    doors,
    enhance_pages,
    episode_pages,
    evaluation_pages,
    training_pages,
)

SWEEP_SECONDS = 30.0

VIEWS = (doors, enhance_pages, episode_pages, dataset_pages, evaluation_pages, training_pages)


class KeptStaticFiles(StaticFiles):
    """Files whose addresses change with their content; browsers may keep them."""

    def file_response(self, *arguments: Any, **options: Any) -> Response:
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

    app = FastAPI(
        title="rl-aesthetics studio",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
        exception_handlers=HANDLERS,
    )
    app.state.site = site
    app.add_middleware(Gate, token=settings.token, hosts=settings.hosts, max_body_bytes=settings.max_body_bytes)
    app.mount("/static", KeptStaticFiles(directory=STATIC))
    for view in VIEWS:
        app.include_router(view.router)
    cv2.setNumThreads(1)  # one thumbnail a thread is quicker than many threads a thumbnail
    return app
