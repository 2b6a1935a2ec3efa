"""Queries on profiles and the events of contacts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql.base import PGDialect

from services.segmentation.models import event, profile
from services.segmentation.store.past import ORDER_PLACED as ORDER_PLACED
from services.segmentation.store.past import archive_sql

SNAPSHOT_COLUMNS = (
    "has_email",
    "has_phone",
    "kind",
    "language_code",
    "region_code",
    "admin_area",
    "locality",
    "ward",
    "postal_code",
    "gender",
    "lifecycle_stage",
    "time_zone",
    "industry",
    "occupation",
    "birth_date",
    "latitude",
    "longitude",
    "create_time",
    "attributes",
    "consents",
    "tags",
    "revision",
)
"""What a contact's snapshot sets; the rest of a profile follows from events and traits."""


@dataclass(frozen=True, slots=True)
class EventRow:
    """Hold one row of the event table; payload is JSON text."""

    contact_id: UUID
    event_id: UUID
    type: str
    category: str | None
    amount: Decimal | None
    occurred_at: datetime
    payload: str


def _upsert_sql() -> str:
    dialect = PGDialect()  # type: ignore[no-untyped-call]
    types = {column.name: column.type.compile(dialect=dialect) for column in profile.c}
    listed = ", ".join(SNAPSHOT_COLUMNS)
    record = ", ".join(
        f"{name} {types[name].split(' COLLATE')[0]}" for name in ("contact_id", *SNAPSHOT_COLUMNS)
    )
    assigned = ", ".join(f"{name} = excluded.{name}" for name in SNAPSHOT_COLUMNS)
    seen = [name for name in SNAPSHOT_COLUMNS if name != "revision"]

    def differs(old: str, new: str) -> str:
        # A mere revision is nothing that a rule sees.
        sides = (", ".join(f"{side}.{name}" for name in seen) for side in (old, new))
        return " IS DISTINCT FROM ".join(f"({side})" for side in sides)

    # A contact may be told of after its first orders: then their sums are taken from the events that waited.
    return f"""
        WITH given AS MATERIALIZED (SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS r({record})),
        changed AS (
            SELECT r.contact_id FROM given AS r JOIN profile AS p ON p.contact_id = r.contact_id
            WHERE p.revision < r.revision AND {differs("p", "r")}
        ),
        kept AS ({archive_sql("changed")})
        INSERT INTO profile (contact_id, {listed}, first_order_time, last_order_time, order_count, total_spent)
        SELECT r.contact_id, {", ".join(f"r.{name}" for name in SNAPSHOT_COLUMNS)},
               o.first_time, o.last_time, o.orders, o.spent
        FROM given AS r
        CROSS JOIN LATERAL (
            SELECT min(e.occurred_at) AS first_time, max(e.occurred_at) AS last_time, count(*) AS orders,
                   coalesce(sum(e.amount), 0) AS spent
            FROM event AS e WHERE e.contact_id = r.contact_id AND e.type = '{ORDER_PLACED}'
        ) AS o
        ORDER BY r.contact_id
        ON CONFLICT (contact_id) DO UPDATE SET {assigned},
            valid_from = CASE WHEN {differs("profile", "excluded")}
                              THEN GREATEST(profile.valid_from, %(now)s::timestamptz) ELSE profile.valid_from END
        WHERE profile.revision < excluded.revision
        RETURNING contact_id
    """


_UPSERT = _upsert_sql()

_ADD_EVENTS = f"""
WITH fresh AS (
    INSERT INTO event (contact_id, event_id, type, category, amount, occurred_at, payload)
    SELECT r.contact_id, r.event_id, r.type, r.category, r.amount, r.occurred_at, r.payload::jsonb
    FROM unnest(%(contact_ids)s::uuid[], %(event_ids)s::uuid[], %(types)s::text[], %(categories)s::text[],
                %(amounts)s::numeric[], %(times)s::timestamptz[], %(payloads)s::text[])
         AS r(contact_id, event_id, type, category, amount, occurred_at, payload)
    ORDER BY r.contact_id, r.event_id
    ON CONFLICT DO NOTHING
    RETURNING contact_id, type, amount, occurred_at
),
orders AS (
    SELECT contact_id, count(*) AS orders, coalesce(sum(amount), 0) AS spent,
           min(occurred_at) AS first_time, max(occurred_at) AS last_time
    FROM fresh WHERE type = '{ORDER_PLACED}' GROUP BY contact_id
),
counted AS (
    UPDATE profile AS p SET
        order_count = p.order_count + o.orders,
        total_spent = p.total_spent + o.spent,
        first_order_time = LEAST(p.first_order_time, o.first_time),
        last_order_time = GREATEST(p.last_order_time, o.last_time)
    FROM orders AS o WHERE p.contact_id = o.contact_id
)
SELECT DISTINCT contact_id FROM fresh
"""


def put_snapshots(connection: Connection, rows: Sequence[dict[str, Any]], now: datetime) -> list[UUID]:
    """Store snapshots of contacts that are locked, each given once; returns those that were newer than what was known.

    A row has contact_id and SNAPSHOT_COLUMNS. now: since when profiles say so; what they said before is kept.
    """
    if not rows:
        return []
    parameters = {"rows": json.dumps(rows, default=_json), "now": now}
    return list(connection.exec_driver_sql(_UPSERT, parameters).scalars())


def _json(value: object) -> str:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(f"a profile cannot hold {type(value).__name__}")


def add_events(connection: Connection, rows: Sequence[EventRow]) -> list[UUID]:
    """Store events of contacts that are locked, and what profiles sum up of orders; returns contacts with new ones."""
    if not rows:
        return []
    parameters = {
        "contact_ids": [row.contact_id for row in rows],
        "event_ids": [row.event_id for row in rows],
        "types": [row.type for row in rows],
        "categories": [row.category for row in rows],
        "amounts": [row.amount for row in rows],
        "times": [row.occurred_at for row in rows],
        "payloads": [row.payload for row in rows],
    }
    return list(connection.exec_driver_sql(_ADD_EVENTS, parameters).scalars())


def remove_events(connection: Connection, events: Sequence[tuple[UUID, UUID]]) -> list[tuple[UUID, str]]:
    """Delete events, given as (contact, event), of contacts that are locked; returns contact and type of each.

    Not for orders, which profiles sum up.
    """
    if not events:
        return []
    rows = connection.exec_driver_sql(
        "DELETE FROM event AS e USING unnest(%(contact_ids)s::uuid[], %(event_ids)s::uuid[]) "
        "AS g(contact_id, event_id) WHERE e.contact_id = g.contact_id AND e.event_id = g.event_id "
        f"AND e.type <> '{ORDER_PLACED}' RETURNING e.contact_id, e.type",
        {
            "contact_ids": [contact for contact, _ in events],
            "event_ids": [event for _, event in events],
        },
    )
    return [(row[0], row[1]) for row in rows]


_PUT_TRAITS = f"""
WITH changed AS MATERIALIZED (
    SELECT p.contact_id, (p.traits - %(columns)s::text[]) || n.traits AS traits
    FROM profile AS p JOIN (
        SELECT contact_id, traits::jsonb AS traits
        FROM unnest(%(ids)s::uuid[], %(values)s::text[]) AS given(contact_id, traits)
    ) AS n ON n.contact_id = p.contact_id
    WHERE p.traits <> (p.traits - %(columns)s::text[]) || n.traits
),
kept AS ({archive_sql("changed")})
UPDATE profile AS p SET traits = c.traits, valid_from = GREATEST(p.valid_from, %(now)s::timestamptz)
FROM changed AS c WHERE p.contact_id = c.contact_id
RETURNING p.contact_id
"""


def put_traits(
    connection: Connection,
    contact_ids: Sequence[UUID],
    values: Sequence[str],
    columns: Sequence[str],
    now: datetime,
) -> list[UUID]:
    """Replace some traits of contacts that are locked; returns those whose traits changed.

    values: JSON object per contact, without what is unknown; columns: the traits that are replaced; now: since when
    profiles say so; what they said before is kept.
    """
    parameters = {"ids": list(contact_ids), "values": list(values), "columns": list(columns), "now": now}
    return list(connection.exec_driver_sql(_PUT_TRAITS, parameters).scalars())


def unknown(connection: Connection, contact_ids: Sequence[UUID]) -> list[UUID]:
    """Return those of some contacts that have no profile, in order."""
    query = (
        "SELECT g.contact_id FROM unnest(%(ids)s::uuid[]) AS g(contact_id) "
        "WHERE NOT EXISTS (SELECT FROM profile AS p WHERE p.contact_id = g.contact_id) ORDER BY g.contact_id"
    )
    return list(connection.exec_driver_sql(query, {"ids": list(contact_ids)}).scalars())


def count(connection: Connection) -> int:
    """Return how many contacts have a profile."""
    return connection.execute(sa.select(sa.func.count()).select_from(profile)).scalar_one()


def find(connection: Connection, contact_id: UUID) -> Any:
    """Return a profile's row, or None."""
    return connection.execute(sa.select(profile).where(profile.c.contact_id == contact_id)).one_or_none()


def event_counts(connection: Connection, contact_id: UUID, now: datetime) -> dict[str, int]:
    """Return how many events of each type a contact has, up to a time."""
    query = (
        sa.select(event.c.type, sa.func.count().label("number"))
        .where(event.c.contact_id == contact_id, event.c.occurred_at <= now)
        .group_by(event.c.type)
        .order_by(event.c.type)
    )
    return {row.type: row.number for row in connection.execute(query)}
