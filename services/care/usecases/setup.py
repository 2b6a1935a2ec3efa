"""Set up agents, calendars and queues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row

from services.care.store import cases, setup
from services.care.store.setup import Labelled, Queue
from services.care.usecases.opening import assign_by_queue
from services.care.usecases.upkeep import assign_waiting
from services.kit.errors import AlreadyExists, InvalidArgument, NotFound
from services.kit.runtime import Runtime


def create_agent(runtime: Runtime, key: str, display_name: str, available: bool, capacity: int) -> Row[Any]:
    """Create an agent; raises AlreadyExists."""
    with runtime.db.transaction() as connection:
        if not setup.insert_agent(connection, key, display_name, available, capacity, runtime.clock.now()):
            raise AlreadyExists(f"agents/{key} exists already")
        return setup.agents_of(connection, [key])[0]


def set_availability(runtime: Runtime, key: str, available: bool, hand_over: bool) -> tuple[Row[Any], int]:
    """Say whether an agent takes cases, hand its cases over if asked, and return it with how many were given away.

    Raises NotFound.
    """
    now = runtime.clock.now()
    given = 0
    with runtime.db.transaction() as connection:
        if not setup.set_available(connection, key, available):
            raise NotFound.resource(f"agents/{key}")
        if hand_over and not available:
            for item in cases.of_agent(connection, key):
                assign_by_queue(connection, item, now)
                given += 1
    if available:
        assign_waiting(runtime)
    with runtime.db.read() as connection:
        return setup.agents_of(connection, [key])[0], given


def list_agents(runtime: Runtime, *, after: str, count: int) -> list[Row[Any]]:
    """Return agents by id with the number of their open cases."""
    with runtime.db.read() as connection:
        return setup.agents(connection, after=after, count=count)


def create_calendar(runtime: Runtime, key: str, new: Labelled) -> Labelled:
    """Create a calendar; raises AlreadyExists, InvalidArgument for one that never opens."""
    if not new.calendar.ever_opens():
        raise InvalidArgument.field(
            "calendar.weekly_intervals", "the calendar never opens on a week day; give at least one interval"
        )
    with runtime.db.transaction() as connection:
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


def create_queue(runtime: Runtime, new: Queue) -> Queue:
    """Create a queue; raises AlreadyExists, NotFound for an unknown calendar or agent."""
    with runtime.db.transaction() as connection:
        _check_references(connection, new)
        if not setup.insert_queue(connection, new, runtime.clock.now()):
            raise AlreadyExists(f"queues/{new.id} exists already")
    return new


def get_queue(connection: Connection, key: str) -> Queue:
    """Return a queue, locked; raises NotFound."""
    found = setup.get_queue(connection, key, lock=True)
    if found is None:
        raise NotFound.resource(f"queues/{key}")
    return found


def update_queue(connection: Connection, changed: Queue) -> Queue:
    """Write a changed queue in the caller's transaction; raises NotFound for an unknown calendar or agent."""
    _check_references(connection, changed)
    setup.update_queue(connection, changed)
    return changed


def list_queues(runtime: Runtime, *, after: str, count: int) -> Sequence[Queue]:
    """Return queues by id."""
    with runtime.db.read() as connection:
        return setup.queues(connection, after=after, count=count)


def _check_references(connection: Connection, item: Queue) -> None:
    if item.calendar_id and setup.get_calendar(connection, item.calendar_id) is None:
        raise NotFound.resource(f"calendars/{item.calendar_id}")
    if len(set(item.agents)) != len(item.agents):
        raise InvalidArgument.field("queue.agents", "names an agent twice")
    unknown = setup.unknown_agents(connection, item.agents)
    if unknown:
        raise NotFound.resource(f"agents/{unknown[0]}")
