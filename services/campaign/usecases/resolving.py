"""Decisions on messages of which nobody knows whether they were sent, one by one or many at once; each is kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from services.campaign.domain.campaigns import CANCELLED as CAMPAIGN_CANCELLED
from services.campaign.domain.journey_states import CANCELLED as JOURNEY_CANCELLED
from services.campaign.domain.ledger import CAMPAIGNS, JOURNEYS, REQUESTS, UNKNOWN, Message
from services.campaign.domain.resolutions import (
    AS_FAILED,
    AS_RETRY,
    AS_SENT,
    STATE_AFTER,
    Doubted,
    Resolution,
)
from services.campaign.store import campaigns, caps, journeys, ledger
from services.campaign.store import resolutions as store
from services.campaign.usecases import attribution, events
from services.kit import context
from services.kit.errors import FailedPrecondition, InvalidArgument, NotFound
from services.kit.names import format_name, new_id
from services.kit.runtime import Runtime

AT_ONCE = 5_000
"""So many messages are decided on in one transaction."""


def resolve_message(runtime: Runtime, key: UUID, resolution: str, comment: str = "") -> Message:
    """Decide what became of an unknown message: AS_SENT, AS_FAILED, or AS_RETRY to send it again.

    The same decision again changes nothing. Raises NotFound, FailedPrecondition (MESSAGE_STATE).
    """
    now = runtime.clock.now()
    with runtime.db.transaction() as connection:
        _own(connection, resolution)
        found = ledger.get(connection, key, lock=True)
        if found is None:
            raise NotFound.resource(format_name("messages", key))
        if found.state == STATE_AFTER[resolution]:
            return found
        if found.state != UNKNOWN:
            raise _state_error(found, "only a message whose state is unknown is resolved")
        kind, _, owner = found.origin.partition("/")
        if resolution == AS_RETRY and (why := _cancelled(connection, kind, owner)):
            raise _state_error(found, f"its {why} is cancelled, so it is not sent again")
        [settled] = _settle(connection, [key], resolution, now)
        store.insert(
            connection,
            Resolution(
                id=new_id(),
                origin=found.origin,
                message_id=key,
                resolution=resolution,
                comment=comment,
                resolver=context.principal(),
                resolve_time=now,
                message_count=1,
            ),
        )
        return settled


def resolve_messages(
    runtime: Runtime, connection: Connection, doubted: Doubted, resolution: str, comment: str
) -> tuple[int, int]:
    """Decide what became of the oldest AT_ONCE of the messages in doubt; returns how many, and how many are left.

    Raises NotFound, InvalidArgument for an origin that is none, FailedPrecondition (CAMPAIGN_STATE, JOURNEY_STATE).
    """
    _own(connection, resolution)
    _check(connection, doubted.origin, resolution)
    now = runtime.clock.now()
    keys = store.take(connection, doubted, AT_ONCE)
    if keys:
        _settle(connection, keys, resolution, now)
        store.insert(
            connection,
            Resolution(
                id=new_id(),
                origin=doubted.origin,
                channel=doubted.channel,
                planned_before=doubted.before,
                resolution=resolution,
                comment=comment,
                resolver=context.principal(),
                resolve_time=now,
                message_count=len(keys),
            ),
        )
    return len(keys), store.count(connection, doubted)


def count_doubted(runtime: Runtime, doubted: Doubted, resolution: str) -> int:
    """Return how many messages are in doubt; raises what resolve_messages would."""
    with runtime.db.transaction() as connection:
        _check(connection, doubted.origin, resolution)
        return store.count(connection, doubted)


def list_resolutions(
    runtime: Runtime, *, origin: str, before: UUID | None, count: int
) -> Sequence[Resolution]:
    """Return the next decisions, newest first."""
    with runtime.db.read() as connection:
        return store.page(connection, origin=origin, before=before, count=count)


def _own(connection: Connection, resolution: str) -> None:
    """Own what a resolution changes beside messages, before any of them is locked: others take both in this order."""
    if resolution == AS_SENT:
        attribution.own(connection)


def _settle(connection: Connection, keys: Sequence[UUID], resolution: str, now: datetime) -> list[Message]:
    settled = store.settle(connection, keys, resolution, now)
    if resolution == AS_RETRY:
        ledger.notify(connection)
    if resolution == AS_FAILED:
        # What certainly did not leave takes no place under a frequency cap.
        caps.give_back(connection, [(item.contact_id, item.id) for item in settled if item.contact_id])
    if resolution == AS_SENT:
        # Orders that came meanwhile did not count these.
        attribution.renew_sent(connection, keys)
    times = {item.id: item.send_time for item in settled if item.send_time is not None}
    events.tell_finished(connection, [(item, item.state, item.reason) for item in settled], now, times)
    return settled


def _check(connection: Connection, origin: str, resolution: str) -> None:
    kind, _, key = origin.partition("/")
    if origin == REQUESTS:
        return
    if kind not in (CAMPAIGNS, JOURNEYS):
        raise InvalidArgument.field(
            "origin", f"must be 'campaigns/…', 'journeys/…' or 'requests', got {origin!r}"
        )
    if (campaigns if kind == CAMPAIGNS else journeys).get(connection, key) is None:
        raise NotFound.resource(origin)
    if resolution == AS_RETRY and (what := _cancelled(connection, kind, key)):
        raise FailedPrecondition(
            f"{origin} is cancelled, so nothing of it is sent again", reason=f"{what.upper()}_STATE"
        )


def _cancelled(connection: Connection, kind: str, key: str) -> str:
    """Return what owns messages and was cancelled, in a word, else ""; nobody cancels it in this transaction."""
    if kind == CAMPAIGNS:
        campaign = campaigns.get(connection, key, share=True)
        return "campaign" if campaign is not None and campaign.state == CAMPAIGN_CANCELLED else ""
    if kind == JOURNEYS:
        journey = journeys.lock(connection, key)
        return "journey" if journey is not None and journey.state == JOURNEY_CANCELLED else ""
    return ""


def _state_error(found: Message, why: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"{format_name('messages', found.id)} is {found.state}: {why}",
        reason="MESSAGE_STATE",
        metadata={"state": found.state},
    )
