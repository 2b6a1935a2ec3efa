"""Expiry: 100,000 windows that lapse within a minute, by the clock on the wall."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from services.kit.clock import SystemClock
from services.segmentation.store import segments
from services.segmentation.usecases import upkeep
from tests.bench.report import Figure
from tests.support.segmentation import World

WINDOW = timedelta(days=30)
PERIOD = 0.25
"""Seconds between two looks, as in the worker."""


def measure(seg: World, windows: int, seconds: int, say: Callable[[str], None]) -> list[Figure]:
    """Let windows lapse at even distances, and see how late each member is out."""
    start = datetime.now(UTC) + timedelta(seconds=windows / 5_000 + 10)
    seg = World(dataclasses.replace(seg.service, clock=SystemClock()), seg.clock)
    with seg.db.transaction() as connection:
        run = connection.exec_driver_sql
        run("TRUNCATE membership, membership_past, segment_size, event, outbox")
        run("DELETE FROM segment")
        run("UPDATE contact_state SET next_change = NULL")
        run(
            "INSERT INTO event (contact_id, event_id, type, category, amount, occurred_at, payload) "
            "SELECT contact_id, gen_random_uuid(), 'order.placed', 'shoes', 10, "
            "       %(start)s::timestamptz - %(window)s::interval - interval '1 microsecond' "
            "       + %(seconds)s * interval '1 second' * (row_number() OVER ()) / %(windows)s, '{}' "
            "FROM (SELECT contact_id FROM profile LIMIT %(windows)s) AS chosen",
            {"start": start, "window": WINDOW, "seconds": seconds, "windows": windows},
        )
        run("ANALYZE event")
    with seg.db.transaction() as connection:
        segments.bump(connection, rules=True)
    seg.define("lately", f"events.order_placed.exists(o, now - o.time <= days({WINDOW.days}))")
    due: dict[Any, datetime] = dict(
        _rows(seg, "SELECT contact_id, next_change FROM contact_state WHERE next_change IS NOT NULL")
    )
    assert len(due) == windows, (len(due), windows)
    first = min(due.values())
    ahead = (first - datetime.now(UTC)).total_seconds()
    say(f"{windows:,} windows lapse within {seconds} s, the first in {ahead:.1f} s")
    late: list[float] = []
    seen = 0
    while len(late) < windows:
        upkeep.expire(seg.service, run_seconds=PERIOD)
        rows = _rows(seg, f"SELECT contact_id, id FROM membership_past WHERE id > {seen}")
        now = datetime.now(UTC)
        seen = max((row[1] for row in rows), default=seen)
        late += [(now - due[contact]).total_seconds() for contact, _ in rows]
        if not rows:
            time.sleep(PERIOD)
        assert now < start + timedelta(seconds=10 * seconds), f"{len(late)} of {windows} lapsed"
    late.sort()
    assert late[0] >= 0, "somebody left too early"
    p50, p99 = late[len(late) // 2], late[len(late) * 99 // 100]
    say(f"lateness: p50 {p50:.2f} s, p99 {p99:.2f} s, worst {late[-1]:.2f} s")
    return [Figure(f"expiry: {windows:,} windows within {seconds} s, p99 lateness", p99, 1.0, "s", 1.0)]


def _rows(seg: World, sql: str) -> list[Any]:
    with seg.db.read() as connection:
        return list(connection.exec_driver_sql(sql))
