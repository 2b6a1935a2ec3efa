"""What contacts tells the other services. No event holds an identity value: no name, number or street."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

from google.protobuf.message import Message
from rapport.contacts.v1 import events_pb2 as pb

from services.contacts.codec.contacts import encode_date, encode_place
from services.contacts.codec.schema import encode_activity_type, encode_attribute
from services.contacts.codec.values import encode_values
from services.contacts.domain.activities import Activity
from services.contacts.domain.attributes import ActivityType, Attribute, Value
from services.contacts.domain.consents import Decision
from services.contacts.domain.contact import Contact, Kind
from services.contacts.domain.identity import IdentityType
from services.contacts.domain.newcomers import Newcomers
from services.kit import outbox
from services.kit.names import format_name
from services.kit.outbox import NewEvent
from services.kit.wire import to_timestamp

_PLAIN = (
    "language_code",
    "time_zone",
    "region_code",
    "administrative_area",
    "locality",
    "sublocality",
    "postal_code",
    "gender",
    "lifecycle_stage",
    "industry",
    "occupation",
)


_plain_values = attrgetter(*_PLAIN)
_NOTHING: Mapping[str, Any] = {}


class ContactEvents:
    """Write the events of one batch of contacts.

    Most contacts of an import differ in their names and addresses only, which events do not hold: snapshots that
    are equal are made and serialized once.
    """

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._snapshots: dict[tuple[object, ...], pb.ContactChanged] = {}

    def changed(self, contact: Contact, *, created: bool) -> NewEvent:
        """Return `contact.created` or `contact.updated` with the contact's full snapshot.

        A contact that is made with a creation time in the past is historical.
        """
        past = created and contact.create_time < self._now
        return NewEvent(
            type="contact.created" if created else "contact.updated",
            subject=f"contacts/{contact.id}",
            contact=contact.id,
            revision=contact.revision,
            occur_time=contact.create_time if past else self._now,
            historical=past,
            data=self._snapshot(contact),
        )

    def _snapshot(self, contact: Contact) -> pb.ContactChanged:
        if contact.attributes or contact.birth_date is not None or contact.latitude is not None:
            # These hardly repeat.
            return snapshot(contact)
        key = (
            contact.kind,
            contact.has(IdentityType.EMAIL),
            contact.has(IdentityType.PHONE),
            contact.create_time,
            contact.tags,
            tuple((name, one.granted) for name, one in contact.consents.items()),
            _plain_values(contact),
        )
        known = self._snapshots.get(key)
        if known is None:
            known = self._snapshots[key] = snapshot(contact)
        return known


def created_text(newcomers: Newcomers) -> str:
    """Return `contact.created` of many contacts, as `outbox.append_text` takes them; each as ContactEvents makes it."""
    return outbox.made_text(
        "contact.created",
        [f"contacts/{key}" for key in newcomers.ids],
        newcomers.ids,
        _facts(newcomers),
        record_time=newcomers.now,
    )


def _facts(newcomers: Newcomers) -> list[tuple[Message, datetime]]:
    size, fields = len(newcomers.ids), newcomers.fields
    made = newcomers.create_times or [newcomers.now] * size
    emails, phones = newcomers.flags(IdentityType.EMAIL), newcomers.flags(IdentityType.PHONE)
    plain = [name for name in _PLAIN if name in fields]
    others: dict[str, Sequence[Any] | None] = {
        "kind": fields.get("kind"),
        "tags": newcomers.tags,
        "consents": newcomers.consents,
        "attributes": newcomers.attributes,
        "birth_date": fields.get("birth_date"),
        "latitude": fields.get("latitude"),
        "longitude": fields.get("longitude"),
    }
    given = {name: values for name, values in others.items() if values is not None}
    keys = [
        # Those who agree share one mapping of consents.
        list(map(id, values)) if name == "consents" else values
        for name, values in given.items()
    ]
    # The others hardly repeat.
    repeats = not {"attributes", "birth_date", "latitude"} & given.keys()
    known: dict[tuple[object, ...], tuple[Message, datetime]] = {}
    facts = []
    columns = (made, emails, phones, *(fields[name] for name in plain), *keys)
    for row, key in enumerate(zip(*columns, strict=True)):
        fact = known.get(key) if repeats else None
        if fact is None:
            fact = (
                _snapshot(
                    {name: value for name in plain if (value := fields[name][row])},
                    has_email=emails[row],
                    has_phone=phones[row],
                    create_time=made[row],
                    **{name: values[row] for name, values in given.items()},
                ),
                made[row],
            )
            if repeats:
                known[key] = fact
        facts.append(fact)
    return facts


def contact_changed(contact: Contact, *, created: bool, now: datetime) -> NewEvent:
    """Return the event of a single contact, as ContactEvents makes them."""
    return ContactEvents(now).changed(contact, created=created)


def contact_merged(absorbed: Contact, into: UUID, now: datetime) -> NewEvent:
    """Return `contact.merged` of a contact that was merged into another one."""
    return _parted("contact.merged", absorbed, now, pb.ContactMerged(into=format_name("contacts", into)))


def contact_erased(contact: Contact, now: datetime) -> NewEvent:
    """Return `contact.erased`."""
    return _parted("contact.erased", contact, now, pb.ContactErased())


def _parted(type_: str, contact: Contact, now: datetime, data: Message) -> NewEvent:
    return NewEvent(
        type=type_,
        subject=format_name("contacts", contact.id),
        contact=contact.id,
        revision=contact.revision + 1,
        occur_time=now,
        data=data,
    )


def snapshot(contact: Contact) -> pb.ContactChanged:
    """Return all that other services may know of a contact without asking."""
    return _snapshot(
        {name: value for name in _PLAIN if (value := getattr(contact, name))},
        has_email=contact.has(IdentityType.EMAIL),
        has_phone=contact.has(IdentityType.PHONE),
        create_time=contact.create_time,
        kind=contact.kind,
        tags=contact.tags,
        consents=contact.consents,
        attributes=contact.attributes,
        birth_date=contact.birth_date,
        latitude=contact.latitude,
        longitude=contact.longitude,
    )


def _snapshot(
    values: dict[str, Any],
    *,
    has_email: bool,
    has_phone: bool,
    create_time: datetime,
    kind: int = Kind.PERSON,
    tags: Sequence[str] = (),
    consents: Mapping[str, Decision] = _NOTHING,
    attributes: Mapping[str, Value] = _NOTHING,
    birth_date: date | None = None,
    latitude: float | None = None,
    longitude: float | None = None,
) -> pb.ContactChanged:
    if consents:
        values["consents"] = {key: "granted" if one.granted else "denied" for key, one in consents.items()}
    if attributes:
        values["attributes"] = encode_values(attributes)
    if birth_date is not None:
        values["birth_date"] = encode_date(birth_date)
    if (place := encode_place(latitude, longitude)) is not None:
        values["location"] = place
    return pb.ContactChanged(
        kind=kind,  # type: ignore[arg-type]
        has_email=has_email,
        has_phone=has_phone,
        create_time=to_timestamp(create_time),
        tags=tags,
        **values,
    )


def activity_recorded(activity: Activity) -> NewEvent:
    """Return `activity.recorded`."""
    return NewEvent(
        type="activity.recorded",
        subject=format_name("activities", activity.id),
        contact=activity.contact_id,
        revision=1,
        occur_time=activity.occur_time,
        historical=activity.historical,
        data=pb.ActivityRecorded(type=activity.type, fields=encode_values(activity.fields)),
    )


def attribute_defined(attribute: Attribute, now: datetime) -> NewEvent:
    """Return `attribute.defined`."""
    return NewEvent(
        type="attribute.defined",
        subject=format_name("attributes", attribute.id),
        contact=None,
        revision=1,
        occur_time=now,
        data=pb.AttributeDefined(attribute=encode_attribute(attribute)),
    )


def activity_type_defined(definition: ActivityType, now: datetime) -> NewEvent:
    """Return `activity_type.defined`."""
    return NewEvent(
        type="activity_type.defined",
        subject=format_name("activityTypes", definition.id),
        contact=None,
        revision=1,
        occur_time=now,
        data=pb.ActivityTypeDefined(activity_type=encode_activity_type(definition)),
    )
