"""A service's API process inside the test: real ports, real interceptors, real database."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from rapport_client import Rapport

from services.kit import auth
from services.kit.auth import SERVICE_PERMISSIONS, add_tokens
from services.kit.clock import FixedClock
from services.kit.config import load_settings
from services.kit.process import ApiProcess, Ports
from services.kit.runtime import Runtime, make_runtime

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass
class Served:
    """A running API process, with its runtime, an almighty client and a clock that a test may move."""

    service: str
    runtime: Runtime
    clock: FixedClock
    ports: Ports
    rapport: Rapport
    folder: Path
    token: str
    """The owner's."""
    _clients: list[Rapport] = field(default_factory=list)

    @property
    def client(self) -> Any:
        """The service's client with the owner's token."""
        return self.rapport.service(self.service)

    @property
    def events(self) -> Any:
        """The client of the service's event stream."""
        return self.rapport.events(self.service)

    def client_with(self, *permissions: str, token: str | None = None) -> Any:
        """Return a client whose token has these permissions only, or which shows an arbitrary token."""
        if token is None:
            token = secrets.token_urlsafe(16)
            add_tokens(self.folder / "tokens.json", [(f"test-{token[:6]}", permissions, token)])
        rapport = _connect(self.ports, token)
        self._clients.append(rapport)
        return rapport.service(self.service)

    def close_clients(self) -> None:
        """Close the clients of `client_with`."""
        while self._clients:
            self._clients.pop().close()


@contextmanager
def serve(
    service: str,
    database_url: str,
    *,
    now: datetime = NOW,
    package: str | None = None,
    tokens: Iterable[tuple[str, Iterable[str], str]] = (),
    settings: Mapping[str, Any] | None = None,
) -> Iterator[Served]:
    """Serve a service from a database that has its schema, on free ports, until the block ends.

    now: where the business clock stands; tokens: more grants as (principal, permissions, token), beside the
    owner's and those of the services; settings: overrides by name.
    """
    with tempfile.TemporaryDirectory(prefix="rapport-test-") as name:
        folder = Path(name)
        owner = secrets.token_urlsafe(16)
        own_token = secrets.token_urlsafe(16)
        add_tokens(
            folder / "tokens.json",
            [
                ("owner", ("*",), owner),
                (f"service:{service}", SERVICE_PERMISSIONS.get(service, ()), own_token),
                *tokens,
            ],
        )
        values: dict[str, Any] = {
            "data_dir": folder,
            "tokens_file": folder / "tokens.json",
            "secret_key": secrets.token_urlsafe(32),
            "token": own_token,
            "host": "127.0.0.1",
            "shutdown_grace_seconds": 1.0,
            f"{service}_database_url": database_url,
        }
        clock = FixedClock(now)
        runtime = make_runtime(service, "api", load_settings(**(values | dict(settings or {}))), clock=clock)
        # Tokens that a test adds hold at once.
        recheck = patch.object(auth, "_RECHECK_SECONDS", 0.0)
        recheck.start()
        process = ApiProcess(package or f"services.{service}", runtime, Ports(0, 0, 0))
        try:
            ports = process.start()
            served = Served(service, runtime, clock, ports, _connect(ports, owner), folder, owner)
            try:
                yield served
            finally:
                served.close_clients()
                served.rapport.close()
        finally:
            process.stop()
            runtime.close()
            recheck.stop()


def _connect(ports: Ports, token: str) -> Rapport:
    return Rapport(
        address=f"127.0.0.1:{ports.api}", events_address=f"127.0.0.1:{ports.events}", token=token, timeout=20
    )
