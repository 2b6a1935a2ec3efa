"""Metrics of the senders for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from services.campaign.domain.circuit import CLOSED, HALF_OPEN, OPEN

CIRCUIT = Gauge(
    "rapport_campaign_channel_circuit",
    "Circuit of a channel in this sender: 1 for the state that it is in, 0 for the others.",
    ["channel", "state"],
)
DEFERRED = Counter(
    "rapport_campaign_messages_deferred",
    "Messages put back for a rule, without an attempt, by reason.",
    ["channel", "reason"],
)


def note_circuit(channel: str, state: str) -> None:
    """Show the state that a channel's circuit is in."""
    for known in (CLOSED, OPEN, HALF_OPEN):
        CIRCUIT.labels(channel, known).set(known == state)


def note_deferred(channel: str, reason: str) -> None:
    """Count a message that was put back; what follows a colon is the detail of a reason."""
    DEFERRED.labels(channel, reason.partition(":")[0]).inc()
