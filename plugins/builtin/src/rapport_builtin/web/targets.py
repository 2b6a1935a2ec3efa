"""Which addresses a channel may connect to: a name is resolved once, and the connection goes to what was checked."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Iterable, Sequence
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

# Addresses of IPv6 that stand for one of IPv4: mapped, NAT64 (RFC 6052, RFC 8215), Teredo and 6to4. They would lead
# around the check, so they are refused whatever they stand for.
_TRANSLATED = tuple(
    ipaddress.IPv6Network(text)
    for text in ("::ffff:0:0/96", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16")
)
_MOST_ADDRESSES = 3
_LONGEST_URL = 2000


class TargetRefused(Exception):
    """Say why a URL is not one that the channel may send to."""


class TargetUnknown(Exception):
    """Say why a name has no address now."""


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return networks such as `10.0.0.0/8` or `127.0.0.1`; raises ValueError that quotes the one that is none."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def is_public(address: Address) -> bool:
    """Tell whether an address is one of the public Internet."""
    if isinstance(address, ipaddress.IPv6Address) and any(address in network for network in _TRANSLATED):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


class Targets:
    """Decide where connections may go: public addresses, and networks that the operator allows.

    allowed: networks beside the public Internet. plain: also http, without TLS.
    """

    def __init__(self, allowed: Sequence[Network], *, plain: bool) -> None:
        self._allowed = allowed
        self._schemes = ("https", "http") if plain else ("https",)

    def parse(self, url: str) -> SplitResult:
        """Return the parts of a URL; raises TargetRefused unless it is absolute, of an allowed scheme, without user."""
        if len(url) > _LONGEST_URL or not url.isascii() or any(ord(letter) <= 32 for letter in url):
            raise TargetRefused(
                "the URL is too long, or holds spaces, control characters or letters beyond ASCII"
            )
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise TargetRefused(f"the URL cannot be read: {error}") from None
        if parts.scheme not in self._schemes:
            raise TargetRefused(
                f"the URL's scheme is {parts.scheme[:20]!r}, not {' or '.join(self._schemes)}"
            )
        if not parts.hostname or port == 0:
            raise TargetRefused("the URL names no host and port")
        if "@" in parts.netloc:
            raise TargetRefused("the URL holds a user or password")
        return parts

    def resolve(self, host: str, port: int, seconds: float) -> list[str]:
        """Return the addresses of a host that may be connected to, asked for once.

        Raises TargetRefused when there are others only, TargetUnknown when there are none within the time.
        """
        addresses = [ipaddress.ip_address(text) for text in _look_up(host, port, seconds)]
        good = [address for address in addresses if self.allows(address)]
        if not good:
            raise TargetRefused(f"{host} is at {', '.join(map(str, addresses[:3]))}, which is not allowed")
        return [str(address) for address in good[:_MOST_ADDRESSES]]

    def allows(self, address: Address) -> bool:
        """Tell whether a connection to an address is allowed."""
        return any(address in network for network in self._allowed) or is_public(address)


def _look_up(host: str, port: int, seconds: float) -> list[str]:
    """Ask the system's resolver, which knows no time limit, in a thread that is left behind when it takes too long."""
    found: list[str] = []
    problem: list[str] = []

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            problem.append(str(error))
            return
        # Without the scope of link-local ones, which ip_address takes and a check would not see.
        found.extend(dict.fromkeys(str(answer[4][0]).partition("%")[0] for answer in answers))

    thread = threading.Thread(target=ask, name="resolver", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TargetUnknown(f"the address of {host} was not found within {seconds:g} s")
    if problem or not found:
        raise TargetUnknown(f"{host} has no address: {problem[0] if problem else 'none given'}")
    return list(found)
