"""What contacts tells the other services. No event holds an identity value: no name, number or street."""

from __future__ import annotations

from datetime import datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

from google.protobuf.message import Message
from rapport.contacts.v1 import events_pb2 as pb

from services.contacts.codec.contacts import encode_date, encode_place
from services.contacts.codec.schema import encode_activity_type, encode_attribute
from services.contacts.codec.values import encode_values
from services.contacts.domain.activities import Activity
from services.contacts.domain.attributes import ActivityType, Attribute
from services.contacts.domain.contact import Contact
from services.contacts.domain.identity import IdentityType
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
    values: dict[str, Any] = {name: value for name in _PLAIN if (value := getattr(contact, name))}
    values["kind"] = contact.kind
    values["has_email"] = contact.has(IdentityType.EMAIL)
    values["has_phone"] = contact.has(IdentityType.PHONE)
    values["create_time"] = to_timestamp(contact.create_time)
    values["tags"] = contact.tags
    values["consents"] = {
        key: "granted" if one.granted else "denied" for key, one in contact.consents.items()
    }
    values["attributes"] = encode_values(contact.attributes)
    if contact.birth_date is not None:
        values["birth_date"] = encode_date(contact.birth_date)
    place = encode_place(contact)
    if place is not None:
        values["location"] = place
    return pb.ContactChanged(**values)


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
