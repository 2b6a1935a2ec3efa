"""Figures of the ledger for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import Connection

from services.campaign.store import figures as store
from services.kit.telemetry.figures import gauge


def message_figures(connection: Connection, now: datetime) -> Iterable[GaugeMetricFamily]:
    """Return what waits for senders, and what they have in hand."""
    due = store.due(connection, now)
    yield gauge(
        "rapport_campaign_messages_due",
        f"Planned messages that could leave now, of each campaign or journey up to {store.MOST}.",
        ("channel",),
        [((item.channel,), item.count) for item in due],
    )
    yield gauge(
        "rapport_campaign_messages_due_seconds",
        "How long the oldest message of a channel could have left.",
        ("channel",),
        [((item.channel,), max(0.0, (now - item.since).total_seconds())) for item in due],
    )
    yield gauge(
        "rapport_campaign_messages_in_hand",
        "Messages that senders have claimed, or have on the wire.",
        ("state",),
        [((state,), count) for state, count in store.in_hand(connection).items()],
    )
