"""Contacts whose memberships differ from what the rules say, in a table of the session."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Select
from sqlalchemy.dialects import postgresql as pg

from services.segmentation.models import contact_state, membership
from services.segmentation.store import bounds, sweeps

_DIFFERING = sa.table("differing", sa.column("contact_id", pg.UUID(as_uuid=True)))


def find(
    connection: Connection,
    verdicts: Select[Any],
    numbers: Sequence[int],
    now: datetime,
    seconds: float | None = None,
) -> None:
    """Note who is not in just the segments that verdicts say, or is scheduled too late.

    verdicts: a SELECT of contact_id, segments and next_change over all contacts, for the segments of these numbers. The
    transaction should do nothing else: it is set up for this. Whom earlier calls noted stay so. seconds: how long it
    may take; raises TooSlow.
    """
    connection.exec_driver_sql("CREATE TEMPORARY TABLE IF NOT EXISTS differing (contact_id uuid PRIMARY KEY)")
    result = verdicts.subquery("result")
    had = (
        sa.select(
            membership.c.contact_id,
            sa.func.array_agg(
                pg.aggregate_order_by(membership.c.segment_number, membership.c.segment_number)
            ).label("segments"),
        )
        .where(membership.c.segment_number == sa.any_(sa.literal(list(numbers), pg.ARRAY(sa.Integer))))
        .group_by(membership.c.contact_id)
        .subquery("had")
    )
    nothing: sa.ColumnElement[list[int]] = sa.literal_column("ARRAY[]::integer[]")
    query = (
        sa.select(result.c.contact_id)
        .select_from(
            result.outerjoin(had, had.c.contact_id == result.c.contact_id).outerjoin(
                contact_state, contact_state.c.contact_id == result.c.contact_id
            )
        )
        .where(
            sa.or_(
                result.c.segments != sa.func.coalesce(had.c.segments, nothing),
                sa.and_(
                    result.c.next_change.is_not(None),
                    sa.or_(
                        contact_state.c.next_change.is_(None),
                        contact_state.c.next_change > result.c.next_change,
                    ),
                ),
            )
        )
    )
    sweeps.in_order(connection)
    insert = pg.insert(_DIFFERING).from_select(["contact_id"], query).on_conflict_do_nothing()
    with sweeps.whole(connection), nullcontext() if seconds is None else bounds.within(connection, seconds):
        connection.execute(insert, {"now": now})


def take(connection: Connection, limit: int) -> list[UUID]:
    """Return the next contacts in the order of their ids, and forget them if the transaction commits."""
    rows = connection.exec_driver_sql(
        "DELETE FROM differing WHERE contact_id IN "
        "(SELECT contact_id FROM differing ORDER BY contact_id LIMIT %(limit)s) RETURNING contact_id",
        {"limit": limit},
    )
    return sorted(rows.scalars())


def drop(connection: Connection) -> None:
    """End the table."""
    connection.exec_driver_sql("DROP TABLE IF EXISTS differing")
