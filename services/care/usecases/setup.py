"""Set up agents, calendars and queues."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from services.care.domain.cases import ACTIVE
from services.care.domain.sla import unreachable
from services.care.store import cases, setup
from services.care.store.scoping import may_manage
from services.care.store.setup import Labelled, Queue
from services.care.usecases.opening import assign_by_queue
from services.care.usecases.upkeep import assign_waiting
from services.kit import context
from services.kit.access.scope import EVERYTHING
from services.kit.errors import AlreadyExists, InvalidArgument, NotFound
from services.kit.runtime import Runtime


def create_agent(
    runtime: Runtime, connection: Connection, key: str, display_name: str, available: bool, capacity: int
) -> Row[Any]:
    """Create an agent in the caller's transaction; raises AlreadyExists."""
    if not setup.insert_agent(connection, key, display_name, available, capacity, runtime.clock.now()):
        raise AlreadyExists(f"agents/{key} exists already")
    return setup.agents_of(connection, [key], EVERYTHING)[0]


def set_availability(runtime: Runtime, key: str, available: bool, hand_over: bool) -> tuple[Row[Any], int]:
    """Say whether an agent takes cases, hand its cases over if asked, and return it with how many others took.

    Cases that nobody else can take wait in their queues without an agent. Raises NotFound, also for an agent out of the
    caller's scope.
    """
    with runtime.db.transaction() as connection:
        if not may_manage(connection, key, context.scope()) or not setup.set_available(
            connection, key, available
        ):
            raise NotFound.resource(f"agents/{key}")
    # From here on no new case comes to an agent who is not available.
    given = _hand_over(runtime, key) if hand_over and not available else 0
    if available:
        assign_waiting(runtime)
    with runtime.db.read() as connection:
        return setup.agents_of(connection, [key], context.scope())[0], given


def _hand_over(runtime: Runtime, agent: str) -> int:
    with runtime.db.read() as connection:
        keys = cases.of_agent(connection, agent)
    given = 0
    # A transaction for each, in which the locks are taken in their order; the same call again does what is left.
    for key in keys:
        with runtime.db.transaction() as connection:
            item = cases.get(connection, key, EVERYTHING, lock=True)
            if item is None or item.assignee != agent or item.state not in ACTIVE:
                continue
            taker = assign_by_queue(connection, item, runtime.clock.now()).assignee
            given += taker is not None and taker != agent
    return given


def list_agents(runtime: Runtime, *, after: str, count: int) -> list[Row[Any]]:
    """Return agents by id with the number of their open cases within the caller's scope."""
    with runtime.db.read() as connection:
        return setup.agents(connection, context.scope(), after=after, count=count)


def create_calendar(runtime: Runtime, connection: Connection, key: str, new: Labelled) -> Labelled:
    """Create a calendar in the caller's transaction; raises AlreadyExists, InvalidArgument for one that never opens."""
    if not new.calendar.opens_after(runtime.clock.now()):
        raise InvalidArgument.field(
            "calendar.weekly_intervals",
            "the calendar does not open within 20 years; give an interval that its special days leave open",
            reason="INVALID_CALENDAR",
        )
    if not setup.insert_calendar(connection, key, new, runtime.clock.now()):
        raise AlreadyExists(f"calendars/{key} exists already")
    return new


def get_calendar(runtime: Runtime, key: str) -> Labelled:
    """Return a calendar; raises NotFound."""
    with runtime.db.read() as connection:
        found = setup.get_calendar(connection, key)
    if found is None:
        raise NotFound.resource(f"calendars/{key}")
    return found


def create_queue(runtime: Runtime, connection: Connection, new: Queue) -> Queue:
    """Create a queue in the caller's transaction.

    Raises AlreadyExists, NotFound for an unknown calendar or agent, InvalidArgument.
    """
    setup.lock_setup(connection)
    _check(connection, new, runtime.clock.now())
    if not setup.insert_queue(connection, new, runtime.clock.now()):
        raise AlreadyExists(f"queues/{new.id} exists already")
    return new


def get_queue(connection: Connection, key: str) -> Queue:
    """Return a queue, locked for a change in the caller's transaction; raises NotFound."""
    setup.lock_setup(connection)
    found = setup.get_queue(connection, key, lock=True)
    if found is None:
        raise NotFound.resource(f"queues/{key}")
    return found


def update_queue(runtime: Runtime, connection: Connection, changed: Queue) -> Queue:
    """Write a changed queue in the caller's transaction; raises NotFound, InvalidArgument as create_queue."""
    _check(connection, changed, runtime.clock.now())
    setup.update_queue(connection, changed)
    return changed


def list_queues(runtime: Runtime, *, after: str, count: int) -> Sequence[Queue]:
    """Return queues by id."""
    with runtime.db.read() as connection:
        return setup.queues(connection, after=after, count=count)


def _check(connection: Connection, item: Queue, now: datetime) -> None:
    if len(set(item.agents)) != len(item.agents):
        raise InvalidArgument.field("queue.agents", "names an agent twice")
    unknown = setup.unknown_agents(connection, item.agents)
    if unknown:
        raise NotFound.resource(f"agents/{unknown[0]}")
    if not item.calendar_id:
        return
    stored = setup.get_calendar(connection, item.calendar_id)
    if stored is None:
        raise NotFound.resource(f"calendars/{item.calendar_id}")
    if any(unreachable(target, stored.calendar, now) for target in item.targets.values()):
        raise InvalidArgument.field(
            "queue.sla_targets",
            f"calendars/{item.calendar_id} is not open for so many minutes within 20 years; promise less",
        )
