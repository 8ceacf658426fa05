"""What stands before every page: the right host, the token, the size of the body, and headers on every answer.

Pages may load only from the studio itself and run no inline script, so that nothing a photo or its name contains can
run; forms are taken from the studio's own pages only.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import quote

from rl_aesthetics.web.request_body import Message, Receive, announced_bytes, bounded

Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

TOKEN_COOKIE = "studio_token"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; img-src 'self' blob:; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
LOOPBACK_NAMES = frozenset(("localhost", "127.0.0.1", "[::1]"))
OPEN_PATHS = ("/login", "/static/")
BODY_SECONDS = 120.0


def token_proof(token: str) -> str:
    """What the cookie of somebody who knows the token holds."""
    return hmac.new(token.encode(), b"studio", hashlib.sha256).hexdigest()


class Gate:
    """ASGI middleware.

    Args:
        app: the pages.
        token: what visitors must know, as a bearer token or by the cookie that `/login` gives; None lets everybody in.
        hosts: names under which the studio may be addressed, without port; None for any. On a loopback address only
            loopback names are right: any other is some site's name that was pointed at this machine.
        max_body_bytes: larger bodies are refused, by their announced length or as soon as they have grown too long.
    """

    def __init__(self, app: App, *, token: str | None, hosts: frozenset[str] | None, max_body_bytes: int):
        self.app, self.token, self.hosts, self.max_body_bytes = app, token, hosts, max_body_bytes

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Handle one connection's request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                added = dict(HEADERS)
                if not scope["path"].startswith("/static/"):
                    added["cache-control"] = "private, no-store"
                message["headers"] = [
                    *message["headers"],
                    *((k.encode(), v.encode()) for k, v in added.items() if k.encode() not in given),
                ]
            await send(message)

        refusal = self._refusal(scope, headers)
        if refusal is None:
            body = bounded(
                receive,
                max_bytes=self.max_body_bytes,
                seconds=BODY_SECONDS,
                too_long=f"more than {self.max_body_bytes / 1e6:g} MB; send fewer or smaller photos",
                too_slow=f"the upload did not arrive within {BODY_SECONDS:g} s; try again",
            )
            await self.app(scope, body, guarded_send)
            return
        status, text, more = refusal
        said = text.encode()
        raw = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(said)).encode())]
        raw += [(name.encode(), value.encode()) for name, value in more.items()]
        await guarded_send({"type": "http.response.start", "status": status, "headers": raw})
        await guarded_send({"type": "http.response.body", "body": said})

    def _refusal(
        self, scope: MutableMapping[str, Any], headers: dict[str, str]
    ) -> tuple[int, str, dict[str, str]] | None:
        host = headers.get("host", "")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if self.hosts is not None and name.lower() not in self.hosts:
            return 421, "This studio listens on its own machine only: open it as http://localhost.", {}
        path, method = scope["path"], scope["method"]
        bearer = headers.get("authorization", "")
        if self.token is not None and not path.startswith(OPEN_PATHS):
            knows = hmac.compare_digest(bearer.encode(), f"Bearer {self.token}".encode())
            proof = cookies(headers).get(TOKEN_COOKIE, "")
            if not knows and not hmac.compare_digest(proof.encode(), token_proof(self.token).encode()):
                if method in ("GET", "HEAD") and "text/html" in headers.get("accept", ""):
                    query = scope.get("query_string", b"").decode("latin-1")
                    wanted = quote(path + (f"?{query}" if query else ""), safe="")
                    return 303, "log in first", {"location": f"/login?to={wanted}"}
                return 401, "This studio wants its token: Authorization: Bearer …", {"www-authenticate": "Bearer"}
        if method not in ("GET", "HEAD", "OPTIONS"):
            if not _same_site(headers, host):
                return 403, "This form came from another site; open the studio itself and try again.", {}
            if announced_bytes(headers) > self.max_body_bytes:
                limit = f"{self.max_body_bytes / 1e6:g} MB"
                return 413, f"Too large: at most {limit} are taken in one go; send fewer or smaller photos.", {}
        return None


def cookies(headers: dict[str, str]) -> dict[str, str]:
    """The request's cookies by name; broken ones are none."""
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(headers.get("cookie", "")).items()}
    except CookieError:
        return {}


def _same_site(headers: dict[str, str], host: str) -> bool:
    """Whether a form comes from the studio's own pages, by what browsers say of it; programs say nothing."""
    if (site := headers.get("sec-fetch-site")) is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2] == host
