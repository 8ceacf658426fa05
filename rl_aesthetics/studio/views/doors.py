"""The studio's doors: the first page, the health check, and the login."""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from rl_aesthetics.studio.gate import TOKEN_COOKIE, token_proof
from rl_aesthetics.studio.site import TheSite

router = APIRouter()


@router.get("/")
def first() -> Response:
    """The first view."""
    return RedirectResponse("/enhance", 307)


@router.get("/livez")
def alive() -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "ok"}


@router.get("/login")
def ask(request: Request, site: TheSite, to: str = "/") -> Response:
    """Ask for the token."""
    return site.page(request, "login.html", to=to, problem="")


@router.post("/login")
def log_in(
    request: Request, site: TheSite, token: Annotated[str, Form()] = "", to: Annotated[str, Form()] = "/"
) -> Response:
    """Check the token and remember it in a cookie."""
    expected = site.settings.token or ""
    if not hmac.compare_digest(token.strip().encode(), expected.encode()):
        return site.page(request, "login.html", 401, to=to, problem="That is not the token of this studio.")
    local = to.startswith("/") and not to.startswith(("//", "/\\"))
    response = RedirectResponse(to if local else "/", 303)
    secure = request.url.scheme == "https"
    response.set_cookie(TOKEN_COOKIE, token_proof(expected), httponly=True, samesite="lax", secure=secure)
    return response
