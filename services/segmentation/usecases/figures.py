"""Figures of the upkeep for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import Connection

from services.kit.telemetry.figures import gauge
from services.segmentation.store import figures as store


def upkeep_figures(connection: Connection, now: datetime) -> Iterable[GaugeMetricFamily]:
    """Return how late the passing of time is noticed, and how many contacts a plugin keeps waiting."""
    since = store.oldest_due(connection, now)
    yield gauge(
        "rapport_segmentation_upkeep_delay_seconds",
        "How long the contact that is longest due for an evaluation by time has been due.",
        (),
        [((), 0.0 if since is None else (now - since).total_seconds())],
    )
    yield gauge(
        "rapport_segmentation_waiting_contacts",
        f"Contacts that wait for a plugin that failed, counted up to {store.MOST}.",
        (),
        [((), store.count_waiting(connection))],
    )
