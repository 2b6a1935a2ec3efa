"""Journeys: events start them, and are noted for those who wait for one, or may leave because of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from rapport.events.v1.events_pb2 import Event
from rapport.segmentation.v1 import events_pb2 as segmentation_events
from sqlalchemy import Connection

from services.campaign.domain.conditions import holds
from services.campaign.domain.journeys import Journey, starts
from services.campaign.domain.reentry import always_starts
from services.campaign.domain.steps import numbered
from services.campaign.domain.triggers import Trigger
from services.campaign.models import contact_gone, kit
from services.campaign.store import entries as store
from services.campaign.store import journeys
from services.campaign.usecases import contact_dates, evergreen
from services.campaign.usecases.events import Batch, describe, event_types
from services.campaign.usecases.tracing import carrying
from services.kit import gone
from services.kit.events.payload import event_uuid, unpack
from services.kit.names import new_id, parse_name
from services.kit.runtime import Runtime
from services.kit.wire import from_timestamp


def start_journeys(runtime: Runtime, batch: Batch) -> int:
    """Start the journeys that events of contacts trigger; events of the past start none. Returns how many entries."""
    with runtime.db.transaction() as connection:
        events = batch.claim(connection, kit)
        now_of = gone.current(
            connection,
            contact_gone,
            {parse_name(name, "contacts") for name in {event.contact for event in events} if name},
        )
        contact_dates.learn(connection, events, now_of)
        told = [(event, trigger) for event in events if (trigger := _seen(event, now_of)) is not None]
        if not told:
            return 0
        now = runtime.clock.now()
        types = {name for _, trigger in told for name in trigger.types}
        waiting = journeys.waiting_for(connection, types)
        heard = store.heard(connection, types)
        # To describe an event costs more than all else that is done with it, and of most nobody wants to know.
        wanted = heard.union(journey.event_type for journey in waiting)
        triggers = [
            trigger if wanted.isdisjoint(trigger.types) else replace(trigger, event=describe(event))
            for event, trigger in told
        ]
        started = 0
        for journey in waiting:
            some = [
                trigger
                for trigger in triggers
                if starts(journey, trigger) and holds(journey.condition, trigger.event)
            ]
            started += start(runtime, connection, journey, some)
        # After the starts: what a batch tells later may be waited for by who starts in it.
        if heard:
            store.signal(connection, triggers, now)
        evergreen.add_members(runtime, connection, triggers)
        return started


def trigger_of(event: Event) -> Trigger | None:
    """Return what an event may start or end; None for one of the past, or of nobody."""
    if (trigger := _bare(event)) is None:
        return None
    return replace(trigger, event=describe(event))


def _bare(event: Event) -> Trigger | None:
    """Return what an event may start or end, not described."""
    if event.historical or not event.contact:
        return None
    payload = unpack(event)
    return Trigger(
        event_id=event_uuid(event),
        contact_id=parse_name(event.contact, "contacts"),
        types=event_types(event, payload),
        segment=payload.segment if isinstance(payload, segmentation_events.MembershipChanged) else "",
        record_time=from_timestamp(event.record_time),
        event={},
    )


def _seen(event: Event, now_of: Mapping[UUID, UUID | None]) -> Trigger | None:
    """Return what an event may start or end for the contact that remains of its own; None when none does."""
    trigger = _bare(event)
    if trigger is None or (key := now_of[trigger.contact_id]) is None:
        return None
    return trigger if key == trigger.contact_id else replace(trigger, contact_id=key)


def start(runtime: Runtime, connection: Connection, journey: Journey, wanted: Sequence[Trigger]) -> int:
    """Start a journey for what happened to contacts, as far as their last starts allow; returns how many entries."""
    if not wanted:
        return 0
    now = runtime.clock.now()
    if always_starts(journey):
        chosen: Sequence[Trigger] = wanted
    else:
        first: dict[UUID, Trigger] = {}
        for trigger in wanted:
            first.setdefault(trigger.contact_id, trigger)
        allowed = store.may_start(connection, journey, first.keys(), now)
        chosen = [first[key] for key in first if key in allowed]
    begin = numbered(journey.steps)[0].id
    groups: dict[bool, dict[UUID, Trigger]] = {False: {}, True: {}}
    for trigger in chosen:
        groups[journey.holds_out(trigger.contact_id)][new_id()] = carrying(trigger)
    return sum(
        store.enrol(connection, journey, begin, some, now, held_out=held_out)
        for held_out, some in groups.items()
    )
