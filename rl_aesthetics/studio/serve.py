"""Run the studio: bind, announce, serve until told to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
import uvicorn

from rl_aesthetics.studio.app import create_app
from rl_aesthetics.studio.gate import LOOPBACK_NAMES
from rl_aesthetics.studio.library import Library
from rl_aesthetics.studio.site import StudioSettings
from rl_aesthetics.web.listener import is_loopback, open_listener

PORT = 8600
MAX_CONNECTIONS = 200


def serve(
    library: Library,
    settings: StudioSettings,
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    allow_anonymous: bool = False,
    announce: Callable[[str], None] = print,
) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        library: what there is to look at.
        settings: how the studio runs; on a loopback address its hosts are the loopback names.
        host, port: where to listen; port 0 takes a free one.
        allow_anonymous: listen on an address that others can reach although there is no token.
        announce: told the address once it listens.

    Raises:
        UserError: the address is public and there is no token, or it cannot be bound.
    """
    listener, address = open_listener(
        host,
        port,
        protected=settings.token is not None or allow_anonymous,
        how_to_protect="set one with --token-file or STUDIO_TOKEN, listen on 127.0.0.1, or say --allow-anonymous",
    )
    if is_loopback(host):
        settings = replace(settings, hosts=LOOPBACK_NAMES)
    torch.set_num_threads(1)  # the worker has a thread for each core already
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(library, settings),
            log_level="warning",
            access_log=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=5,
            server_header=False,
        )
    )
    announce(f"studio on {address}")
    with listener:
        server.run(sockets=[listener])
