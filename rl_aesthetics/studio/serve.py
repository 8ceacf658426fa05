"""Run the studio: bind, announce, serve until told to stop."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from dataclasses import replace

import torch
import uvicorn

from rl_aesthetics.errors import UserError
from rl_aesthetics.studio.app import create_app
from rl_aesthetics.studio.gate import LOOPBACK_NAMES
from rl_aesthetics.studio.library import Library
from rl_aesthetics.studio.site import StudioSettings

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
    if settings.token is None and not allow_anonymous and not is_loopback(host):
        raise UserError(
            f"{host} can be reached from other machines and there is no token: set one with --token-file or "
            "STUDIO_TOKEN, listen on 127.0.0.1, or say --allow-anonymous"
        )
    if is_loopback(host):
        settings = replace(settings, hosts=LOOPBACK_NAMES)
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        raise UserError(f"cannot listen on {host}:{port}: {error}; choose another --port or --host") from error
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
    name = f"[{host}]" if ":" in host else host
    announce(f"studio on http://{name}:{listener.getsockname()[1]}")
    with listener:
        server.run(sockets=[listener])


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only; a name can mean any address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
