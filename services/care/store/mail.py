"""Queries on mails that came in."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.care.models import automatic_mail, received_mail
from services.kit.names import new_id


def claim(connection: Connection, message_id: str, recipient: str, now: datetime) -> bool:
    """Record that a mail is being taken in; False when it was before. Waits for another that takes in the same one."""
    statement = pg.insert(received_mail).values(
        message_id=message_id, recipient=recipient, outcome="", create_time=now
    )
    return connection.execute(statement.on_conflict_do_nothing()).rowcount == 1


def settle(
    connection: Connection, message_id: str, recipient: str, outcome: str, case_id: UUID | None
) -> None:
    """Record what became of a mail."""
    connection.execute(
        sa.update(received_mail)
        .where(received_mail.c.message_id == message_id, received_mail.c.recipient == recipient)
        .values(outcome=outcome, case_id=case_id)
    )


def case_of(connection: Connection, message_id: str, recipient: str) -> UUID | None:
    """Return the case that a mail belongs to, None when it belongs to none."""
    found: UUID | None = connection.scalar(
        sa.select(received_mail.c.case_id).where(
            received_mail.c.message_id == message_id, received_mail.c.recipient == recipient
        )
    )
    return found


def keep_automatic(
    connection: Connection,
    *,
    message_id: str,
    recipient: str,
    reason: str,
    subject: str,
    text: str,
    now: datetime,
) -> None:
    """Put a mail aside that a machine wrote."""
    connection.execute(
        sa.insert(automatic_mail).values(
            id=new_id(),
            message_id=message_id,
            recipient=recipient,
            reason=reason,
            subject=subject,
            text=text,
            create_time=now,
        )
    )
