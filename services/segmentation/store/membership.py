"""Queries that change and read membership. Entered and left rows become events in the same statement or transaction."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
import sqlalchemy as sa
from psycopg import RawCursor
from sqlalchemy import Connection, Select

from services.kit import context
from services.kit.telemetry import spans
from services.segmentation.models import membership, segment, segment_size
from services.segmentation.store import arrays
from services.segmentation.store.telling import TOLD, Notice, Notices, telling

# A clock that was set back makes nobody leave before they entered.
KEPT = """
    INSERT INTO membership_past (segment_number, contact_id, enter_time, leave_time)
    SELECT segment_number, contact_id, enter_time, GREATEST(enter_time, %(now)s::timestamptz) FROM gone
"""

_STEP = """
WITH result AS MATERIALIZED ({batch}),
different AS MATERIALIZED (
    SELECT r.contact_id, r.segments AS wanted, m.segments AS had
    FROM result AS r CROSS JOIN LATERAL (
        SELECT ARRAY(
            SELECT segment_number FROM membership AS m
            WHERE m.contact_id = r.contact_id {judged} ORDER BY segment_number
        ) AS segments OFFSET 0
    ) AS m
    WHERE r.segments <> m.segments
),
entered AS (
    INSERT INTO membership (segment_number, contact_id, enter_time)
    SELECT s.segment_number, d.contact_id, %(now)s::timestamptz
    FROM different AS d CROSS JOIN LATERAL unnest(d.wanted) AS s(segment_number)
    WHERE s.segment_number <> ALL(d.had)
    RETURNING segment_number, contact_id
),
gone AS (
    DELETE FROM membership AS m
    USING (
        SELECT d.contact_id, s.segment_number
        FROM different AS d CROSS JOIN LATERAL unnest(d.had) AS s(segment_number)
        WHERE s.segment_number <> ALL(d.wanted)
    ) AS g
    WHERE m.contact_id = g.contact_id AND m.segment_number = g.segment_number
    RETURNING m.segment_number, m.contact_id, m.enter_time
),
kept AS ({kept}),
changed AS (
    SELECT segment_number, contact_id, true AS entered FROM entered
    UNION ALL SELECT segment_number, contact_id, false FROM gone
),
sized AS (
    INSERT INTO segment_size (segment_number, delta)
    SELECT segment_number, sum(CASE WHEN entered THEN 1 ELSE -1 END) FROM changed
    GROUP BY segment_number HAVING sum(CASE WHEN entered THEN 1 ELSE -1 END) <> 0
),
scheduled AS (
    UPDATE contact_state AS s SET next_change = {next_change} FROM result AS r
    WHERE s.contact_id = r.contact_id AND s.next_change IS DISTINCT FROM {next_change}
),
told AS ({told})
SELECT segment_number, count(*) FILTER (WHERE entered), count(*) FILTER (WHERE NOT entered)
FROM changed GROUP BY segment_number
"""


@dataclass(frozen=True, slots=True)
class StepSql:
    """Hold a statement in the server's own style ($1, $2, …) and the names of its parameters in that order."""

    text: str
    names: tuple[str, ...]


def step_sql(batch: str, *, first: bool, others: Sequence[int] = ()) -> StepSql:
    """Return the statement that applies the verdicts of a batch statement to membership.

    batch: text of a SELECT of contact_id, segments and next_change, in pyformat style, parameters contact_ids and now.
    first: whether its next_change replaces what is stored, or may only make it earlier.
    others: numbers of the segments that have members and that the batch does not judge.
    """
    change = "r.next_change" if first else "LEAST(s.next_change, r.next_change)"
    judged = f"AND segment_number <> ALL('{arrays.of_numbers(others)}'::int[])" if others else ""
    told = TOLD.format(changed="changed")
    text = _STEP.format(batch=batch, next_change=change, judged=judged, kept=KEPT, told=told)
    # 200 rules make a text of 100 kB, which the driver would search for parameters each time: done here, once.
    names: dict[str, int] = {}

    def numbered(match: re.Match[str]) -> str:
        if match.group() == "%%":
            return "%"
        return f"${names.setdefault(match.group(1), len(names) + 1)}"

    return StepSql(re.sub(r"%\((\w+)\)s|%%", numbered, text), tuple(names))


def apply_step(
    connection: Connection,
    sql: StepSql,
    contact_ids: Sequence[UUID],
    notices: Notices,
    *,
    now: datetime,
    historical: bool,
    parameters: dict[str, Any],
) -> list[tuple[int, int, int]]:
    """Run a statement of `step_sql` on contacts that are locked; returns how many entered and left, by segment number.

    notices: of every segment that the statement judges.
    """
    values = {
        **parameters,
        "contact_ids": arrays.of_ids(contact_ids),
        **telling(notices, now, historical),
    }
    try:
        driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
        with RawCursor(driver) as cursor:
            cursor.execute(sql.text, [values[name] for name in sql.names], prepare=True)
            counts = cursor.fetchall()
            if counts and values["traces"]:
                _note_effects(cursor, values["id_prefix"])
            return counts
    except psycopg.Error as error:
        # As SQLAlchemy would have it, so that callers tell transient errors from others.
        raise sa.exc.DBAPIError.instance(sql.text[:200], None, error, psycopg.Error) from error


def _note_effects(cursor: RawCursor[Any], id_prefix: str) -> None:
    """Note on whom the statement that told with these ids had effects, so that their spans are recorded."""
    causes = context.causes()
    if causes is None or spans.sink is None:
        return
    bounds = [UUID(id_prefix + "0" * 8), UUID(id_prefix + "f" * 8)]
    cursor.execute("SELECT DISTINCT contact_id::text FROM outbox WHERE id BETWEEN $1 AND $2", bounds)
    causes.note(row[0] for row in cursor.fetchall())


def clear_schedule(connection: Connection, contact_ids: Sequence[UUID]) -> None:
    """Forget when the memberships of contacts change by time."""
    connection.exec_driver_sql(
        "UPDATE contact_state SET next_change = NULL "
        "WHERE contact_id = ANY(%(ids)s::uuid[]) AND next_change IS NOT NULL",
        {"ids": list(contact_ids)},
    )


def clear_strangers(connection: Connection, contact_ids: Sequence[UUID]) -> None:
    """Forget when memberships of contacts without a profile change: none does, and a profile brings its own schedule.

    Events of a contact may come before the contact, and a rebuild reads of events when they leave its windows.
    """
    connection.exec_driver_sql(
        "UPDATE contact_state AS s SET next_change = NULL WHERE s.contact_id = ANY(%(ids)s::uuid[]) "
        "AND s.next_change IS NOT NULL AND NOT EXISTS (SELECT FROM profile AS p WHERE p.contact_id = s.contact_id)",
        {"ids": list(contact_ids)},
    )


def schedule_earlier(connection: Connection, changes: Sequence[tuple[UUID, datetime]]) -> None:
    """Bring forward when memberships of contacts change by time."""
    if changes:
        connection.exec_driver_sql(
            "UPDATE contact_state AS s SET next_change = n.at "
            "FROM (SELECT contact_id, min(at) AS at FROM unnest(%(ids)s::uuid[], %(times)s::timestamptz[]) "
            "AS given(contact_id, at) GROUP BY contact_id) AS n "
            "WHERE s.contact_id = n.contact_id AND (s.next_change IS NULL OR s.next_change > n.at)",
            {"ids": [item[0] for item in changes], "times": [item[1] for item in changes]},
        )


_LIST_CHANGE = """
WITH {change},
sized AS (
    INSERT INTO segment_size (segment_number, delta)
    SELECT segment_number, sum(CASE WHEN entered THEN 1 ELSE -1 END) FROM changed GROUP BY segment_number
),
told AS ({told})
SELECT contact_id FROM changed ORDER BY contact_id
"""
_PUT_IN = """changed AS (
    INSERT INTO membership (segment_number, contact_id, enter_time)
    SELECT %(number)s::int, g.contact_id, %(now)s::timestamptz FROM unnest(%(ids)s::uuid[]) AS g(contact_id)
    ON CONFLICT DO NOTHING RETURNING segment_number, contact_id, true AS entered
)"""
_TAKE_OUT = f"""gone AS (
    DELETE FROM membership WHERE segment_number = %(number)s::int AND contact_id = ANY(%(ids)s::uuid[])
    RETURNING segment_number, contact_id, enter_time
),
kept AS ({KEPT}),
changed AS (SELECT segment_number, contact_id, false AS entered FROM gone)"""


def change_list(
    connection: Connection,
    notice: Notice,
    contact_ids: Sequence[UUID],
    *,
    entered: bool,
    now: datetime,
    historical: bool,
) -> list[UUID]:
    """Put contacts, each given once and locked, into a list, or take them out; returns those for whom that is new."""
    sql = _LIST_CHANGE.format(change=_PUT_IN if entered else _TAKE_OUT, told=TOLD.format(changed="changed"))
    values = {
        "number": notice.number,
        "ids": list(contact_ids),
        **telling(Notices((notice,)), now, historical),
    }
    return list(connection.exec_driver_sql(sql, values).scalars())


def select_members(number: int) -> Select[Any]:
    """Return a SELECT of contact_id of the members of a segment."""
    return sa.select(membership.c.contact_id).where(membership.c.segment_number == number)


def drop_vanished(connection: Connection, notice: Notice) -> int:
    """Take contacts that are gone by now out of a segment, as if they had never been told to be in it.

    The membership lock must be owned, and this transaction must have put them in, each with a profile then. Returns how
    many there were.
    """
    # Each of those that are gone is looked up among the members: of a million members that takes milliseconds, and to
    # look for the profile of each, with increments waiting, two seconds.
    gone = list(
        connection.exec_driver_sql(
            "SELECT m.contact_id FROM contact_gone AS g CROSS JOIN LATERAL (SELECT m.contact_id FROM membership AS m "
            "WHERE m.segment_number = %(number)s AND m.contact_id = g.contact_id OFFSET 0) AS m",
            {"number": notice.number},
        ).scalars()
    )
    if gone:
        connection.exec_driver_sql(
            "DELETE FROM membership WHERE segment_number = %(number)s AND contact_id = ANY(%(gone)s::uuid[])",
            {"number": notice.number, "gone": gone},
        )
        connection.execute(sa.insert(segment_size).values(segment_number=notice.number, delta=-len(gone)))
        connection.exec_driver_sql(
            "DELETE FROM outbox WHERE subject = %(subject)s AND position IS NULL "
            "AND contact_id = ANY(%(gone)s::uuid[])",
            {"subject": notice.subject, "gone": gone},
        )
    return len(gone)


def those_in(connection: Connection, number: int, contact_ids: Sequence[UUID]) -> list[UUID]:
    """Return those of some contacts that are members of a segment."""
    return list(
        connection.exec_driver_sql(
            "SELECT contact_id FROM membership WHERE segment_number = %(number)s "
            "AND contact_id = ANY(%(ids)s::uuid[])",
            {"number": number, "ids": list(contact_ids)},
        ).scalars()
    )


def member_count(connection: Connection, number: int) -> int:
    """Return how many members a segment has."""
    total = sa.select(sa.func.coalesce(sa.func.sum(segment_size.c.delta), 0)).where(
        segment_size.c.segment_number == number
    )
    return int(connection.execute(total).scalar_one())


def fold_sizes(connection: Connection) -> None:
    """Sum up the rows of `segment_size` that make up a size, when there are many; sizes stay the same."""
    many = (
        sa.select(segment_size.c.segment_number)
        .group_by(segment_size.c.segment_number)
        .having(sa.func.count() > 100)
    )
    for number in sorted(connection.execute(many).scalars()):
        connection.exec_driver_sql(
            "WITH gone AS (DELETE FROM segment_size WHERE segment_number = %(number)s RETURNING delta) "
            "INSERT INTO segment_size (segment_number, delta) SELECT %(number)s, coalesce(sum(delta), 0) FROM gone",
            {"number": number},
        )


def list_members(connection: Connection, number: int, *, after: UUID | None, limit: int) -> list[UUID]:
    """Return members in the order of their ids, those after an id."""
    query = sa.select(membership.c.contact_id).where(membership.c.segment_number == number)
    if after is not None:
        query = query.where(membership.c.contact_id > after)
    return list(connection.execute(query.order_by(membership.c.contact_id).limit(limit)).scalars())


def segments_of(connection: Connection, contact_id: UUID) -> list[Any]:
    """Return id, display_name and enter_time of the segments that a contact is in, by id."""
    query = (
        sa.select(segment.c.id, segment.c.display_name, membership.c.enter_time)
        .join(membership, membership.c.segment_number == segment.c.number)
        .where(membership.c.contact_id == contact_id)
        .order_by(segment.c.id)
    )
    return list(connection.execute(query))
