"""Events of contacts that are no more."""

from __future__ import annotations

from uuid import UUID

from rapport.contacts.v1 import events_pb2 as contact_events
from rapport.events.v1.events_pb2 import Event

from services.kit.bus.batch import EventBatch
from services.kit.names import new_id
from services.kit.wire import to_timestamp
from tests.support.stack import NOW


def parted(key: UUID, into: UUID | None) -> Event:
    """Build contact.merged, or contact.erased when `into` is None."""
    kind = "contact.erased" if into is None else "contact.merged"
    made = Event(id=str(new_id()), type=kind, source="contacts", contact=f"contacts/{key}", position=1)
    made.record_time.CopyFrom(to_timestamp(NOW))
    made.data.Pack(
        contact_events.ContactErased()
        if into is None
        else contact_events.ContactMerged(into=f"contacts/{into}")
    )
    return made


def batch(*pairs: tuple[UUID, UUID | None], consumer: str = "test.let_contacts_go") -> EventBatch:
    """Build a batch of such events."""
    return EventBatch(consumer, [parted(*pair) for pair in pairs])
