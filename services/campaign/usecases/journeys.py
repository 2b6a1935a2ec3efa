"""Journeys: made, switched on and off, started by events, and taken step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from rapport.events.v1.events_pb2 import Event
from rapport.segmentation.v1 import events_pb2 as segmentation_events
from sqlalchemy import Connection

from services.campaign.channels import known_channels
from services.campaign.domain.ids import RuleError, check_id
from services.campaign.domain.journeys import (
    Journey,
    Send,
    Trigger,
    advance,
    check_steps,
    check_trigger,
    starts,
)
from services.campaign.domain.ledger import Counts, NewMessage
from services.campaign.models import contact_gone, kit
from services.campaign.store import journeys as store
from services.campaign.store import ledger
from services.campaign.usecases.checks import exists_already, refuse, require_pools, require_templates
from services.campaign.usecases.events import Batch, describe, event_types
from services.campaign.usecases.tracing import carrying
from services.kit import gone
from services.kit.errors import InvalidArgument, NotFound
from services.kit.events.payload import event_uuid, unpack
from services.kit.names import format_name, new_id, parse_name
from services.kit.runtime import Runtime
from services.kit.wire import from_timestamp

Counted = tuple[Journey, Counts]
_AT_ONCE = 500
_INVALID = "INVALID_JOURNEY"


def create_journey(runtime: Runtime, connection: Connection, given: Journey) -> Journey:
    """Store a new journey, inactive; raises AlreadyExists, NotFound, InvalidArgument (INVALID_JOURNEY)."""
    try:
        check_id(given.id)
    except RuleError as error:
        raise refuse(error, "journey_id") from error
    try:
        check_trigger(given.event_type, given.segment, given.reentry_after)
        check_steps(given.steps)
    except RuleError as error:
        raise InvalidArgument.field(f"journey.{error.field}", str(error), reason=_INVALID) from error
    channels = known_channels(runtime)
    sends = [(index, step) for index, step in enumerate(given.steps) if isinstance(step, Send)]
    for index, step in sends:
        if step.channel not in channels:
            raise InvalidArgument.field(
                f"journey.steps[{index}].send.channel",
                f"no plugin offers {step.channel!r}; there are: {', '.join(sorted(channels)) or 'none'}",
                reason=_INVALID,
            )
    require_templates(connection, {step.template_id for _, step in sends})
    require_pools(connection, {step.coupon_pool_id for _, step in sends})
    made = replace(given, active=False, activate_time=None, create_time=runtime.clock.now())
    if not store.insert(connection, made):
        raise exists_already(format_name("journeys", made.id))
    return made


def get_journey(runtime: Runtime, key: str) -> Counted:
    """Return a journey with its counts; raises NotFound."""
    with runtime.db.read() as connection:
        return _counted(connection, key)


def list_journeys(runtime: Runtime, *, after: str, count: int) -> list[Counted]:
    """Return the next journeys by id, with their counts."""
    with runtime.db.read() as connection:
        found = store.page(connection, after=after, count=count)
        counts = ledger.counts(connection, [item.origin for item in found])
    return [(item, counts[item.origin]) for item in found]


def set_active(runtime: Runtime, key: str, *, active: bool) -> Counted:
    """Let events start a journey from now on, or no more; raises NotFound."""
    with runtime.db.transaction() as connection:
        store.set_active(connection, key, active, runtime.clock.now())
        return _counted(connection, key)


def _counted(connection: Connection, key: str) -> Counted:
    found = store.get(connection, key)
    if found is None:
        raise NotFound.resource(format_name("journeys", key))
    return found, ledger.counts(connection, [found.origin])[found.origin]


def start_journeys(runtime: Runtime, batch: Batch) -> int:
    """Start the journeys that events of contacts trigger; events of the past start none. Returns how many entries."""
    with runtime.db.transaction() as connection:
        triggers = [trigger for event in batch.claim(connection, kit) if (trigger := _trigger(event))]
        now_of = gone.current(connection, contact_gone, {item.contact_id for item in triggers})
        triggers = [
            replace(item, contact_id=key) for item in triggers if (key := now_of[item.contact_id]) is not None
        ]
        if not triggers:
            return 0
        started = 0
        for journey in store.waiting_for(connection, {name for item in triggers for name in item.types}):
            wanted = [trigger for trigger in triggers if starts(journey, trigger)]
            started += _start(runtime, connection, journey, wanted)
        return started


def _trigger(event: Event) -> Trigger | None:
    if event.historical or not event.contact:
        return None
    payload = unpack(event)
    return Trigger(
        event_id=event_uuid(event),
        contact_id=parse_name(event.contact, "contacts"),
        types=event_types(event, payload),
        segment=payload.segment if isinstance(payload, segmentation_events.MembershipChanged) else "",
        record_time=from_timestamp(event.record_time),
        event=describe(event),
    )


def _start(runtime: Runtime, connection: Connection, journey: Journey, wanted: Sequence[Trigger]) -> int:
    if not wanted:
        return 0
    now = runtime.clock.now()
    if journey.reentry_after == timedelta(0):
        chosen: Sequence[Trigger] = wanted
    else:
        first: dict[UUID, Trigger] = {}
        for trigger in wanted:
            first.setdefault(trigger.contact_id, trigger)
        allowed = store.may_start(connection, journey.id, first.keys(), now, journey.reentry_after)
        chosen = [first[key] for key in first if key in allowed]
    return store.enrol(connection, journey.id, {new_id(): carrying(trigger) for trigger in chosen}, now)


def advance_journeys(runtime: Runtime) -> int:
    """Take the steps that are due by now, a few hundred entries at a time, and return how many entries moved."""
    moved = 0
    while True:
        now = runtime.clock.now()
        with runtime.db.transaction() as connection:
            due = store.take_due(connection, now, _AT_ONCE)
            if due:
                known = store.steps_of(connection, {entry.journey_id for entry in due})
                moves = [(entry, advance(known[entry.journey_id].steps, entry, now)) for entry in due]
                messages = [
                    _message(known[entry.journey_id].origin, entry.id, entry.contact_id, index, send)
                    for entry, step in moves
                    for index, send in step.sends
                ]
                ledger.plan(connection, messages, now)
                store.move(connection, moves, now)
        moved += len(due)
        if len(due) < _AT_ONCE:
            return moved


def _message(origin: str, entry_id: UUID, contact_id: UUID, index: int, send: Send) -> NewMessage:
    return NewMessage(
        id=new_id(),
        origin=origin,
        lane=origin,
        contact_id=contact_id,
        channel=send.channel,
        topic=send.topic,
        entry_id=entry_id,
        step=index,
        template_id=send.template_id,
        coupon_pool_id=send.coupon_pool_id,
    )
