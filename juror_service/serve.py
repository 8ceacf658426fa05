"""Run the HTTP service: bind, announce, serve until told to stop, finish what was accepted."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

import uvicorn

from juror_service.app import ServiceSettings, create_app
from rl_aesthetics.errors import UserError
from rl_aesthetics.scoring import Scorer

PORT = 5010


def serve(
    load: Callable[[], Scorer],
    settings: ServiceSettings,
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    allow_anonymous: bool = False,
    announce: Callable[[str], None] = print,
) -> None:
    """Serve until SIGINT or SIGTERM.

    Then no new connection is taken, accepted requests get their answers (for at most `settings.timeout_s`), and the
    function returns.

    Args:
        load: makes the juror; in a thread, while the service answers its health routes already.
        settings: how the service runs.
        host, port: where to listen; port 0 takes a free one.
        allow_anonymous: listen on an address that others can reach although there is no token.
        announce: told the address once it listens.

    Raises:
        UserError: the address is public and there is no token, or it cannot be bound, or the juror does not load.
    """
    if settings.token is None and not allow_anonymous and not _is_loopback(host):
        raise UserError(
            f"{host} can be reached from other machines and there is no token: set one with --token-file or "
            "JUROR_TOKEN, listen on 127.0.0.1, or say --allow-anonymous"
        )
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        raise UserError(f"cannot listen on {host}:{port}: {error}; choose another --port or --host") from error

    # asyncio does this for sockets that it opens itself. Else an answer's body waits up to 40 ms behind its headers,
    # until the client has acknowledged those (Nagle's algorithm and delayed acknowledgements).
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def stop() -> None:
        server.should_exit = True

    app = create_app(load, settings, on_load_failure=stop)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=int(settings.timeout_s) + 1,
            timeout_keep_alive=30,
        )
    )
    name = f"[{host}]" if ":" in host else host
    announce(f"juror on http://{name}:{listener.getsockname()[1]} (try it at /docs)")
    with listener:
        server.run(sockets=[listener])
    failure = app.state.service.failure
    if isinstance(failure, UserError):
        raise failure
    if failure is not None:
        raise UserError(f"the juror does not load: {type(failure).__name__}: {failure}") from failure


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name can mean any address
