"""Queries on mails that came in."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from services.care.models import automatic_mail, received_mail
from services.kit.locks import lock_key
from services.kit.names import new_id


def claim(connection: Connection, mail_key: str, recipient: str, now: datetime) -> bool:
    """Record that a mail to a recipient is being taken in; False when it was before.

    recipient: a signed address, or empty for those that are open to all, for which a mail that came to any address
    counts as known. Waits for others that take in the same mail.
    """
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(lock_key(f"care:mail:{mail_key}"))))
    known = sa.exists().where(received_mail.c.mail_key == mail_key)
    if recipient:
        known = known.where(received_mail.c.recipient == recipient)
    if connection.scalar(sa.select(known)):
        return False
    connection.execute(
        sa.insert(received_mail).values(mail_key=mail_key, recipient=recipient, outcome="", create_time=now)
    )
    return True


def settle(connection: Connection, mail_key: str, recipient: str, outcome: str, case_id: UUID | None) -> None:
    """Record what became of a mail."""
    connection.execute(
        sa.update(received_mail)
        .where(received_mail.c.mail_key == mail_key, received_mail.c.recipient == recipient)
        .values(outcome=outcome, case_id=case_id)
    )


def case_of(connection: Connection, mail_key: str, recipient: str) -> UUID | None:
    """Return the case that a known mail belongs to, None when it belongs to none; recipient as in claim."""
    query = sa.select(received_mail.c.case_id).where(received_mail.c.mail_key == mail_key)
    if recipient:
        query = query.where(received_mail.c.recipient == recipient)
    # Of several recipients, the empty one comes first.
    return connection.scalar(query.order_by(received_mail.c.recipient).limit(1))


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
