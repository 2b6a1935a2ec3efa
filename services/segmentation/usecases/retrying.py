"""When a rebuild that failed for a plugin is tried again."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection

from services.segmentation.store import segments

SOONEST = timedelta(seconds=30)
LONGEST = timedelta(minutes=10)
TIMES_THE_WORK = 3


def fail_for_plugin(connection: Connection, id_: str, problem: str, started: datetime, now: datetime) -> None:
    """Record that a rebuild failed for a plugin, and when it is tried again. started: when the attempt began."""
    since = segments.failing_since(connection, id_) or now
    # As long again as it has failed. One that works for long before it fails leaves most of the time to other rebuilds.
    wait = max(SOONEST, min(now - since, LONGEST), TIMES_THE_WORK * (now - started))
    due = now + wait
    segments.fail(
        connection,
        id_,
        f"{problem}; the rebuild is tried again by itself at {due:%Y-%m-%dT%H:%M:%SZ}, or, while a plugin is missing, "
        "when it is back",
        failing_since=since,
        retry_time=due,
    )
