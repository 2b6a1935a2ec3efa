"""Contacts that want to be left alone, by a link of a message or a complaint about one.

The wish is an event of the transaction that answers it. Contacts takes it in, and denies the consent as of that
moment; while contacts is away the event waits for it, and so do the senders, who ask it before each message.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from rapport.campaign.v1 import events_pb2
from sqlalchemy import Connection

from services.campaign.domain.interactions import NO_LINK, UNSUBSCRIBE, Hit
from services.campaign.domain.links import Unsubscription
from services.campaign.models import contact_gone, kit
from services.campaign.store import channels, interactions
from services.kit import gone, outbox
from services.kit.names import format_name
from services.kit.outbox import NewEvent
from services.kit.runtime import Runtime

REPEATED = timedelta(minutes=10)
"""A press of the button on the page of the same message within so long is the same wish."""
PAGE, ONE_CLICK = "page", "one-click"


def unsubscribe(runtime: Runtime, wish: Unsubscription, hit: Hit | None, source: str) -> bool:
    """Store the wish of a contact, with the interaction when it names its message; returns whether it is new.

    source: PAGE for somebody who pressed the button, ONE_CLICK for a program that did so for somebody. It is stored when
    this returns. Repetitions change nothing.
    """
    # A wish counts as of the moment of the click, also one by the link of a mail that is older than the last consent:
    # whoever wants to be left alone need not look for a newer mail. But programs repeat a POST that was answered: clients
    # that were not sure, a second device, gateways that replay what they saw. After a newer consent such an echo would take
    # back what the person said last, and nothing tells it from a wish. So a program is believed once for each message, and
    # a person, who sees the page, each time. Nobody is locked in: other mails have links of their own.
    now = runtime.clock.now()
    with runtime.db.transaction() as connection:
        contact = gone.current(connection, contact_gone, [wish.contact_id])[wish.contact_id]
        if contact is None:
            return False  # erased: there is nobody to be written to
        if wish.message_id is not None:
            since = now - REPEATED if source == PAGE else None
            if interactions.unsubscribed_since(connection, wish.message_id, since):
                return False
            if hit is not None:
                interactions.insert(connection, [hit])
        kind = channels.address_kind(connection, wish.message_id) if wish.message_id else None
        request(connection, contact, kind or "email", wish.topic, wish.message_id, source, now)
    return True


def request(
    connection: Connection,
    contact: UUID,
    channel: str,
    topic: str,
    message_id: UUID | None,
    source: str,
    now: datetime,
) -> None:
    """Write the wish of a contact into the caller's transaction. channel: the kind of address that is left alone."""
    event = NewEvent(
        type="unsubscribe.requested",
        subject=format_name("contacts", contact),
        contact=contact,
        revision=1,
        occur_time=now,
        data=events_pb2.UnsubscribeRequested(
            channel=channel,
            topic=topic,
            message=format_name("messages", message_id) if message_id else "",
            source=source,
        ),
    )
    outbox.append(connection, kit.outbox, [event], record_time=now)


def hit_of(
    wish: Unsubscription, key: UUID, now: datetime, agent: str, source_hash: bytes | None
) -> Hit | None:
    """Return the interaction of a wish that names its message."""
    if wish.message_id is None:
        return None
    return Hit(key, wish.message_id, UNSUBSCRIBE, NO_LINK, now, agent, source_hash)
