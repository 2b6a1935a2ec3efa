"""Contacts that were merged into another one or erased: who comes after them, and what becomes of their rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from services.segmentation.models import contact_gone
from services.segmentation.store import past, past_members
from services.segmentation.store.past import ORDER_PLACED


def targets(connection: Connection, contact_ids: Collection[UUID]) -> dict[UUID, UUID | None]:
    """Return, of those contacts that are gone, the one that remains, or None when nobody does.

    The membership lock must be shared or owned, so that none is gone a moment later.
    """
    if not contact_ids:
        return {}
    rows = connection.exec_driver_sql(
        'SELECT contact_id, "into" FROM contact_gone WHERE contact_id = ANY(%(ids)s::uuid[])',
        {"ids": list(contact_ids)},
    )
    return {row[0]: row[1] for row in rows}


def absorbed_by(connection: Connection, contact_ids: Collection[UUID]) -> list[UUID]:
    """Return the contacts that were merged into some others."""
    query = sa.select(contact_gone.c.contact_id).where(contact_gone.c.into.in_(list(contact_ids)))
    return list(connection.execute(query).scalars())


def put(connection: Connection, heirs: Mapping[UUID, UUID | None], now: datetime) -> None:
    """Remember that contacts are gone; those that were merged into them before go on to their heirs."""
    values = {"ids": list(heirs), "heirs": list(heirs.values()), "now": now}
    connection.exec_driver_sql(
        'UPDATE contact_gone AS g SET "into" = n.heir '
        "FROM unnest(%(ids)s::uuid[], %(heirs)s::uuid[]) AS n(contact_id, heir) "
        'WHERE g."into" = n.contact_id',
        values,
    )
    connection.exec_driver_sql(
        'INSERT INTO contact_gone (contact_id, "into", time) '
        "SELECT contact_id, heir, %(now)s::timestamptz "
        "FROM unnest(%(ids)s::uuid[], %(heirs)s::uuid[]) AS n(contact_id, heir)",
        values,
    )


# Deleted and inserted, not updated: the heir may have one of them already, and the id leads the key.
_HAND_OVER = """
WITH gone AS (DELETE FROM event WHERE contact_id = ANY(%(ids)s::uuid[]) RETURNING *)
INSERT INTO event (contact_id, event_id, type, category, amount, occurred_at, payload)
SELECT n.heir, g.event_id, g.type, g.category, g.amount, g.occurred_at, g.payload
FROM gone AS g JOIN unnest(%(ids)s::uuid[], %(heirs)s::uuid[]) AS n(contact_id, heir) USING (contact_id)
WHERE n.heir IS NOT NULL
ORDER BY n.heir, g.event_id
ON CONFLICT DO NOTHING
"""
_SUM_UP = f"""
UPDATE profile AS p SET
    order_count = o.orders, total_spent = o.spent, first_order_time = o.first_time, last_order_time = o.last_time
FROM (
    SELECT h.contact_id, count(e.event_id) AS orders, coalesce(sum(e.amount), 0) AS spent,
           min(e.occurred_at) AS first_time, max(e.occurred_at) AS last_time
    FROM (SELECT DISTINCT unnest(%(heirs)s::uuid[]) AS contact_id) AS h
    LEFT JOIN event AS e ON e.contact_id = h.contact_id AND e.type = '{ORDER_PLACED}'
    GROUP BY h.contact_id
) AS o
WHERE p.contact_id = o.contact_id
"""


def hand_over(connection: Connection, heirs: Mapping[UUID, UUID | None]) -> None:
    """Give the events of contacts to who comes after them, with what profiles sum up of orders; else delete them."""
    values = {"ids": list(heirs), "heirs": list(heirs.values())}
    connection.exec_driver_sql(_HAND_OVER, values)
    connection.exec_driver_sql(_SUM_UP, values)


def remove(connection: Connection, contact_ids: Collection[UUID]) -> None:
    """Delete what is known of contacts themselves: profiles of today and before, schedules, what waits for a plugin."""
    for table in ("profile", "contact_state", "stale", "plugin_answer"):
        connection.exec_driver_sql(
            f"DELETE FROM {table} WHERE contact_id = ANY(%(ids)s::uuid[])", {"ids": list(contact_ids)}
        )
    past.forget(connection, list(contact_ids))


def forget(connection: Connection, contact_ids: Collection[UUID]) -> None:
    """Delete in which segments contacts were, and what could not be taken in of them."""
    past_members.forget(connection, list(contact_ids))
    connection.exec_driver_sql(
        "DELETE FROM dead_letter WHERE contact_id = ANY(%(ids)s::uuid[])", {"ids": list(contact_ids)}
    )
