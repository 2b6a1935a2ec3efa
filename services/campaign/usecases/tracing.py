"""The trace of what leads to a message, from the event that starts a journey to the hand-over to a channel.

It is kept in the JSON that an entry or a single message has anyway, and only while it is recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from uuid import UUID

from services.campaign.domain.tracing import TRACE
from services.campaign.domain.triggers import Trigger
from services.campaign.store import journeys
from services.campaign.store.claims import Claim
from services.kit import context
from services.kit.runtime import Runtime
from services.kit.telemetry import spans
from services.kit.telemetry.spans import Kind


def carried(contact_id: UUID | None = None) -> dict[str, str]:
    """Return what the JSON of something that is to be done for a contact carries of the trace at hand."""
    trace = context.traceparent(contact_id)
    return {TRACE: trace} if context.is_sampled(trace) else {}


def carrying(trigger: Trigger) -> Trigger:
    """Return a trigger whose entry carries the trace of its event."""
    return replace(trigger, event={**trigger.event, **carried(trigger.contact_id)})


@contextmanager
def sending_batch(channel: str, count: int) -> Iterator[None]:
    """Make what a sender does with claimed messages one piece of work, for its logs and for whom it asks.

    It is a trace of its own, as messages of many traces are asked about at once; each is handed over in its own.
    """
    call, _ = spans.call_for("campaign.sender", [])
    attributes: dict[str, spans.Value] = {
        "messaging.system": channel,
        "messaging.batch.message_count": count,
    }
    with spans.work(call, name="campaign.sender batch", attributes=attributes, only_if_told=True):
        yield


@contextmanager
def handing_over(runtime: Runtime, channel: str, claims: Sequence[Claim]) -> Iterator[None]:
    """Continue the traces of messages while a channel gets them."""
    if spans.sink is None:
        yield
        return
    call, links = spans.call_for("campaign.sender", _causes(runtime, claims))
    attributes: dict[str, spans.Value] = {
        "messaging.system": channel,
        "messaging.batch.message_count": len(claims),
    }
    with spans.work(
        call, name="campaign.sender hand_over", kind=Kind.PRODUCER, links=links, attributes=attributes
    ):
        yield


def note_left(claims: Iterable[Claim]) -> None:
    """Note the messages that went on the wire, whatever became of them."""
    if (causes := context.causes()) is not None:
        causes.note(str(claim.contact_id) for claim in claims)


def _causes(runtime: Runtime, claims: Sequence[Claim]) -> list[tuple[str, str]]:
    entries = {claim.entry_id for claim in claims if claim.origin.startswith("journeys/")}
    with runtime.db.read() as connection:
        traces = journeys.traces_of(connection, entries)
    return [
        (
            str(claim.contact_id or ""),
            traces.get(claim.entry_id, "") if claim.content is None else str(claim.content.get(TRACE, "")),
        )
        for claim in claims
    ]
