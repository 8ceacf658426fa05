"""Every failure a visitor can meet says what to do."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from rl_aesthetics.errors import ScoringError, UserError
from rl_aesthetics.studio.sessions import StorageFull
from rl_aesthetics.studio.site import site_of, wants_json
from rl_aesthetics.studio.worker import Busy
from rl_aesthetics.web.request_body import BodyRefused

_TITLES = {403: "Not from here", 404: "Not here", 405: "Not like that"}


async def busy(request: Request, error: Busy) -> Response:
    """The worker's queue is full."""
    at_work = (await site_of(request)).worker.capacity
    detail = f"{at_work} photos are being worked on. Nothing was lost: try again in a few seconds."
    return await _answer(request, 503, "Busy", detail, {"retry-after": "5"})


async def full(request: Request, error: StorageFull) -> Response:
    """There is no room for an upload."""
    return await _answer(request, 507, "No room", str(error))


async def mistake(request: Request, error: UserError) -> Response:
    """The visitor's mistake."""
    return await _answer(request, 422, "That does not work", _sentence(str(error)))


async def no_score(request: Request, error: ScoringError) -> Response:
    """The juror could not answer."""
    return await _answer(request, 502, "The juror gives no score", _sentence(str(error)))


async def body(request: Request, error: BodyRefused) -> Response:
    """The upload is too long or too slow."""
    return await _answer(request, error.status, "Upload refused", _sentence(str(error)), {"connection": "close"})


async def invalid(request: Request, error: RequestValidationError) -> Response:
    """An address or a form that no page of the studio has."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    return await _answer(request, 422, "That does not work", f"{where}: {first['msg']}. Change the address or go back.")


async def http(request: Request, error: HTTPException) -> Response:
    """What a view or the routing refuses."""
    if isinstance(error.__cause__, BodyRefused):  # FastAPI wraps what happens while it reads a body
        return await body(request, error.__cause__)
    detail = str(error.detail)
    if detail == "Not Found":
        detail = "There is no such page. Choose a view above."
    return await _answer(request, error.status_code, _TITLES.get(error.status_code, "That does not work"), detail)


async def unknown(request: Request, error: KeyError) -> Response:
    """A name that is not in the library."""
    detail = f"There is no {error.args[0]!r} here (any more). Choose another one."
    return await _answer(request, 404, _TITLES[404], detail)


HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    Busy: busy,
    StorageFull: full,
    UserError: mistake,
    ScoringError: no_score,
    BodyRefused: body,
    RequestValidationError: invalid,
    HTTPException: http,
    KeyError: unknown,
}


async def _answer(
    request: Request, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None
) -> Response:
    if wants_json(request):
        response: Response = JSONResponse({"detail": detail}, status)
    else:
        response = (await site_of(request)).page(request, "error.html", status, title=title, detail=detail)
    response.headers.update(headers or {})
    return response


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
