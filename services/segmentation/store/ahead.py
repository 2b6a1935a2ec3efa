"""Answers of plugins that are asked before a rebuild takes its lock, while contacts go on changing.

A row is made first, then the profile is read, then the plugin is asked, and its answer put into the row if that is
still there: whoever changes a contact deletes its rows (`locks.lock_contacts`), so an answer that is there is one to
the contact as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Select
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.sql.selectable import FromClause

from services.kit import revisions
from services.segmentation.models import plugin_answer, segment
from services.segmentation.store import arrays
from services.segmentation.store.sweeps import FIRST, Slice

REVISION = "0010"
"""Processes that do not know it change contacts without deleting their answers."""


def is_safe(connection: Connection) -> bool:
    """Tell whether all processes delete the answers of contacts that they change."""
    return not revisions.strangers(connection, REVISION)


@dataclass(frozen=True, slots=True)
class Question:
    """Say what is asked: the segment and the number of the call in its rule, and the versions of both sides."""

    segment_number: int
    leaf_no: int
    asked: str

    @property
    def _values(self) -> dict[str, Any]:
        return {"segment": self.segment_number, "leaf": self.leaf_no, "asked": self.asked}

    def tidy(self, connection: Connection, now: datetime) -> None:
        """Delete answers to another version, and those that time has changed."""
        connection.exec_driver_sql(
            "DELETE FROM plugin_answer WHERE segment_number = %(segment)s AND leaf_no = %(leaf)s "
            "AND (asked <> %(asked)s OR next_change <= %(now)s)",
            {**self._values, "now": now},
        )

    def want(self, connection: Connection, undecided: Select[Any], now: datetime, of: Slice) -> int:
        """Make rows for those of a slice whom a SELECT of contact_id gives, and who have none; returns how many.

        None for a segment that was deleted.
        """
        there = "SELECT number FROM segment WHERE number = %(segment)s FOR KEY SHARE"
        if connection.exec_driver_sql(there, self._values).first() is None:
            return 0
        wanted = undecided.subquery("undecided")
        columns = (
            wanted.c.contact_id,
            sa.literal(self.segment_number, sa.Integer),
            sa.literal(self.leaf_no, sa.Integer),
            sa.literal(self.asked, sa.Text),
            sa.false(),
        )
        names = ["contact_id", "segment_number", "leaf_no", "asked", "given"]
        insert = pg.insert(plugin_answer).from_select(names, sa.select(*columns)).on_conflict_do_nothing()
        return connection.execute(insert, {"now": now, "first": of.first, "last": of.last}).rowcount

    def waiting(self, connection: Connection, after: UUID | None, limit: int) -> list[UUID]:
        """Return contacts that have no answer yet, in the order of their ids, those after one."""
        rows = connection.exec_driver_sql(
            "SELECT contact_id FROM plugin_answer WHERE segment_number = %(segment)s AND leaf_no = %(leaf)s "
            "AND NOT given AND contact_id >= %(first)s ORDER BY contact_id LIMIT %(limit)s",
            {**self._values, "first": FIRST if after is None else UUID(int=after.int + 1), "limit": limit},
        )
        return list(rows.scalars())

    def give(self, connection: Connection, rows: Iterable[tuple[UUID, str, datetime | None]]) -> None:
        """Store answers about the contacts that did not change meanwhile: contact, value as JSON, when it changes.

        The membership lock must be shared.
        """
        contacts, values, times = zip(*rows, strict=True) if (rows := list(rows)) else ((), (), ())
        given = {
            **self._values,
            "contacts": arrays.of_ids(contacts),
            "values": [None if value == "null" else value for value in values],
            "times": list(times),
        }
        # Whoever changes a contact locks it before its answers.
        connection.exec_driver_sql(
            "SELECT FROM contact_state WHERE contact_id = ANY(%(contacts)s::uuid[]) ORDER BY contact_id FOR UPDATE",
            given,
        )
        connection.exec_driver_sql(
            "UPDATE plugin_answer AS a SET given = true, value = g.value::jsonb, next_change = g.next_change "
            "FROM unnest(%(contacts)s::uuid[], %(values)s::text[], %(times)s::timestamptz[]) "
            "AS g(contact_id, value, next_change) WHERE a.contact_id = g.contact_id "
            "AND a.segment_number = %(segment)s AND a.leaf_no = %(leaf)s AND a.asked = %(asked)s AND NOT a.given",
            given,
        )

    def take(self, connection: Connection, now: datetime) -> int:
        """Put the answers that still hold where the SQL of rules reads them; returns how many there are."""
        return connection.exec_driver_sql(
            "INSERT INTO plugin_leaf (leaf_no, contact_id, value, next_change) "
            "SELECT leaf_no, contact_id, value, next_change FROM plugin_answer WHERE segment_number = %(segment)s "
            "AND leaf_no = %(leaf)s AND asked = %(asked)s AND given AND (next_change IS NULL OR next_change > %(now)s)",
            {**self._values, "now": now},
        ).rowcount


def answers(segment_number: int, now: datetime) -> FromClause:
    """Return the answers for a segment so far, as a relation with the columns of the rule engine's."""
    table = plugin_answer
    return (
        sa.select(table.c.leaf_no, table.c.contact_id, table.c.value)
        .where(
            table.c.segment_number == segment_number,
            table.c.given,
            sa.or_(
                table.c.next_change.is_(None), table.c.next_change > sa.literal(now, table.c.next_change.type)
            ),
        )
        .subquery("plugin_leaf")
    )


def forget(connection: Connection, contact_ids: Sequence[UUID]) -> None:
    """Delete the answers of contacts that change; the contacts must be locked."""
    connection.exec_driver_sql(
        "DELETE FROM plugin_answer WHERE contact_id = ANY(%(ids)s::uuid[])",
        {"ids": arrays.of_ids(contact_ids)},
    )


def drop(connection: Connection, ids: Iterable[str] | None = None) -> None:
    """Delete the answers for some segments, or all."""
    statement = sa.delete(plugin_answer)
    if ids is not None:
        of = sa.select(segment.c.number).where(segment.c.id.in_(list(ids)))
        statement = statement.where(plugin_answer.c.segment_number.in_(of))
    connection.execute(statement)
