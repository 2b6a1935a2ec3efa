"""Where the services are: from arguments, the environment, or the file that a running laptop stack leaves."""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rapport_client.tls import Tls

SERVICES = ("contacts", "sales", "segmentation", "campaign", "care")
DEFAULT_BASE_PORT = 7400
_EVENTS_OFFSET = 10


@dataclass(frozen=True, slots=True)
class Location:
    """Say where the services are and how to prove who calls.

    address, events_address: `host:port` with `{service}` and `{port}` filled in for each service; several with commas
    between, whose hosts are then IP addresses, when each service has several processes. `{port+50}` is the port 50
    further on, where the second process on one machine listens.
    """

    address: str
    events_address: str
    base_port: int
    token: str

    def api(self, service: str) -> str:
        """Return the address of a service's API, as gRPC takes it."""
        return _fill(self.address, service, _port(self.base_port, service))

    def events(self, service: str) -> str:
        """Return the address of a service's event stream, as gRPC takes it; raises ValueError when it is not known."""
        template = self.events_address or (self.address if "{port}" in self.address else "")
        if not template:
            raise ValueError(
                f"the event streams' address does not follow from {self.address!r}: "
                "set events_address or RAPPORT_EVENTS_ADDRESS"
            )
        return _fill(template, service, _port(self.base_port, service) + _EVENTS_OFFSET)


def _port(base_port: int, service: str) -> int:
    if service not in SERVICES:
        raise ValueError(f"no service {service!r}; there are {', '.join(SERVICES)}")
    return base_port + 1 + SERVICES.index(service)


class _Fields(dict[str, object]):
    def __missing__(self, key: str) -> object:
        offset = re.fullmatch(r"port\+([0-9]{1,5})", key)
        if offset is None:
            raise KeyError(key)
        return int(str(self["port"])) + int(offset[1])


def _fill(template: str, service: str, port: int) -> str:
    try:
        filled = template.format_map(_Fields(service=service, port=port))
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(
            f"address {template!r}: only {{service}}, {{port}} and such as {{port+50}} can be filled in"
        ) from error
    addresses = [part.strip() for part in filled.split(",")]
    return filled if len(addresses) == 1 else f"ipv{_version(addresses)}:{','.join(addresses)}"


def _version(addresses: Sequence[str]) -> int:
    """Return which IP version all the addresses have; raises ValueError: gRPC takes no list of names."""
    versions: set[int] = set()
    for address in addresses:
        host, _, port = address.rpartition(":")
        try:
            versions.add(ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).version)
        except ValueError:
            versions.add(0)
        if not port.isdecimal():
            versions.add(0)
    if len(versions) > 1 or 0 in versions:
        raise ValueError(
            f"addresses {', '.join(addresses)}: several need an IP address (all of one version) and a port each; "
            "a name that stands for several is given alone"
        )
    return versions.pop()


def locate(
    address: str | None = None,
    token: str | None = None,
    *,
    events_address: str | None = None,
    base_port: int | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Location:
    """Find the services.

    An argument wins over the environment (RAPPORT_ADDRESS, RAPPORT_EVENTS_ADDRESS, RAPPORT_BASE_PORT,
    RAPPORT_TOKEN), which wins over the `client.json` of a running laptop stack: that in RAPPORT_DATA_DIR when
    this is set, else in `.rapport` of `folder` (the working directory) or of a folder above it. The token
    in that file is used only with the address in it, as it must not be shown to anybody
    else. Raises ValueError when no address is found, or the file is malformed.
    """
    env = os.environ if environment is None else environment
    given = address or env.get("RAPPORT_ADDRESS", "")
    given_token = token if token is not None else env.get("RAPPORT_TOKEN", "")
    given_events = events_address or env.get("RAPPORT_EVENTS_ADDRESS", "")
    port = base_port or _number(env.get("RAPPORT_BASE_PORT", ""))
    if given:
        return Location(given, given_events, port or DEFAULT_BASE_PORT, given_token)
    start = folder or Path.cwd()
    data_dir = env.get("RAPPORT_DATA_DIR", "")
    places = [start / data_dir] if data_dir else [place / ".rapport" for place in (start, *start.parents)]
    for place in places:
        file = place / "client.json"
        if file.is_file():
            found = _read(file)
            return Location(
                found.address,
                given_events or found.events_address,
                port or found.base_port,
                given_token or found.token,
            )
    where = f"with RAPPORT_DATA_DIR={data_dir}" if data_dir else "in this folder or one above it"
    raise ValueError(
        f"no Rapport found: start one with `rapport up` {where}, "
        "or set RAPPORT_ADDRESS (such as 127.0.0.1:{port}) and RAPPORT_TOKEN"
    )


def tls_of_environment(environment: Mapping[str, str] | None = None) -> Tls | None:
    """Return the files that RAPPORT_TLS_CA_FILE, RAPPORT_TLS_CERT_FILE and RAPPORT_TLS_KEY_FILE name.

    None without the first: calls then go in the clear.
    """
    env = os.environ if environment is None else environment
    ca, certificate, key = (
        Path(name) if (name := env.get(f"RAPPORT_TLS_{kind}_FILE")) else None
        for kind in ("CA", "CERT", "KEY")
    )
    return None if ca is None else Tls(ca, certificate, key)


def _number(text: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal():
        raise ValueError(f"RAPPORT_BASE_PORT: expected a number, got {text!r}")
    return int(text)


def _read(file: Path) -> Location:
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
        return Location(
            address=str(raw["address"]),
            events_address=str(raw.get("events_address", "")),
            base_port=int(raw.get("base_port", DEFAULT_BASE_PORT)),
            token=str(raw["token"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ValueError(
            f"{file} cannot be used ({problem}): expected a JSON object with address, base_port and token; "
            "`rapport up` writes it anew, or set RAPPORT_ADDRESS and RAPPORT_TOKEN"
        ) from error
