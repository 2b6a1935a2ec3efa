"""How far back history goes, and the removal of what is older."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.segmentation.models import history_kept, membership_past, profile_past, segment_past

Subject = Literal["profiles", "memberships"]

_ENDED = {"profiles": profile_past.c.valid_until, "memberships": membership_past.c.leave_time}
_REMOVE = """
    DELETE FROM {table} WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM {table} WHERE {column} < %(time)s ORDER BY {column} LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ))
"""


def kept_from(connection: Connection, subject: Subject) -> datetime | None:
    """Return the time before which history is missing, or None when nothing was ever removed."""
    query = sa.select(history_kept.c.kept_from).where(history_kept.c.subject == subject)
    return connection.execute(query).scalar_one_or_none()


def any_older(connection: Connection, subject: Subject, time: datetime) -> bool:
    """Tell whether something is kept that ended before a time."""
    column = _ENDED[subject]
    return connection.execute(sa.select(column).where(column < time).limit(1)).first() is not None


def give_up(connection: Connection, subject: Subject, time: datetime) -> None:
    """Record that history before a time is not there any more; must be committed before it is removed."""
    statement = pg.insert(history_kept).values(subject=subject, kept_from=time)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["subject"],
            set_={"kept_from": sa.func.greatest(history_kept.c.kept_from, statement.excluded.kept_from)},
        )
    )


def remove_older(connection: Connection, subject: Subject, time: datetime, limit: int) -> int:
    """Remove what ended before a time, at most `limit` rows, but none that another removes; returns how many."""
    column = _ENDED[subject]
    statement = _REMOVE.format(table=column.table.name, column=column.name)
    return connection.exec_driver_sql(statement, {"time": time, "limit": limit}).rowcount


def remove_segments(connection: Connection, time: datetime) -> int:
    """Remove segments that were deleted before a time, and of which no member is kept; returns how many."""
    statement = sa.delete(segment_past).where(
        segment_past.c.delete_time < time,
        ~sa.exists().where(membership_past.c.segment_number == segment_past.c.number),
    )
    return connection.execute(statement).rowcount
