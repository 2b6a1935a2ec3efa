"""How statements over everybody run: contact by contact, in memory that does not grow with the contacts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def whole(connection: Connection) -> Iterator[None]:
    """Let statements read whole what they join, instead of looking up one row at a time.

    The planner takes what it knows nothing of for few: rows that this transaction made, a segment that is new.
    """
    connection.exec_driver_sql("SET LOCAL enable_nestloop = off")
    yield
    connection.exec_driver_sql("SET LOCAL enable_nestloop = on")
