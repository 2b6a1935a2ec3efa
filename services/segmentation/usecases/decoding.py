"""What the events of other services say, as rows of this one."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

from rapport.campaign.v1 import events_pb2 as campaign_events
from rapport.contacts.v1 import contacts_pb2
from rapport.contacts.v1 import events_pb2 as contact_events
from rapport.events.v1 import events_pb2
from rapport.sales.v1 import events_pb2 as sales_events

from services.kit.errors import InvalidArgument
from services.kit.events.payload import event_uuid, unpack
from services.kit.money import from_money
from services.kit.names import parse_name
from services.kit.wire import from_timestamp
from services.segmentation.rules import (
    Attribute,
    Event,
    EventType,
    PayloadField,
    ProfileError,
    Registry,
    RegistryError,
    encode_event,
)
from services.segmentation.rules.profile import checked_value, time_text
from services.segmentation.store.profiles import EventRow
from services.segmentation.vocabulary import CAMPAIGN_EVENT_TYPES, SHIPPED_EVENT_TYPES, event_type_of

_TYPES: dict[int, str] = {
    contacts_pb2.VALUE_TYPE_STRING: "string",
    contacts_pb2.VALUE_TYPE_INT: "int",
    contacts_pb2.VALUE_TYPE_DOUBLE: "double",
    contacts_pb2.VALUE_TYPE_BOOL: "bool",
    contacts_pb2.VALUE_TYPE_TIMESTAMP: "timestamp",
    contacts_pb2.VALUE_TYPE_STRINGS: "strings",
}


@dataclass
class Facts:
    """Collect what a batch of events says, each contact's newest snapshot once."""

    snapshots: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    events: list[EventRow] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)
    event_types: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    consents: set[str] = field(default_factory=set)
    gone: list[tuple[UUID, UUID | None]] = field(default_factory=list)
    """Contacts that were merged, with the one that remains, or erased, with None."""
    retracted: list[tuple[UUID, UUID]] = field(default_factory=list)
    """Contacts with the ids of events of theirs that turned out not to have happened."""

    @property
    def contacts(self) -> set[UUID]:
        """Return the contacts that snapshots and events are about."""
        return {
            *self.snapshots,
            *(row.contact_id for row in self.events),
            *(contact for contact, _ in self.retracted),
        }


def rerouted(facts: Facts, targets: Mapping[UUID, UUID | None]) -> Facts:
    """Return facts with the events of contacts that are gone as those of the contacts that remain.

    targets: the contact that remains, or None, of each that is gone. Snapshots of those are left out, as are events
    that belong to nobody any more.
    """
    if not targets:
        return facts
    return replace(
        facts,
        snapshots={key: row for key, row in facts.snapshots.items() if key not in targets},
        events=[
            row if target == row.contact_id else replace(row, contact_id=target)
            for row in facts.events
            if (target := targets.get(row.contact_id, row.contact_id)) is not None
        ],
        retracted=[
            (target, event)
            for contact, event in facts.retracted
            if (target := targets.get(contact, contact)) is not None
        ],
    )


def decode(events: Iterable[events_pb2.Event]) -> Facts:
    """Return what events say; raises InvalidArgument that names the event which cannot be read."""
    facts = Facts()
    for item in events:
        try:
            _decode(item, facts)
        except (ProfileError, RegistryError) as error:
            raise InvalidArgument(
                f"event {item.id} ({item.type} of {item.source}): {error}", reason="UNUSABLE_EVENT"
            ) from error
    return facts


def _decode(item: events_pb2.Event, facts: Facts) -> None:
    payload = unpack(item)
    match payload:
        case contact_events.ContactChanged():
            contact = parse_name(item.contact, "contacts", "contact")
            known = facts.snapshots.get(contact)
            if known is None or known["revision"] < item.revision:
                facts.snapshots[contact] = {
                    "contact_id": contact,
                    **_snapshot(payload),
                    "revision": item.revision,
                }
            facts.consents.update(payload.consents)
        case contact_events.ActivityRecorded():
            facts.events.append(_activity(item, payload))
        case contact_events.ContactMerged():
            absorbed = parse_name(item.contact, "contacts", "contact")
            facts.gone.append((absorbed, parse_name(payload.into, "contacts", "into")))
        case contact_events.ContactErased():
            facts.gone.append((parse_name(item.contact, "contacts", "contact"), None))
        case contact_events.AttributeDefined(attribute=defined):
            kind = _type(defined.type, f"attribute {defined.id}")
            Registry(attributes=(Attribute(defined.id, kind),))
            facts.attributes[defined.id] = kind
        case contact_events.ActivityTypeDefined(activity_type=activity):
            fields = [
                {
                    "name": declared.id,
                    "type": _type(declared.type, f"field {declared.id} of {activity.id}"),
                    "optional": declared.optional,
                }
                for declared in activity.fields
            ]
            Registry(event_types=(*SHIPPED_EVENT_TYPES, event_type_of(activity.id, fields)))
            facts.event_types[activity.id] = fields
        case sales_events.OrderPlaced() | sales_events.OrderReturned() | sales_events.PaymentReceived():
            if item.contact:
                facts.events.append(_sale(item, payload))
        case campaign_events.MessageEngaged():
            facts.events.append(_engagement(item, payload))
        case campaign_events.EngagementReversed():
            contact = parse_name(item.contact, "contacts", "contact")
            facts.retracted.append((contact, UUID(payload.event)))
        case _:
            raise InvalidArgument(
                f"event {item.id} ({item.type} of {item.source}) holds a {payload.DESCRIPTOR.full_name}, "
                "which is not expected of it",
                reason="UNUSABLE_EVENT",
            )


def _type(number: int, what: str) -> Any:
    try:
        return _TYPES[number]
    except KeyError:
        raise RegistryError(f"{what} has no type that rules know ({number})") from None


def _text(value: str, what: str) -> str | None:
    """Return a text as profiles hold it; an empty one says nothing."""
    return checked_value("string", value, what) if value else None


def _snapshot(payload: contact_events.ContactChanged) -> dict[str, Any]:
    organization = payload.kind == contacts_pb2.Contact.KIND_ORGANIZATION
    place = payload.location if payload.HasField("location") else None
    return {
        "has_email": payload.has_email,
        "has_phone": payload.has_phone,
        "kind": "organization" if organization else "person",
        "language_code": _text(payload.language_code, "language_code"),
        "region_code": _text(payload.region_code, "region_code"),
        "admin_area": _text(payload.administrative_area, "administrative_area"),
        "locality": _text(payload.locality, "locality"),
        "ward": _text(payload.sublocality, "sublocality"),
        "postal_code": _text(payload.postal_code, "postal_code"),
        "gender": _text(payload.gender, "gender"),
        "lifecycle_stage": _text(payload.lifecycle_stage, "lifecycle_stage"),
        "time_zone": _text(payload.time_zone, "time_zone"),
        "industry": _text(payload.industry, "industry"),
        "occupation": _text(payload.occupation, "occupation"),
        "birth_date": _date(payload),
        "latitude": place.latitude if place is not None else None,
        "longitude": place.longitude if place is not None else None,
        "create_time": from_timestamp(payload.create_time) if payload.HasField("create_time") else None,
        "attributes": {
            name: _json(_value(value, f"attribute {name}")[1])
            for name, value in payload.attributes.items()
            if value.WhichOneof("value")
        },
        "consents": {
            name: checked_value("string", decision, f"consent {name}")
            for name, decision in payload.consents.items()
        },
        "tags": list(checked_value("strings", list(payload.tags), "tags")),
    }


def _date(payload: contact_events.ContactChanged) -> date | None:
    given = payload.birth_date
    if not (given.year and given.month and given.day):
        return None
    try:
        return date(given.year, given.month, given.day)
    except ValueError as error:
        raise ProfileError(f"birth_date: {error}") from error


def _value(value: contacts_pb2.AttributeValue, what: str) -> tuple[str, Any]:
    """Return the type and the stored form of a value."""
    kind = value.WhichOneof("value")
    name = kind.removesuffix("_value") if kind else ""
    match name:
        case "timestamp":
            return name, from_timestamp(value.timestamp_value, what)
        case "strings":
            return name, checked_value(name, list(value.strings_value.values), what)
        case "":
            return name, None
        case _:
            return name, checked_value(name, getattr(value, f"{name}_value"), what)


def _json(value: Any) -> Any:
    return time_text(value) if isinstance(value, datetime) else value


def _activity(item: events_pb2.Event, payload: contact_events.ActivityRecorded) -> EventRow:
    values = {name: _value(value, f"{name} of {payload.type}") for name, value in payload.fields.items()}
    given = {name: pair for name, pair in values.items() if pair[1] is not None}
    # The service that recorded it has checked it against its type; the values tell their types themselves, so an
    # activity is understood even before its type is heard of.
    registry = _registry_of(payload.type, tuple(sorted((name, kind) for name, (kind, _) in given.items())))
    return _row(item, registry, payload.type, {name: value for name, (_, value) in given.items()})


def _engagement(item: events_pb2.Event, payload: campaign_events.MessageEngaged) -> EventRow:
    values: dict[str, Any] = {
        "origin": payload.origin,
        "channel": payload.channel,
        "topic": payload.topic,
    }
    if item.type == "message.clicked":
        values["link"] = payload.link
    return _row(item, _CAMPAIGN, item.type, values)


_CAMPAIGN = Registry(event_types=CAMPAIGN_EVENT_TYPES)


@lru_cache(maxsize=1024)
def _registry_of(name: str, fields: tuple[tuple[str, Any], ...]) -> Registry:
    return Registry(event_types=(EventType(name, tuple(PayloadField(*item) for item in fields)),))


def _sale(
    item: events_pb2.Event,
    payload: sales_events.OrderPlaced | sales_events.OrderReturned | sales_events.PaymentReceived,
) -> EventRow:
    money = payload.amount if isinstance(payload, sales_events.PaymentReceived) else payload.total
    values: dict[str, Any] = {"currency": money.currency_code}
    category = ""
    match payload:
        case sales_events.OrderPlaced():
            category = payload.category
            values |= {"source": payload.source, "line_count": payload.line_count}
            if payload.coupon_code:
                values["coupon_code"] = payload.coupon_code
        case sales_events.OrderReturned():
            values["line_count"] = payload.line_count
        case sales_events.PaymentReceived() if payload.method:
            values["method"] = payload.method
    # By hand, not by the registry as for activities: the bulk of all events is of these types.
    return EventRow(
        contact_id=parse_name(item.contact, "contacts", "contact"),
        event_id=event_uuid(item),
        type=item.type,
        category=_text(category, "category"),
        amount=checked_value(
            "double", from_money(money, "total") if money.currency_code else Decimal(0), "total"
        ),
        occurred_at=item.occur_time.ToDatetime(UTC),
        payload=unicodedata.normalize("NFC", json.dumps(values, ensure_ascii=False)),
    )


def _row(item: events_pb2.Event, registry: Registry, name: str, values: dict[str, Any]) -> EventRow:
    stored = encode_event(registry, Event(name, item.occur_time.ToDatetime(UTC), values))
    return EventRow(
        contact_id=parse_name(item.contact, "contacts", "contact"),
        event_id=event_uuid(item),
        type=stored.type,
        category=stored.category,
        amount=stored.amount,
        occurred_at=stored.occurred_at,
        payload=stored.payload,
    )
