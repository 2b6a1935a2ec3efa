"""Queries on what kind of address the channels of messages need."""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from services.campaign.models import channel, message


def address_kind(connection: Connection, message_id: UUID) -> str | None:
    """Return the kind of address that a message's channel writes to, such as `email`; None when it is not known."""
    query = (
        sa.select(channel.c.address_kind)
        .join(message, message.c.channel == channel.c.name)
        .where(message.c.id == message_id)
    )
    return connection.execute(query).scalar_one_or_none()
