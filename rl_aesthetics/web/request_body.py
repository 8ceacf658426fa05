"""Bounds on what the services of ours read, as ASGI hands it over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


class BodyRefused(Exception):
    """The body turned out too large or too slow while it was read. Carries the HTTP status."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


def announced_bytes(headers: dict[str, str]) -> int:
    """The length that a request's headers (names in lower case) announce; 0 where they announce none."""
    length = headers.get("content-length", "0")
    return int(length) if length.isascii() and length.isdigit() else 0


def bounded(receive: Receive, *, max_bytes: int, seconds: float, too_long: str, too_slow: str) -> Receive:
    """`receive` that raises `BodyRefused` when the body grows too long (413) or takes too much time (408).

    Args:
        max_bytes: the longest body.
        seconds: from now on until its end.
        too_long, too_slow: what is said then.
    """
    received, complete, deadline = 0, False, asyncio.get_running_loop().time() + seconds

    async def receive_bounded() -> Message:
        nonlocal received, complete
        if complete:  # what comes now is the end of the connection, whenever it likes
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), deadline - asyncio.get_running_loop().time())
        except asyncio.TimeoutError as error:
            raise BodyRefused(408, too_slow) from error
        complete = message["type"] != "http.request" or not message.get("more_body", False)
        received += len(message.get("body", b""))
        if received > max_bytes:
            raise BodyRefused(413, too_long)
        return message

    return receive_bounded
