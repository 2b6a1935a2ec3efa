"""Events of other services, applied to profiles and memberships."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from rapport.campaign.v1.events_pb2 import EngagementReversed
from rapport.events.v1 import events_pb2
from sqlalchemy import Connection

from services.kit.bus.batch import EventBatch
from services.kit.events.payload import unpack
from services.segmentation.context import Service
from services.segmentation.models import kit
from services.segmentation.store import gone, locks, profiles, segments, vocabulary
from services.segmentation.usecases.decoding import Facts, decode, rerouted
from services.segmentation.usecases.evaluation import evaluate
from services.segmentation.usecases.parting import Parted, part

REVERSALS = ("message.click_reversed", "message.open_reversed")


def take_events(service: Service, batch: EventBatch) -> None:
    """Apply a batch of events: profiles, registry, memberships and the events that follow, in one transaction.

    Events of a contact that is not known yet are kept; they count from the moment that the contact is told of. Until
    then it has no profile and is a member of nothing.
    """
    with service.db.transaction() as connection:
        fresh = batch.claim(connection, kit)
        if late := reversed_events(fresh):
            # Those that come after what takes them back have no effect any more.
            batch.pass_over(connection, kit, late)
        if fresh:
            apply_events(service, connection, fresh)


def reversed_events(events: Sequence[events_pb2.Event]) -> list[UUID]:
    """Return the ids of events that others among these take back."""
    return [
        UUID(payload.event)
        for item in events
        if item.type in REVERSALS and isinstance(payload := unpack(item), EngagementReversed)
    ]


def apply_events(service: Service, connection: Connection, events: Sequence[events_pb2.Event]) -> None:
    """Apply events that had no effect yet, in the caller's transaction."""
    live = decode(item for item in events if not item.historical)
    past = decode(item for item in events if item.historical)
    leaving = bool(live.gone or past.gone)
    (locks.own_membership if leaving else locks.share_membership)(connection)
    _define(connection, live)
    _define(connection, past)
    now = service.clock.now()
    parted = part(service, connection, live.gone, past.gone, now) if leaving else Parted()
    targets = gone.targets(connection, live.contacts | past.contacts)
    live, past = rerouted(live, targets), rerouted(past, targets)
    heirs = parted.live | parted.past
    locks.lock_contacts(connection, live.contacts | past.contacts | heirs)
    if parted.past:
        evaluate(service, connection, sorted(parted.past), now=now, historical=True)
    for historical, facts, touched in _parts(live, past, parted.live):
        changed = touched.union(_project(service, connection, facts, now))
        evaluate(service, connection, sorted(changed), now=now, historical=historical)


def _parts(live: Facts, past: Facts, heirs: set[UUID]) -> list[tuple[bool, Facts, set[UUID]]]:
    """Cut a batch into parts that are historical or not, so that what each causes can be told as what it is.

    Live snapshots come before records of the past, which then find their contact, and those before live events.
    heirs: contacts that others were merged into, to be evaluated with the first live part.
    """
    if not past.contacts:
        return [(False, live, heirs)]
    return [
        (False, Facts(snapshots=live.snapshots), heirs),
        (True, past, set()),
        (False, Facts(events=live.events, retracted=live.retracted), set()),
    ]


def _define(connection: Connection, facts: Facts) -> None:
    changed = [
        vocabulary.define_attributes(connection, facts.attributes) if facts.attributes else False,
        vocabulary.define_event_types(connection, facts.event_types) if facts.event_types else False,
        vocabulary.define_consents(connection, facts.consents),
    ]
    if any(changed):
        segments.bump(connection, names=True)


def _project(service: Service, connection: Connection, facts: Facts, now: datetime) -> set[UUID]:
    """Store facts; returns the contacts for which a rule in force may now say something else."""
    changed = set(profiles.put_snapshots(connection, list(facts.snapshots.values()), now))
    if facts.events:
        fresh = profiles.add_events(connection, facts.events)
        read = service.plan(connection).event_types
        touched = {row.contact_id for row in facts.events if row.type in read}
        changed |= touched.intersection(fresh)
    if facts.retracted:
        # After what was added: a batch may hold an event and what takes it back.
        read = service.plan(connection).event_types
        removed = profiles.remove_events(connection, facts.retracted)
        changed |= {contact for contact, type_ in removed if type_ in read}
    return changed
