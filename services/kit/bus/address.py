"""Where RabbitMQ is, as a setting says it; nothing here tells credentials to anyone."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from services.kit.errors import InvalidArgument

PORTS = {"amqp": 5672, "amqps": 5671}


@dataclass(frozen=True)
class Address:
    """Hold the nodes of a broker and the credentials; its text shows the former alone."""

    nodes: tuple[tuple[str, int], ...]
    virtual_host: str
    user: str = field(repr=False)
    password: str = field(repr=False)
    secure: bool

    def __str__(self) -> str:
        nodes = ", ".join(f"{host}:{port}" for host, port in self.nodes)
        return f"RabbitMQ at {nodes}, virtual host {self.virtual_host}"


def parse_address(text: str) -> Address:
    """Return the address in a URL, or of several with commas between, the nodes of one cluster.

    Raises InvalidArgument that does not repeat the URL, which holds a password.
    """
    try:
        parts = [urlsplit(one.strip()) for one in text.split(",") if one.strip()]
    except ValueError:
        raise _malformed() from None
    if not parts or any(part.scheme not in PORTS or not part.hostname for part in parts):
        raise _malformed()
    if len({(part.scheme, part.username, part.password, part.path) for part in parts}) > 1:
        raise InvalidArgument(
            "its nodes differ in more than host and port; name nodes of one cluster",
            reason="INVALID_AMQP_URL",
        )
    first = parts[0]
    return Address(
        tuple((part.hostname or "", _port(part)) for part in parts),
        unquote(first.path[1:]) or "/",
        unquote(first.username or "guest"),
        unquote(first.password or "guest"),
        first.scheme == "amqps",
    )


def _port(part: SplitResult) -> int:
    try:
        return part.port or PORTS[part.scheme]
    except ValueError:
        raise _malformed() from None


def _malformed() -> InvalidArgument:
    return InvalidArgument(
        "expected amqp://user:password@host:port/virtual-host, or amqps:// for TLS",
        reason="INVALID_AMQP_URL",
    )
