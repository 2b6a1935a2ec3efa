"""How statements over everybody run: contact by contact, in memory that does not grow with the contacts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

MEMORY = "4MB"
"""Of one step of a plan, as much as PostgreSQL gives by itself. With more, hashes of everybody look cheap; they take
all the memory that they may have, and longer for a contact the more contacts there are."""


def in_order(connection: Connection) -> None:
    """Let the statements that follow in this transaction read contacts in the order of their ids.

    Profiles, states, memberships and events have indexes in this order, so joining and grouping everybody is merging
    what is sorted already. What has to be sorted, because little is asked for, goes to disk beyond MEMORY.
    """
    connection.exec_driver_sql(f"SET LOCAL work_mem = '{MEMORY}'")
    connection.exec_driver_sql("SET LOCAL enable_hashjoin = off")
    # A plan for slices of any size is good for none.
    connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_custom_plan")


@contextmanager
def whole(connection: Connection) -> Iterator[None]:
    """Let statements read whole what they join, instead of looking up one row at a time.

    The planner takes what it knows nothing of for few: rows that this transaction made, a segment that is new.
    """
    connection.exec_driver_sql("SET LOCAL enable_nestloop = off")
    yield
    connection.exec_driver_sql("SET LOCAL enable_nestloop = on")


START = 50_000
FEWEST = 1_000
FASTER, SLOWER = 20, 10
SLICE_SECONDS = 2.0
COUNTED = 50_000
FIRST, LAST = UUID(int=0), UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class Slice:
    """Say which contacts a statement is of: those with ids from first to last, so many of whom have a profile."""

    first: UUID
    last: UUID
    contacts: int


def within(contact_id: sa.ColumnElement[UUID]) -> sa.ColumnElement[bool]:
    """Return whether a contact is of the slice in the parameters `first` and `last`.

    To be said of each table of a statement: what is said of one only is not known of those that it is merged with,
    which would be read from their beginning for each slice.
    """
    return contact_id.between(sa.bindparam("first"), sa.bindparam("last"))


class Cut:
    """Cut everybody into slices that take about so many seconds each, in the order of ids; together they hold every id.

    first: where to begin, as `rest` told of another one. No more contacts than a first slice has stay in one piece, and
    so does, but for that first slice, what takes no longer.
    """

    def __init__(self, first: UUID | None = FIRST, seconds: float = SLICE_SECONDS) -> None:
        self.rest = first
        self._seconds = seconds
        self._size = START
        self._since = 0.0
        self._left: int | None = None

    def next(self, connection: Connection) -> Slice | None:
        """Return the next slice, its size by the time since the last one; None when that was the last of all."""
        if self.rest is None:
            return None
        now = time.monotonic()
        if self._left is None:
            self._left = contacts(connection, self.rest)
        else:
            wanted = self._seconds / max(now - self._since, 0.001)
            self._size = max(FEWEST, int(self._size * min(max(wanted, 1 / SLOWER), FASTER)))
        self._since = now
        first, last = self.rest, LAST
        if self._size < self._left:
            found = connection.exec_driver_sql(
                "SELECT contact_id FROM profile WHERE contact_id >= %(first)s ORDER BY contact_id "
                "OFFSET %(skipped)s LIMIT 1",
                {"first": first, "skipped": self._size - 1},
            ).scalar_one_or_none()
            last = found or LAST
        self.rest = None if last == LAST else UUID(int=last.int + 1)
        size = self._left if self.rest is None else self._size
        self._left -= size
        return Slice(first, last, size)


def contacts(connection: Connection, first: UUID = FIRST) -> int:
    """Return how many contacts have a profile, from an id on: when there are many, as the server has last counted."""
    few = connection.exec_driver_sql(
        "SELECT count(*) FROM (SELECT FROM profile WHERE contact_id >= %(first)s LIMIT %(counted)s) AS few",
        {"first": first, "counted": COUNTED},
    ).scalar_one()
    if few < COUNTED:
        return int(few)
    plan = connection.exec_driver_sql(
        "EXPLAIN (FORMAT JSON) SELECT FROM profile WHERE contact_id >= %(first)s", {"first": first}
    ).scalar_one()
    return max(int(few), int(plan[0]["Plan"]["Plan Rows"]))
