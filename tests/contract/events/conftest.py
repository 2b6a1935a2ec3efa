"""The event stream of sales over a real port, with the relay that a worker would run."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from rapport.sales.v1 import sales_pb2
from rapport_client import Rapport

from services.kit.auth import add_tokens
from services.kit.events import Relay
from services.sales import models
from tests.support.postgres import DatabaseFactory
from tests.support.sales_data import NOON, contact, order
from tests.support.stack import Served, serve
from tests.support.waiting import until

STREAMS_PER_CALLER = 3


@dataclass
class Stream:
    """A served event stream, and what puts events into it."""

    served: Served
    relay: Relay

    @property
    def events(self) -> Any:
        """The client of the event stream with the owner's token."""
        return self.served.events

    def events_with(self, *permissions: str, token: str | None = None) -> Any:
        """Return a client of the event stream whose token has these permissions only, or is arbitrary."""
        if token is None:
            token = secrets.token_urlsafe(16)
            add_tokens(self.served.folder / "tokens.json", [(f"test-{token[:6]}", permissions, token)])
        ports = self.served.ports
        rapport = Rapport(
            address=f"127.0.0.1:{ports.api}",
            events_address=f"127.0.0.1:{ports.events}",
            token=token,
            timeout=20,
        )
        self.served._clients.append(rapport)
        return rapport.events(self.served.service)

    def place_orders(self, count: int) -> list[sales_pb2.Order]:
        """Place orders, one event each, and return them once all have a position."""
        placed = [
            self.served.client.place_order(order=order(secrets.token_hex(8), contact=contact())).order
            for _ in range(count)
        ]
        until(lambda: self.events.get_stream().unpositioned_events == 0, "all events have a position")
        return placed

    def head(self) -> Any:
        """Return the cursor behind the newest event."""
        return self.events.get_stream().head

    def subscriptions(self) -> dict[str, Any]:
        """Return the durable subscriptions by name."""
        return {item.name: item for item in self.events.get_stream().subscriptions}

    def restart_relay(self, purge_seconds: float) -> None:
        """Have old events purged so often."""
        self.relay.stop()
        self.relay = _relay(self.served, purge_seconds)

    def timeline(self) -> UUID:
        """Return the present timeline."""
        return UUID(self.head().timeline)


def _relay(served: Served, purge_seconds: float) -> Relay:
    relay = Relay(
        served.runtime.db.engine,
        models.kit,
        served.clock,
        retention_days=served.runtime.settings.event_retention_days,
        purge_seconds=purge_seconds,
    )
    relay.start()
    return relay


@contextmanager
def _stream(url: str) -> Iterator[Stream]:
    with serve("sales", url, now=NOON, settings={"event_streams_per_caller": STREAMS_PER_CALLER}) as served:
        served.client.batch_upsert_products(products=[{"code": "A", "title": "Boot"}])
        made = Stream(served, _relay(served, 3600.0))
        try:
            yield made
        finally:
            made.relay.stop()


@pytest.fixture(scope="module")
def stream(make_module_database: DatabaseFactory) -> Iterator[Stream]:
    """A stream that the tests of a module share: look at your own events and subscriptions only."""
    with _stream(make_module_database.with_tables("sales")) as made:
        yield made


@pytest.fixture
def own_stream(make_database: DatabaseFactory) -> Iterator[Stream]:
    """A stream of the test's own, to purge or restore."""
    with _stream(make_database.with_tables("sales")) as made:
        yield made
