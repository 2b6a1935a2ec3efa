"""Figures that are read from a service's database when Prometheus asks: backlogs and delays.

The API processes show them, so that they are there when the worker is not. Every replica shows the same, so a query
takes their maximum. Delays are by the business clock.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Connection

from services.kit.clock import Clock
from services.kit.db import Database, make_engine
from services.kit.events import backlog
from services.kit.log import safe_summary
from services.kit.tables import KitTables

_log = logging.getLogger(__name__)

PATIENCE_SECONDS = 3.0
"""How long one statement may take: a scrape must come to its end, however the database fares."""

Read = Callable[[Connection, datetime], Iterable[GaugeMetricFamily]]


class Figures(Collector):
    """Show what functions read of a database, on a connection of its own.

    Who waits for one of the pool waits longest when the figures matter most.
    """

    def __init__(self, url: str, clock: Clock, reads: Iterable[Read], *, name: str) -> None:
        """url: of the database; reads: return gauges; name: of the connection, for those who look at the server."""
        self._db = Database(
            make_engine(
                url,
                pool_size=1,
                application_name=name,
                statement_timeout_seconds=PATIENCE_SECONDS,
                connect_timeout_seconds=round(PATIENCE_SECONDS),
            )
        )
        self._clock = clock
        self._reads = list(reads)
        self._lock = threading.Lock()
        self._registry: CollectorRegistry | None = None

    def start(self, registry: CollectorRegistry = REGISTRY) -> None:
        """Show the figures from now on."""
        registry.register(self)
        self._registry = registry

    def stop(self) -> None:
        """Show them no more."""
        if self._registry is not None:
            self._registry.unregister(self)
            self._registry = None
        self._db.close()

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return nothing, lest registering reads the database."""
        return ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the figures of this moment; those that cannot be read are missing."""
        with self._lock:
            found, readable = self._collect()
        yield from found
        yield gauge(
            "rapport_figures_readable",
            "1 when the figures below could be read from the database, else 0.",
            (),
            [((), float(readable))],
        )

    def _collect(self) -> tuple[list[GaugeMetricFamily], bool]:
        found: list[GaugeMetricFamily] = []
        try:
            with self._db.read() as connection:
                now = self._clock.now()
                for read in self._reads:
                    found.extend(read(connection, now))
        except Exception as error:
            _log.warning("figures cannot be read: %s", safe_summary(error))
            return found, False
        return found, True


def gauge(
    name: str, text: str, labels: Iterable[str], values: Iterable[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    """Return a gauge with a value for each set of labels."""
    family = GaugeMetricFamily(name, text, labels=list(labels))
    for names, value in values:
        family.add_metric(list(names), value)
    return family


def event_figures(kit: KitTables) -> Read:
    """Return what reads how far the events of a service are: to their place in the stream, and to their consumers."""

    def read(connection: Connection, now: datetime) -> Iterable[GaugeMetricFamily]:
        waiting, since = backlog.unpositioned(connection, kit)
        lags = backlog.lags(connection, kit)
        dead = backlog.dead_letters(connection, kit)
        yield gauge(
            "rapport_outbox_waiting_events",
            f"Events without a place in the stream yet, counted up to {backlog.MOST}.",
            (),
            [((), waiting)],
        )
        yield gauge(
            "rapport_outbox_waiting_seconds",
            "How long the oldest event without a place in the stream has waited.",
            (),
            [((), _seconds(since, now))],
        )
        yield gauge(
            "rapport_consumer_lag_events",
            "Positions of the stream that a consumer is behind.",
            ("consumer",),
            [((lag.consumer,), lag.events) for lag in lags],
        )
        yield gauge(
            "rapport_consumer_lag_seconds",
            "Age of the oldest event that a consumer has not acknowledged.",
            ("consumer",),
            [((lag.consumer,), _seconds(lag.since, now)) for lag in lags],
        )
        yield gauge(
            "rapport_dead_letters_kept",
            f"Events that a consumer of this service gave up and that are kept, counted up to {backlog.MOST}.",
            ("consumer",),
            [((consumer,), count) for consumer, count in dead],
        )

    return read


def _seconds(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())
