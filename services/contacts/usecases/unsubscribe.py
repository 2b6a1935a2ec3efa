"""Taking the wish to be left alone, which reached care or campaign, for a decision of the contact."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from rapport.campaign.v1 import events_pb2 as campaign
from rapport.care.v1 import events_pb2 as care
from rapport.events.v1 import events_pb2
from sqlalchemy import Connection

from services.contacts.domain.consents import Wish, check_channel, check_topic
from services.contacts.domain.errors import Refused
from services.contacts.store import gone
from services.contacts.usecases.consents import record_on
from services.kit.access.scope import EVERYTHING
from services.kit.errors import InvalidArgument
from services.kit.events.payload import unpack
from services.kit.log import get_logger
from services.kit.names import format_name, parse_name
from services.kit.runtime import Runtime
from services.kit.wire import from_timestamp

SOURCE, LINK, COMPLAINT = "unsubscribe mail", "unsubscribe link", "complaint"
"""What proves a wish."""

_log = get_logger("contacts")


def record(connection: Connection, runtime: Runtime, wanted: Iterable[events_pb2.Event]) -> None:
    """Record a denied consent for each `unsubscribe.requested`, as of the time when it was asked for.

    The wish of a contact that was merged is that of the one that remains; one that does not exist has nothing to
    deny, and is passed over. Raises InvalidArgument for a malformed event.
    """
    wishes = [_wish(event) for event in wanted]
    while wishes:
        missed: set[UUID] = set()
        record_on(connection, runtime, wishes, missed.add, EVERYTHING)
        # Only now: one that was being merged at this moment has been waited for.
        into = gone.targets(connection, missed)
        for key in missed:
            if into.get(key) is None:
                _log.warning("unsubscribe_of_unknown_contact", contact=format_name("contacts", key))
        wishes = [(remaining, wish) for key, wish in wishes if (remaining := into.get(key)) is not None]


def _wish(event: events_pb2.Event) -> tuple[UUID, Wish]:
    payload = unpack(event)
    match payload:
        case care.UnsubscribeRequested():
            source = SOURCE
        case campaign.UnsubscribeRequested():
            source = COMPLAINT if payload.source == "complaint" else LINK
        case _:
            raise InvalidArgument(
                f"event {event.id}: expected an UnsubscribeRequested, got {payload.DESCRIPTOR.full_name}"
            )
    try:
        channel, topic = check_channel(payload.channel), check_topic(payload.topic)
    except Refused as error:
        raise InvalidArgument(f"event {event.id}: {error}") from None
    return parse_name(event.contact, "contacts", "contact"), Wish(
        channel, topic, False, from_timestamp(event.occur_time), source
    )
