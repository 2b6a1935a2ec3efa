"""Dates of contacts that start journeys: taken from what contacts tells, and read once for those from before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date
from uuid import UUID

from google.protobuf.message import Message
from rapport.contacts.v1 import events_pb2 as contact_events
from rapport.events.v1.events_pb2 import Event
from sqlalchemy import Connection

from services.campaign.domain.localtime import find_zone
from services.campaign.domain.triggers import BIRTH_DATE
from services.campaign.models import contact_gone
from services.campaign.store import dates as store
from services.kit import gone
from services.kit.events.payload import unpack
from services.kit.names import parse_name
from services.kit.runtime import Runtime
from services.kit.wire import from_timestamp

_PAGE = 1000
_PAGES_AT_ONCE = 20


def learn(connection: Connection, events: Sequence[Event], now_of: Mapping[UUID, UUID | None]) -> None:
    """Take the dates that journeys ask for from what contacts tells of its contacts, also of the past."""
    told = [event for event in events if event.type in ("contact.created", "contact.updated")]
    attributes = store.wanted(connection) if told else []
    if not attributes:
        return
    known = []
    for event in told:
        payload = unpack(event)
        key = now_of[parse_name(event.contact, "contacts")]
        # An old name's last news is older than what its heir tells of itself.
        if (
            isinstance(payload, contact_events.ContactChanged)
            and key is not None
            and event.contact.endswith(str(key))
        ):
            known += [
                store.Known(name, key, _date(payload, name), payload.time_zone, event.revision)
                for name in attributes
            ]
    store.learn(connection, known)


def _date(contact: Message, attribute: str) -> date | None:
    """Return the date that a contact, or what is told of one, has under a name; None for none."""
    holder: contact_events.ContactChanged = contact  # type: ignore[assignment]
    try:
        if attribute == BIRTH_DATE:
            born = holder.birth_date
            return date(born.year, born.month, born.day) if holder.HasField("birth_date") else None
        value = holder.attributes.get(attribute)
        if value is None or not value.HasField("timestamp_value"):
            return None
        zone = find_zone(holder.time_zone) or UTC
        return from_timestamp(value.timestamp_value).astimezone(zone).date()
    except (ValueError, OverflowError):
        return None


def read_contacts(runtime: Runtime) -> int:
    """Read the dates of contacts from before a journey asked for them, some pages at a time; returns how many contacts.

    Raises the client's errors.
    """
    total = 0
    with runtime.db.read() as connection:
        todo = store.unfilled(connection)
    for attribute, start in todo:
        token = start
        for _ in range(_PAGES_AT_ONCE):
            page = runtime.clients.contacts.list_contacts(page_size=_PAGE, page_token=token)
            token = page.next_page_token
            found = [
                store.Known(
                    attribute,
                    parse_name(item.name, "contacts"),
                    _date(item, attribute),
                    item.time_zone,
                    item.revision,
                )
                for item in page.contacts
            ]
            with runtime.db.transaction() as connection:
                still = gone.current(connection, contact_gone, {item.contact_id for item in found})
                store.learn(connection, [item for item in found if still[item.contact_id] == item.contact_id])
                store.read_on(connection, attribute, token)
            total += len(found)
            if not token:
                break
    return total
