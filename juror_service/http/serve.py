"""Run the HTTP service: bind, announce, serve until told to stop, finish what was accepted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import uvicorn

from juror_service.http.app import ServiceSettings, create_app
from rl_aesthetics.errors import UserError
from rl_aesthetics.scores.scorer import Scorer
from rl_aesthetics.web.listener import open_listener

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
    listener, address = open_listener(
        host,
        port,
        protected=settings.token is not None or allow_anonymous,
        how_to_protect="set one with --token-file or JUROR_TOKEN, listen on 127.0.0.1, or say --allow-anonymous",
    )

    def stop() -> None:
        if server.started:
            server.should_exit = True
        else:  # told so earlier, it would leave without shutting down
            asyncio.get_running_loop().call_later(0.01, stop)

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
    announce(f"juror on {address} (try it at /docs)")
    with listener:
        server.run(sockets=[listener])
    failure = app.state.service.failure
    if isinstance(failure, UserError):
        raise failure
    if failure is not None:
        raise UserError(f"the juror does not load: {type(failure).__name__}: {failure}") from failure
