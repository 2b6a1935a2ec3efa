"""What care does by itself: mark broken promises, assign cases that wait."""

from __future__ import annotations

from services.care.models import kit
from services.care.store import cases
from services.care.usecases.events import case_event
from services.care.usecases.opening import assign_by_queue
from services.kit import outbox
from services.kit.runtime import Runtime

BATCH = 200


def mark_broken_promises(runtime: Runtime) -> int:
    """Mark every promise that is due and not fulfilled as broken, tell it once, and return how many."""
    marked = 0
    while True:
        with runtime.db.transaction() as connection:
            now = runtime.clock.now()
            late = cases.late(connection, now, BATCH)
            events = []
            for item in late:
                broken = [
                    name
                    for name, promise in (
                        ("first_response", item.first_response),
                        ("resolution", item.resolution),
                    )
                    if promise.done is None and promise.broken(now) and name not in item.broken
                ]
                changed = cases.update(
                    connection, item.id, now, **{f"{name}_breached": True for name in broken}
                )
                events += [case_event("case.breached", changed, now, promise=name) for name in broken]
            outbox.append(connection, kit.outbox, events, record_time=now)
            marked += len(events)
        if len(late) < BATCH:
            return marked


def assign_waiting(runtime: Runtime) -> int:
    """Give cases without an agent to whoever can take them now, oldest first, and return how many were given."""
    with runtime.db.read() as connection:
        waiting = cases.unassigned(connection, BATCH)
    given = 0
    full: set[str] = set()
    for key, queue in waiting:
        if queue in full:
            continue
        with runtime.db.transaction() as connection:
            item = cases.get(connection, key, lock=True)
            if item is None or item.assignee is not None:
                continue
            if assign_by_queue(connection, item, runtime.clock.now()).assignee is None:
                full.add(queue)
            else:
                given += 1
    return given
