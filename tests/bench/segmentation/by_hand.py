"""The same work in SQL written by hand: the ceilings of rebuilds, and of what an increment has to write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from services.kit.names import new_id
from tests.bench.segmentation.rules import Measured
from tests.support.segmentation import NOW


def hand_rebuild(connection: Connection, item: Measured, number: int) -> None:
    """Bring a segment's members in line: find the difference and note when time changes anything, with the events read
    once for both; apply the difference, keep who was a member when, and tell it.
    """
    values = {"now": NOW, "number": number}

    def run(statement: str) -> None:
        connection.exec_driver_sql(statement, values)

    run(
        "CREATE TEMPORARY TABLE difference (contact_id uuid NOT NULL, entered boolean NOT NULL) ON COMMIT DROP"
    )
    noting = f"""
        INSERT INTO difference
        SELECT coalesce(r.contact_id, m.contact_id), m.contact_id IS NULL
        FROM ({item.members}) AS r
        FULL JOIN (SELECT contact_id FROM membership WHERE segment_number = %(number)s) AS m USING (contact_id)
        WHERE r.contact_id IS NULL OR m.contact_id IS NULL
    """
    if item.changes:
        run(f"""
            WITH found AS MATERIALIZED ({item.found}), noted AS ({noting})
            UPDATE contact_state AS s SET next_change = c.at FROM ({item.changes}) AS c
            WHERE s.contact_id = c.contact_id AND (s.next_change IS NULL OR s.next_change > c.at)
        """)
    else:
        run(noting)
    run("ANALYZE difference")
    run("""
        WITH gone AS (
            DELETE FROM membership AS m USING difference AS d
            WHERE NOT d.entered AND m.segment_number = %(number)s AND m.contact_id = d.contact_id
            RETURNING m.contact_id, m.enter_time
        )
        INSERT INTO membership_past (segment_number, contact_id, enter_time, leave_time)
        SELECT %(number)s, contact_id, enter_time, %(now)s FROM gone
    """)
    run("""
        INSERT INTO membership (segment_number, contact_id, enter_time)
        SELECT %(number)s, contact_id, %(now)s FROM difference WHERE entered
    """)
    run("""
        INSERT INTO outbox
            (id, type, subject, contact_id, revision, occur_time, record_time, historical, data_type, data)
        SELECT gen_random_uuid(), CASE WHEN entered THEN 'segment.entered' ELSE 'segment.left' END, 'segments/x',
               contact_id, 1, %(now)s, %(now)s, false, 'type', ''::bytea
        FROM difference
    """)
    run("""
        INSERT INTO segment_size (segment_number, delta)
        SELECT %(number)s, count(*) FILTER (WHERE entered) - count(*) FILTER (WHERE NOT entered) FROM difference
    """)


def hand_pass(connection: Connection, numbers: Sequence[int]) -> int:
    """Judge everybody by the rules of `many` in one pass, and note who differs; returns how many.

    Each type of event is read once, and each segment has a verdict of its own, as somebody writes them who must be able
    to change one without the others. All windows of one time, or of the same events, end by one search.
    """
    features: dict[str, dict[str, str]] = {"order.placed": {}, "page.visited": {}}
    verdicts: list[str] = []
    ends: dict[str, list[int]] = {"o.last": [], "o.third": [], "v.second": [], "occurred_at": []}
    o, p = "'order.placed'", "'page.visited'"
    orders, pages = features["order.placed"], features["page.visited"]
    # The n-th latest event serves every window, whatever its length.
    orders["last"] = "max(occurred_at)"
    orders["third"] = "CASE WHEN count(*) >= 3 THEN (array_agg(occurred_at ORDER BY occurred_at DESC))[3] END"
    pages["second"] = "CASE WHEN count(*) >= 2 THEN (array_agg(occurred_at ORDER BY occurred_at DESC))[2] END"

    def since(days: int) -> str:
        return f"occurred_at >= %(now)s::timestamptz - interval '{days * 86400} seconds'"

    def first_end(instant: str, days: Sequence[int]) -> str:
        """Return the first instant later than now at which one of the windows lets go of an event."""
        # A window keeps what is just so old: it is gone a microsecond later. Of the windows that still hold it the
        # shortest ends first.
        falling = sorted(days, reverse=True)
        oldest = ", ".join(f"%(now)s::timestamptz - interval '{n * 86400} seconds'" for n in falling)
        spans = ", ".join(f"interval '{n * 86400}.000001 seconds'" for n in falling)
        return f"{instant} + (ARRAY[{spans}])[width_bucket({instant}, (SELECT ARRAY[{oldest}]))]"

    for at, number in enumerate(numbers):
        form, n = at % 6, at + 1
        if form in (0, 3):
            ends["o.last"].append(n)
        if form == 0:
            verdict = f"o.last >= %(now)s::timestamptz - interval '{n * 86400} seconds'"
        elif form == 1:
            ends["o.third"].append(n)
            verdict = f"o.third >= %(now)s::timestamptz - interval '{n * 86400} seconds'"
        elif form == 2:
            verdict = f"p.region_code = 'VN' AND p.order_count >= {n}"
        elif form == 3:
            ends["v.second"].append(n)
            verdict = (
                f"v.second >= %(now)s::timestamptz - interval '{n * 86400} seconds' "
                f"AND (o.last >= %(now)s::timestamptz - interval '{n * 86400} seconds') IS NOT TRUE"
            )
        elif form == 4:
            orders[f"s{n}"] = f"sum(amount) FILTER (WHERE {since(n)})"
            ends["occurred_at"].append(n)
            verdict = f"o.s{n} > 100"
        else:
            verdict = f"p.total_spent > {n} OR p.has_email"
        verdicts.append(f"CASE WHEN {verdict} THEN {number} END")

    changes = [first_end(instant, days) for instant, days in ends.items() if days and "." in instant]
    if ends["occurred_at"]:
        orders["first_end"] = f"min({first_end('occurred_at', ends['occurred_at'])})"
        changes.append("o.first_end")

    def grouped(kind: str) -> str:
        columns = ", ".join(f"{text} AS {name}" for name, text in features[kind.strip("'")].items())
        return f"""
            (SELECT contact_id, {columns} FROM event WHERE type = {kind} AND occurred_at <= %(now)s GROUP BY contact_id)
        """

    return connection.exec_driver_sql(
        f"""
        CREATE TEMPORARY TABLE differing_by_hand ON COMMIT DROP AS
        SELECT r.contact_id FROM (
            SELECT p.contact_id, array_remove(ARRAY[{", ".join(verdicts)}], NULL) AS segments,
                   LEAST({", ".join([*changes, "f.at"])}) AS at
            FROM profile AS p LEFT JOIN {grouped(o)} AS o USING (contact_id)
            LEFT JOIN {grouped(p)} AS v USING (contact_id)
            LEFT JOIN (SELECT contact_id, min(occurred_at) AS at FROM event
                       WHERE type IN ({o}, {p}) AND occurred_at > %(now)s GROUP BY 1) AS f USING (contact_id)
        ) AS r
        LEFT JOIN (
            SELECT contact_id, array_agg(segment_number ORDER BY segment_number) AS segments FROM membership
            WHERE segment_number = ANY(%(numbers)s::int[]) GROUP BY contact_id
        ) AS m USING (contact_id)
        LEFT JOIN contact_state AS s USING (contact_id)
        WHERE r.segments <> coalesce(m.segments, ARRAY[]::int[]) OR r.at < coalesce(s.next_change, 'infinity')
        """,
        {"now": NOW, "numbers": list(numbers)},
    ).rowcount


class Change(NamedTuple):
    """Say who entered a segment, or left it."""

    number: int
    contact_id: UUID
    entered: bool


_GIVEN = "unnest(%(numbers)s::int[], %(contacts)s::uuid[], %(entered)s::boolean[]) AS g(number, contact_id, entered)"


def apply(connection: Connection, changes: Sequence[Change]) -> None:
    """Write changes that are known: members, who was one before, the events, and how many there are."""
    connection.exec_driver_sql(
        f"""
        WITH given AS MATERIALIZED (SELECT * FROM {_GIVEN}),
        entering AS (
            INSERT INTO membership (segment_number, contact_id, enter_time)
            SELECT number, contact_id, %(now)s FROM given WHERE entered
        ),
        gone AS (
            DELETE FROM membership AS m USING given AS g
            WHERE NOT g.entered AND m.segment_number = g.number AND m.contact_id = g.contact_id
            RETURNING m.segment_number, m.contact_id, m.enter_time
        ),
        kept AS (
            INSERT INTO membership_past (segment_number, contact_id, enter_time, leave_time)
            SELECT segment_number, contact_id, enter_time, %(now)s FROM gone
        ),
        told AS (
            INSERT INTO outbox
                (id, type, subject, contact_id, revision, occur_time, record_time, historical, data_type, data)
            SELECT (%(prefix)s || lpad(to_hex(row_number() OVER ()), 8, '0'))::uuid,
                   CASE WHEN entered THEN 'segment.entered' ELSE 'segment.left' END, 'by-hand/' || number,
                   contact_id, 1, %(now)s, %(now)s, false, 'type', ''::bytea
            FROM given
        )
        INSERT INTO segment_size (segment_number, delta)
        SELECT number, sum(CASE WHEN entered THEN 1 ELSE -1 END) FROM given GROUP BY number
        """,
        {**_values(changes), "now": NOW, "prefix": new_id().hex[:24]},
    )


def undo(connection: Connection, changes: Sequence[Change]) -> None:
    """Let members be as before changes; nothing is told."""
    values = {**_values(changes), "now": NOW}
    connection.exec_driver_sql(
        f"DELETE FROM membership AS m USING {_GIVEN} "
        "WHERE g.entered AND m.segment_number = g.number AND m.contact_id = g.contact_id",
        values,
    )
    connection.exec_driver_sql(
        "INSERT INTO membership (segment_number, contact_id, enter_time) "
        f"SELECT g.number, g.contact_id, %(now)s::timestamptz - interval '1 day' FROM {_GIVEN} WHERE NOT g.entered "
        "ON CONFLICT DO NOTHING",
        values,
    )


def _values(changes: Sequence[Change]) -> dict[str, object]:
    return {
        "numbers": [change.number for change in changes],
        "contacts": [change.contact_id for change in changes],
        "entered": [change.entered for change in changes],
    }
