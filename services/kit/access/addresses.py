"""By which network address a caller without a token is counted."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from urllib.parse import unquote


def caller_address(peer: str) -> str:
    """Return the address in a peer as gRPC names it, without its port: `ipv4:192.0.2.1`, `ipv6:2001:db8::/64`.

    Of IPv6 the network: who has one address has 2^64, and would be another caller with each.
    """
    address = peer.rpartition(":")[0]
    if not address.startswith("ipv6:"):
        return address
    try:
        found = IPv6Address(unquote(address.removeprefix("ipv6:")).strip("[]"))
    except ValueError:
        return address
    if found.ipv4_mapped is not None:
        return f"ipv4:{found.ipv4_mapped}"
    return "ipv6:::1" if found.is_loopback else f"ipv6:{IPv6Network((int(found), 64), strict=False)}"
