"""Asks whether a port is free before something is started that needs it."""

from __future__ import annotations

import errno
import socket

from services.kit.supervise.errors import SupervisorError


def port_problem(host: str, port: int) -> str | None:
    """Return why nothing could listen on a TCP port now, None when it could."""
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        return f"{host} is not an address of this machine ({error})"
    for family, kind, protocol, _, address in infos[:1]:
        try:
            with socket.socket(family, kind, protocol) as probe:
                # As servers do: connections of a server that has just ended do not count.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "another program listens there"
            return error.strerror or str(error)
    return None


def require_free_port(
    host: str, port: int, setting: str, error: type[Exception] = SupervisorError, *, user: str = ""
) -> None:
    """Raise an error that names the port and the setting that changes it, unless the port is free."""
    problem = port_problem(host, port)
    if problem is not None:
        whose = f" of {user}" if user else ""
        raise error(f"port {port} on {host}{whose} cannot be used: {problem}. Free it, or change {setting}")
