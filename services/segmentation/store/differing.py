"""Contacts whose memberships differ from what the rules say, in a table of the session."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Select
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from services.segmentation.models import contact_state, membership
from services.segmentation.store import bounds, sweeps
from services.segmentation.store.sweeps import Slice

_DIALECT = PGDialect_psycopg(paramstyle="pyformat")  # type: ignore[no-untyped-call]
_DIFFERING = sa.table("differing", sa.column("contact_id", pg.UUID(as_uuid=True)))


class Finder:
    """Note who is not in just the segments that rules say, or is scheduled too late.

    verdicts: a SELECT of contact_id, segments and next_change over the contacts of a slice, as by `pass_statement`, for
    the segments of these numbers. It is compiled once: hundreds of rules make a long text.
    """

    def __init__(self, verdicts: Select[Any], numbers: Sequence[int]) -> None:
        result = verdicts.subquery("result")
        had = (
            sa.select(
                membership.c.contact_id,
                sa.func.array_agg(
                    pg.aggregate_order_by(membership.c.segment_number, membership.c.segment_number)
                ).label("segments"),
            )
            .where(
                membership.c.segment_number == sa.any_(sa.literal(list(numbers), pg.ARRAY(sa.Integer))),
                sweeps.within(membership.c.contact_id),
            )
            .group_by(membership.c.contact_id)
            .subquery("had")
        )
        nothing: sa.ColumnElement[list[int]] = sa.literal_column("ARRAY[]::integer[]")
        late = sa.or_(
            contact_state.c.next_change.is_(None), contact_state.c.next_change > result.c.next_change
        )
        query = (
            sa.select(result.c.contact_id)
            .select_from(
                result.outerjoin(had, had.c.contact_id == result.c.contact_id).outerjoin(
                    contact_state,
                    sa.and_(
                        contact_state.c.contact_id == result.c.contact_id,
                        sweeps.within(contact_state.c.contact_id),
                    ),
                )
            )
            .where(
                sa.or_(
                    result.c.segments != sa.func.coalesce(had.c.segments, nothing),
                    sa.and_(result.c.next_change.is_not(None), late),
                )
            )
        )
        insert = pg.insert(_DIFFERING).from_select(["contact_id"], query).on_conflict_do_nothing()
        compiled = insert.compile(dialect=_DIALECT)
        self._text = str(compiled)
        self._parameters = compiled.construct_params(_check=False)

    def find(self, connection: Connection, of: Slice, now: datetime, budget: bounds.Budget) -> None:
        """Look at a slice, in a transaction that does nothing else: it is set up for this. Raises TooSlow.

        Whom earlier calls noted stay so.
        """
        connection.exec_driver_sql(
            "CREATE TEMPORARY TABLE IF NOT EXISTS differing (contact_id uuid PRIMARY KEY)"
        )
        sweeps.in_order(connection)
        values = {**self._parameters, "first": of.first, "last": of.last, "now": now}
        with sweeps.whole(connection), budget.spent_on(connection):
            connection.exec_driver_sql(self._text, values)


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
