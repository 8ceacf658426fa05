"""Ports for servers that tests start."""

import socket


def free_ports(count):
    """Numbers of so many ports of loopback that nobody listens on, all different."""
    listeners = [socket.socket() for _ in range(count)]
    for listener in listeners:
        listener.bind(("127.0.0.1", 0))
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports
