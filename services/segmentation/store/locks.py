"""Locks that keep projection, membership and rebuilds in step.

Who changes contacts takes the membership lock shared, then the contacts' rows of `contact_state` in the order of
their ids. Who changes a whole segment, or lets contacts be gone, takes the membership lock alone, and so sees every
contact at rest. Definitions are locked between the two. The order is always this one, and always after claiming
events, so nobody can wait in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from operator import attrgetter
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from services.kit.locks import lock_key
from services.segmentation.store import ahead, arrays

_MEMBERSHIP = lock_key("segmentation.membership")


def share_membership(connection: Connection) -> None:
    """Wait until no segment is being changed as a whole, and keep it so until the end of the transaction."""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock_shared({_MEMBERSHIP})")


def own_membership(connection: Connection) -> None:
    """Wait until no contact is being changed, and keep it so until the end of the transaction."""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MEMBERSHIP})")


def lock_contacts(connection: Connection, contact_ids: Iterable[UUID]) -> list[UUID]:
    """Lock contacts, known or not, until the end of the transaction; returns their ids in order, each once.

    What plugins were asked about them ahead of a rebuild is asked again.
    """
    ids = sorted(set(contact_ids), key=attrgetter("int"))
    parameters = {"ids": arrays.of_ids(ids)}
    connection.exec_driver_sql(
        "INSERT INTO contact_state (contact_id) SELECT unnest(%(ids)s::uuid[]) ON CONFLICT DO NOTHING",
        parameters,
    )
    connection.exec_driver_sql(
        "SELECT FROM contact_state WHERE contact_id = ANY(%(ids)s::uuid[]) ORDER BY contact_id FOR UPDATE",
        parameters,
    )
    ahead.forget(connection, ids)
    return ids


def lock_due(connection: Connection, now: datetime, limit: int) -> list[UUID]:
    """Lock contacts whose time has come, at most `limit`, longest due first; those locked by others are left out."""
    statement = sa.text(
        "SELECT contact_id FROM contact_state WHERE next_change <= :now ORDER BY next_change LIMIT :limit "
        "FOR UPDATE SKIP LOCKED"
    )
    return sorted(connection.execute(statement, {"now": now, "limit": limit}).scalars())


def lock_stale(connection: Connection, limit: int, historical: bool) -> list[UUID]:
    """Lock contacts that wait for a plugin, longest waiting first, at most `limit`; leaves out those others lock."""
    statement = sa.text(
        "SELECT s.contact_id FROM stale s JOIN contact_state c USING (contact_id) WHERE s.historical = :historical "
        "ORDER BY s.since, s.contact_id LIMIT :limit FOR UPDATE OF c SKIP LOCKED"
    )
    return sorted(connection.execute(statement, {"limit": limit, "historical": historical}).scalars())
