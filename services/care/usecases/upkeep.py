"""What care does by itself: mark broken promises, assign cases that wait, close what was solved long ago."""

from __future__ import annotations

from services.care.domain.cases import CLOSE_AFTER
from services.care.models import kit
from services.care.store import cases
from services.care.usecases.events import case_event
from services.care.usecases.opening import assign_waiting_in
from services.kit import outbox
from services.kit.runtime import Runtime

BATCH = 200


def mark_broken_promises(runtime: Runtime) -> int:
    """Mark every promise that is due and not fulfilled as broken, tell each once, and return how many."""
    return sum(_mark_broken(runtime, promise) for promise in ("first_response", "resolution"))


def _mark_broken(runtime: Runtime, promise: str) -> int:
    marked = 0
    while True:
        now = runtime.clock.now()
        with runtime.db.transaction() as connection:
            late = cases.mark_broken(connection, promise, now, BATCH)
            events = [case_event("case.breached", item, now, promise=promise) for item in late]
            outbox.append(connection, kit.outbox, events, record_time=now)
        marked += len(late)
        if len(late) < BATCH:
            return marked


def assign_waiting(runtime: Runtime) -> int:
    """Give cases without an agent to whoever can take them now, oldest first in each queue; return how many."""
    with runtime.db.read() as connection:
        queues = cases.queues_waiting(connection)
    given = 0
    for queue in queues:
        count = BATCH
        while count == BATCH:
            with runtime.db.transaction() as connection:
                count = assign_waiting_in(connection, queue, BATCH, runtime.clock.now())
            given += count
    return given


def close_resolved(runtime: Runtime) -> int:
    """Close cases that were solved so long ago that they cannot be opened again; return how many."""
    closed = 0
    while True:
        now = runtime.clock.now()
        with runtime.db.transaction() as connection:
            settled = cases.close_resolved(connection, now - CLOSE_AFTER, now, BATCH)
            events = [case_event("case.closed", item, now) for item in settled]
            outbox.append(connection, kit.outbox, events, record_time=now)
        closed += len(settled)
        if len(settled) < BATCH:
            return closed
