"""What stands before the routes: token, type, size and load are checked before a byte of the body is looked at."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from juror_service.http.service_metrics import ERROR_TYPES, ServiceMetrics
from rl_aesthetics.web.request_body import BodyRefused, Message, Receive, announced_bytes, bounded

Scope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def problem(status: int, detail: str, retry_after_s: float | None = None) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an error: `{"error": type, "detail": one line}`."""
    headers = {"content-type": "application/json"}
    if retry_after_s is not None:
        headers["retry-after"] = str(max(1, min(60, round(retry_after_s + 0.5))))  # whole seconds, rounded up
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return status, headers, json.dumps({"error": ERROR_TYPES.get(status, "error"), "detail": detail}).encode()


class Gate:
    """ASGI middleware for everything below `/v1/`; other paths pass.

    Args:
        app: the routes.
        metrics: counts and times every request that comes here.
        accepts: route -> content types that it takes with POST, none if it takes no POST.
        token: what `Authorization: Bearer …` must say; None lets everybody in.
        max_body_bytes: a larger body is refused, by its announced length or as soon as it has grown too long.
        max_requests: requests under way; more are refused with 429 before their body is read.
        body_timeout_s: a body that takes longer to arrive is refused.
    """

    def __init__(
        self,
        app: App,
        *,
        metrics: ServiceMetrics,
        accepts: dict[str, tuple[str, ...]],
        token: str | None,
        max_body_bytes: int,
        max_requests: int,
        body_timeout_s: float,
    ):
        self.app, self.metrics, self.accepts, self.token = app, metrics, accepts, token
        self.max_body_bytes, self.max_requests, self.body_timeout_s = max_body_bytes, max_requests, body_timeout_s
        self.under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection's request."""
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self.app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 499  # unless an answer is sent

        async def watched_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        self.under_way += 1
        try:
            refusal = self._refusal(scope, headers)
            if refusal is None:
                await self.app(scope, self._bounded(receive), watched_send)
            else:
                await self._discard(headers, receive)
                await _respond(watched_send, *refusal)
        finally:
            self.under_way -= 1
            route = scope["path"] if scope["path"] in self.accepts else "other"
            self.metrics.requests.labels(route, str(status)).observe(time.perf_counter() - begun)
            if status >= 400:
                self.metrics.errors.labels(ERROR_TYPES.get(status, "inference" if status >= 500 else "invalid")).inc()

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes] | None:
        if self.token is not None:
            given = headers.get("authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
                return problem(401, "this juror wants its token: Authorization: Bearer …")
        accepted = self.accepts.get(scope["path"])
        if scope["method"] != "POST" or not accepted:
            return None  # the routes say what they have to say about it
        given_type = headers.get("content-type", "").split(";")[0].strip().lower()
        if given_type not in accepted:
            return problem(415, f"content type {given_type or 'missing'}; takes {' or '.join(accepted)}")
        if (length := announced_bytes(headers)) > self.max_body_bytes:
            return problem(413, f"the body has {length} bytes, at most {self.max_body_bytes} are taken")
        if self.under_way > self.max_requests:
            return problem(429, f"{self.max_requests} requests are under way", retry_after_s=1)
        return None

    def _bounded(self, receive: Receive) -> Receive:
        return bounded(
            receive,
            max_bytes=self.max_body_bytes,
            seconds=self.body_timeout_s,
            too_long=f"the body has more than {self.max_body_bytes} bytes",
            too_slow=f"the body did not arrive within {self.body_timeout_s:g} s",
        )

    async def _discard(self, headers: dict[str, str], receive: Receive) -> None:
        """Read a body of tolerable size past, so that the sender gets to read the refusal and keeps its connection."""
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or int(length) > self.max_body_bytes:
            return
        receive = self._bounded(receive)
        try:
            while (message := await receive())["type"] == "http.request" and message.get("more_body", False):
                pass
        except BodyRefused:
            return  # it was refused already


async def _respond(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
