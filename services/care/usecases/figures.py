"""Figures of the upkeep for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import Connection

from services.care.store import delays
from services.kit.telemetry.figures import gauge


def upkeep_figures(connection: Connection, now: datetime) -> Iterable[GaugeMetricFamily]:
    """Return how late broken promises are noticed."""
    since = delays.oldest_broken(connection, now)
    yield gauge(
        "rapport_care_promise_delay_seconds",
        "How long the promise of an SLA that is longest broken has waited to be marked and told.",
        (),
        [((), 0.0 if since is None else (now - since).total_seconds())],
    )
