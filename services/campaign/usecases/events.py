"""What campaign tells the others, and what templates see of the others' events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Protocol
from uuid import UUID

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rapport.campaign.v1 import events_pb2
from rapport.contacts.v1 import contacts_pb2
from rapport.contacts.v1 import events_pb2 as contacts_events
from rapport.events.v1.events_pb2 import Event
from rapport.type.v1.money_pb2 import Money
from sqlalchemy import Connection

from services.campaign.models import kit
from services.kit import outbox
from services.kit.events.payload import unpack
from services.kit.money import from_money
from services.kit.names import format_name
from services.kit.outbox import NewEvent
from services.kit.tables import KitTables
from services.kit.wire import from_timestamp

EVENT_TYPES = {"sent": "message.sent", "failed": "message.failed", "suppressed": "message.suppressed"}


class Batch(Protocol):
    """Give out events that had no effect yet, as services.kit.bus.EventBatch does."""

    def claim(self, connection: Connection, kit: KitTables) -> list[Event]:
        """Return the fresh events and record them as processed."""
        ...


class Finished(Protocol):
    """Name what a finished message tells."""

    @property
    def id(self) -> UUID:
        """Return its id."""
        ...

    @property
    def origin(self) -> str:
        """Return why it was sent."""
        ...

    @property
    def contact_id(self) -> UUID | None:
        """Return to whom."""
        ...

    @property
    def channel(self) -> str:
        """Return by which channel."""
        ...


def tell_finished(
    connection: Connection,
    finished: Iterable[tuple[Finished, str, str]],
    now: datetime,
    times: Mapping[UUID, datetime] = MappingProxyType({}),
) -> None:
    """Write the events of finished messages, given with their state and reason; other states tell nothing.

    times: when messages finished, by id, where that was not now.
    """
    events = [
        NewEvent(
            type=EVENT_TYPES[state],
            subject=format_name("messages", item.id),
            contact=item.contact_id,
            revision=1,
            occur_time=times.get(item.id, now),
            data=events_pb2.MessageFinished(
                message=format_name("messages", item.id),
                origin=item.origin,
                channel=item.channel,
                reason=reason,
            ),
        )
        for item, state, reason in finished
        if state in EVENT_TYPES
    ]
    outbox.append(connection, kit.outbox, events, record_time=now)


def event_types(event: Event, payload: Message) -> tuple[str, ...]:
    """Return the names by which a journey may wait for an event: its type, and for an activity the type of that."""
    if isinstance(payload, contacts_events.ActivityRecorded):
        return (event.type, payload.type)
    return (event.type,)


def describe(event: Event, payload: Message | None = None) -> dict[str, Any]:
    """Return what templates see of an event, as JSON: its type and time, and the fields of its payload.

    payload: of the event, where it is known. An activity shows its own type and fields. Money is
    `{amount: "12.5", currency_code: "VND"}`, times are ISO 8601.
    """
    payload = unpack(event) if payload is None else payload
    if isinstance(payload, contacts_events.ActivityRecorded):
        data: dict[str, Any] = {name: _value(value) for name, value in payload.fields.items()}
        kind = payload.type
    else:
        data, kind = _fields(payload), event.type
    return {
        **data,
        "type": kind,
        "subject": event.subject,
        "time": event.occur_time.ToDatetime(tzinfo=UTC).isoformat(),
    }


def _fields(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.is_repeated:
            found[field.name] = (
                {str(key): _value(item) for key, item in value.items()}
                if isinstance(value, Mapping) or hasattr(value, "items")
                else [_value(item) for item in value]
            )
        elif field.cpp_type != FieldDescriptor.CPPTYPE_MESSAGE or message.HasField(field.name):
            found[field.name] = _value(value)
    return found


def _value(value: Any) -> Any:
    match value:
        case Money():
            return {"amount": _plain(from_money(value)), "currency_code": value.currency_code}
        case Timestamp():
            return from_timestamp(value).isoformat()
        case Duration():
            return value.seconds + value.nanos / 1e9
        case contacts_pb2.AttributeValue():
            kind = value.WhichOneof("value")
            if kind == "strings_value":
                return list(value.strings_value.values)
            return _value(getattr(value, kind)) if kind else None
        case Message():
            return _fields(value)
        case bytes():
            return value.hex()
    return value


def _plain(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
