"""Metrics of the senders for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Counter, Gauge, Histogram

from services.campaign.domain.circuit import CLOSED, HALF_OPEN, OPEN
from services.campaign.domain.ledger import FAILED, PLANNED, UNKNOWN
from services.campaign.store.claims import Result

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

RESULTS = Counter(
    "rapport_campaign_messages",
    "Messages that a sender was done with for now, by what it wrote into the ledger; retry: to be tried again.",
    ["channel", "state"],
)
HAND_OVER = Histogram(
    "rapport_campaign_hand_over_seconds",
    "Time to give a slice of messages, 250 at most, to a channel and to write down what became of the one before.",
    ["channel"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
RECOVERED = Counter(
    "rapport_campaign_messages_recovered",
    "Messages that a sender had in hand when it died, by what became of them; unknown: whether they left; "
    "failed: those that ended one sender after another.",
    ["state"],
)
for _state in (PLANNED, UNKNOWN, FAILED):
    # A counter that appears with its first count hides it from Prometheus's increase().
    RECOVERED.labels(_state)


def note_circuit(channel: str, state: str) -> None:
    """Show the state that a channel's circuit is in."""
    for known in (CLOSED, OPEN, HALF_OPEN):
        CIRCUIT.labels(channel, known).set(known == state)


def note_deferred(channel: str, reason: str) -> None:
    """Count a message that was put back; what follows a colon is the detail of a reason."""
    DEFERRED.labels(channel, reason.partition(":")[0]).inc()


def note_results(results: Iterable[Result]) -> None:
    """Count what became of messages; those that were put back without an attempt are counted as deferred."""
    for result in results:
        if result.state != PLANNED:
            RESULTS.labels(result.claim.channel, result.state).inc()
        elif result.tried:
            RESULTS.labels(result.claim.channel, "retry").inc()


def note_recovered(planned: int, unknown: int, failed: int) -> None:
    """Count what a dead sender had in hand: planned again, unknown, and failed."""
    RECOVERED.labels(PLANNED).inc(planned)
    RECOVERED.labels(UNKNOWN).inc(unknown)
    RECOVERED.labels(FAILED).inc(failed)
