"""Open the socket that a service of ours listens on."""

from __future__ import annotations

import ipaddress
import socket

from rl_aesthetics.errors import UserError


def open_listener(host: str, port: int, *, protected: bool, how_to_protect: str) -> tuple[socket.socket, str]:
    """The listening socket, and its address as a URL.

    Args:
        host, port: where to listen; port 0 takes a free one.
        protected: whether it may be reached from other machines.
        how_to_protect: said where it can be, and may not.

    Raises:
        UserError: it can be reached from other machines and may not, or the address cannot be bound.
    """
    if not protected and not is_loopback(host):
        raise UserError(f"{host} can be reached from other machines and there is no token: {how_to_protect}")
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        raise UserError(f"cannot listen on {host}:{port}: {error}; choose another --port or --host") from error
    # asyncio does this for sockets that it opens itself. Else an answer's body waits up to 40 ms behind its headers,
    # until the client has acknowledged those (Nagle's algorithm and delayed acknowledgements).
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    name = f"[{host}]" if ":" in host else host
    return listener, f"http://{name}:{listener.getsockname()[1]}"


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only; a name can mean any address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
