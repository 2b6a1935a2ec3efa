"""Contacts that were merged into another one or erased, and the rows that go with them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from services.contacts.models import contact_gone
from services.kit.names import format_name


@dataclass(frozen=True, slots=True)
class Removed:
    """Count the rows that an erasure deleted."""

    identities: int = 0
    consents: int = 0
    activities: int = 0
    events: int = 0


def targets(connection: Connection, keys: Collection[UUID]) -> dict[UUID, UUID | None]:
    """Return, of those contacts that are gone, the one that remains, or None of those that were erased."""
    if not keys:
        return {}
    query = sa.select(contact_gone.c.contact_id, contact_gone.c.into)
    rows = connection.execute(query.where(contact_gone.c.contact_id.in_(list(keys))))
    return {row.contact_id: row.into for row in rows}


def absorbed_by(connection: Connection, key: UUID) -> list[UUID]:
    """Return the contacts that were merged into one, by id."""
    query = sa.select(contact_gone.c.contact_id).where(contact_gone.c.into == key)
    return list(connection.execute(query.order_by(contact_gone.c.contact_id)).scalars())


def put(connection: Connection, key: UUID, into: UUID | None, now: datetime) -> None:
    """Remember that a contact is gone; those that were merged into it before go on with it."""
    connection.execute(sa.update(contact_gone).where(contact_gone.c.into == key).values(into=into))
    connection.execute(sa.insert(contact_gone).values(contact_id=key, into=into, time=now))


# Two decisions of one moment that say the same may have proofs of their own: none is lost.
_HAND_OVER_CONSENTS = """
WITH gone AS (DELETE FROM consent WHERE contact_id = %(key)s RETURNING *)
INSERT INTO consent (contact_id, decide_time, channel, topic, granted, source, proof, record_time)
SELECT %(into)s::uuid, decide_time, channel, topic, granted, source, proof, record_time FROM gone
ON CONFLICT (contact_id, decide_time, channel, topic, granted) DO UPDATE
SET proof = concat_ws(E'\n', nullif(consent.proof, ''), excluded.source || ': ' || excluded.proof)
WHERE (consent.source, consent.proof) IS DISTINCT FROM (excluded.source, excluded.proof)
"""


def hand_over(connection: Connection, key: UUID, into: UUID) -> None:
    """Give the history of consents and the activities of a contact to another one."""
    values = {"key": key, "into": into}
    connection.exec_driver_sql(_HAND_OVER_CONSENTS, values)
    connection.exec_driver_sql("UPDATE activity SET contact_id = %(into)s WHERE contact_id = %(key)s", values)


def delete(connection: Connection, key: UUID) -> None:
    """Delete the row of a contact."""
    connection.exec_driver_sql("DELETE FROM contact WHERE id = %(key)s", {"key": key})


def forget(connection: Connection, key: UUID, absorbed: Collection[UUID], identities: int) -> Removed:
    """Delete what was recorded and told of a contact, and told of those that were merged into it.

    That these were merged must still reach whoever has not heard of it; these events hold nothing but ids.
    identities: how many the caller took from it.
    """
    keys = [key, *absorbed]
    values = {"keys": keys}
    consents = connection.exec_driver_sql(
        "DELETE FROM consent WHERE contact_id = ANY(%(keys)s::uuid[])", values
    ).rowcount
    activities = connection.exec_driver_sql(
        "DELETE FROM activity WHERE contact_id = ANY(%(keys)s::uuid[])", values
    ).rowcount
    events = connection.exec_driver_sql(
        "DELETE FROM outbox WHERE contact_id = ANY(%(keys)s::uuid[]) AND type <> 'contact.merged'", values
    ).rowcount
    connection.exec_driver_sql("DELETE FROM dead_letter WHERE contact_id = ANY(%(keys)s::uuid[])", values)
    # Answers kept for requests that are repeated hold whole contacts.
    for one in keys:
        connection.exec_driver_sql(
            "DELETE FROM request_log WHERE position(convert_to(%(name)s, 'UTF8') IN response) > 0",
            {"name": format_name("contacts", one)},
        )
    return Removed(identities, consents, activities, events)
