"""Segments and the versions of their rules as history needs them, deleted ones too."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from services.segmentation.models import segment, segment_past, segment_version, segment_version_past

NAMED = sa.union_all(
    sa.select(segment.c.number, segment.c.id), sa.select(segment_past.c.number, segment_past.c.id)
)
"""SELECT of number and id of every segment that is or was."""

IN_FORCE = sa.union_all(
    *(
        sa.select(table.c.segment_number, table.c.version, table.c.active_from).where(
            table.c.active_from.is_not(None)
        )
        for table in (segment_version, segment_version_past)
    )
)
"""SELECT of segment_number, version and active_from of every version that membership followed once."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Tell when a segment was there; delete_time is None for one that still is."""

    number: int
    create_time: datetime
    delete_time: datetime | None

    def contains(self, at: datetime) -> bool:
        """Tell whether it was there at a time."""
        return self.create_time <= at and (self.delete_time is None or at < self.delete_time)


def retire(connection: Connection, number: int, now: datetime) -> None:
    """Keep what history needs of a segment that is about to be deleted."""
    values = {"number": number, "now": now}
    connection.exec_driver_sql(
        "INSERT INTO segment_past (number, id, display_name, create_time, delete_time) "
        "SELECT number, id, display_name, create_time, %(now)s FROM segment WHERE number = %(number)s",
        values,
    )
    connection.exec_driver_sql(
        "INSERT INTO segment_version_past (segment_number, version, rule, active_from) "
        "SELECT segment_number, version, rule, active_from FROM segment_version "
        "WHERE segment_number = %(number)s AND active_from IS NOT NULL",
        values,
    )


def lifetimes(connection: Connection, id_: str) -> list[Lifetime]:
    """Return the segments that have or had an id, in the order in which they were made."""
    query = sa.union_all(
        sa.select(segment.c.number, segment.c.create_time, sa.null().label("delete_time")).where(
            segment.c.id == id_
        ),
        sa.select(segment_past.c.number, segment_past.c.create_time, segment_past.c.delete_time).where(
            segment_past.c.id == id_
        ),
    ).order_by("number")
    return [Lifetime(*row) for row in connection.execute(query)]


def version_at(connection: Connection, number: int, at: datetime) -> int:
    """Return the version of the rule that a segment's membership followed at a time; 0 before the first rebuild."""
    found = connection.execute(sa.select(version_of(number, at))).scalar_one()
    return int(found or 0)


def version_of(number: Any, at: Any) -> sa.ScalarSelect[Any]:
    """Return the version in force as an expression; number and at may be columns of the statement around it."""
    versions = IN_FORCE.subquery("in_force")
    return (
        sa.select(sa.func.max(versions.c.version))
        .where(versions.c.segment_number == number, versions.c.active_from <= at)
        .correlate_except(versions)
        .scalar_subquery()
    )
