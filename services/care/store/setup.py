"""Queries on calendars, agents and queues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy import Connection, Row
from sqlalchemy.dialects import postgresql as pg

from services.care.domain.assignment import Candidate
from services.care.domain.calendar import Calendar, Hours
from services.care.domain.sla import Target
from services.care.models import ACTIVE_SQL, agent, calendar, case, queue
from services.care.store.scoping import visible
from services.kit.access.scope import EVERYTHING, Scope
from services.kit.locks import lock_key

FALLBACK_QUEUE = "default"
"""The queue that is made when a case comes and the business has not named one."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Hold a calendar with the labels of its special days."""

    calendar: Calendar
    labels: Mapping[date, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """Hold a queue as it is stored."""

    id: str
    display_name: str
    agents: Sequence[str]
    calendar_id: str | None
    targets: Mapping[str, Target]
    default_queue: bool
    reply_channel: str


def insert_calendar(connection: Connection, key: str, new: Labelled, now: datetime) -> bool:
    """Write a calendar; False when there is one of this id."""
    special = {
        day.isoformat(): {"label": new.labels.get(day, ""), "hours": hours}
        for day, hours in new.calendar.special.items()
    }
    statement = pg.insert(calendar).values(
        id=key,
        time_zone=new.calendar.zone.key,
        weekly={str(day): hours for day, hours in new.calendar.weekly.items()},
        special=special,
        create_time=now,
    )
    return connection.scalar(statement.on_conflict_do_nothing().returning(sa.literal(1))) == 1


def get_calendar(connection: Connection, key: str) -> Labelled | None:
    """Return a calendar, or None."""
    row = connection.execute(sa.select(calendar).where(calendar.c.id == key)).one_or_none()
    if row is None:
        return None
    return Labelled(
        Calendar(
            ZoneInfo(row.time_zone),
            {int(day): _hours(hours) for day, hours in row.weekly.items()},
            {date.fromisoformat(day): _hours(item["hours"]) for day, item in row.special.items()},
        ),
        {date.fromisoformat(day): item["label"] for day, item in row.special.items()},
    )


def _hours(pairs: Sequence[Sequence[int]]) -> Hours:
    return tuple((start, end) for start, end in pairs)


def insert_agent(
    connection: Connection, key: str, display_name: str, available: bool, capacity: int, now: datetime
) -> bool:
    """Write an agent; False when there is one of this id."""
    statement = pg.insert(agent).values(
        id=key, display_name=display_name, available=available, capacity=capacity, create_time=now
    )
    return connection.scalar(statement.on_conflict_do_nothing().returning(sa.literal(1))) == 1


def set_available(connection: Connection, key: str, available: bool) -> bool:
    """Change whether an agent takes cases; False when there is none of this id."""
    statement = sa.update(agent).where(agent.c.id == key).values(available=available)
    return connection.execute(statement).rowcount == 1


def _agents(scope: Scope) -> sa.Select[Any]:
    open_cases = sa.select(sa.func.count()).where(
        case.c.assignee == agent.c.id, sa.text(ACTIVE_SQL), visible(scope)
    )
    return sa.select(agent, open_cases.scalar_subquery().label("open_cases"))


def agents(connection: Connection, scope: Scope, *, after: str, count: int) -> list[Row[Any]]:
    """Return agents by id with the number of their open cases within a scope."""
    query = _agents(scope).where(agent.c.id > after).order_by(agent.c.id).limit(count)
    return list(connection.execute(query))


def agents_of(connection: Connection, keys: Sequence[str], scope: Scope) -> list[Row[Any]]:
    """Return agents with the number of their open cases within a scope."""
    return list(connection.execute(_agents(scope).where(agent.c.id.in_(keys))))


def unknown_agents(connection: Connection, keys: Sequence[str]) -> list[str]:
    """Return which of the ids belong to no agent."""
    known = set(connection.scalars(sa.select(agent.c.id).where(agent.c.id.in_(keys))))
    return [key for key in keys if key not in known]


def candidates(connection: Connection, queue_id: str) -> tuple[list[Candidate], str | None]:
    """Return the agents of a queue in its order, and whom the round robin chose last.

    Locks the queue, so that one case at a time is assigned from it. Always case first, then queue, then agents: who
    locks them in another order risks a deadlock. Others may go on to refer to them (KEY SHARE), as a new case does
    before it is assigned.
    """
    row = connection.execute(
        sa.select(queue.c.agents, queue.c.last_agent)
        .where(queue.c.id == queue_id)
        .with_for_update(key_share=True)
    ).one()
    if not row.agents:
        return [], row.last_agent
    # Agents are locked too: an agent may work for several queues, and its capacity is one.
    connection.execute(
        sa.select(agent.c.id)
        .where(agent.c.id.in_(row.agents))
        .order_by(agent.c.id)
        .with_for_update(key_share=True)
    ).all()
    known = {item.id: item for item in agents_of(connection, row.agents, EVERYTHING)}
    found = [
        Candidate(key, known[key].available, known[key].open_cases, known[key].capacity)
        for key in row.agents
        if key in known
    ]
    return found, row.last_agent


def set_last_agent(connection: Connection, queue_id: str, key: str) -> None:
    """Move the round robin of a queue."""
    connection.execute(sa.update(queue).where(queue.c.id == queue_id).values(last_agent=key))


def lock_setup(connection: Connection) -> None:
    """Let one transaction at a time change queues, so that two of them cannot both name the default one."""
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(lock_key("care:queues"))))


def insert_queue(connection: Connection, new: Queue, now: datetime) -> bool:
    """Write a queue; False when there is one of this id. A new default replaces the former."""
    if new.default_queue:
        _clear_default(connection)
    statement = pg.insert(queue).values(create_time=now, id=new.id, **_queue_values(new))
    return (
        connection.scalar(statement.on_conflict_do_nothing(index_elements=["id"]).returning(sa.literal(1)))
        == 1
    )


def update_queue(connection: Connection, changed: Queue) -> None:
    """Write a queue anew. A new default replaces the former."""
    if changed.default_queue:
        _clear_default(connection)
    connection.execute(sa.update(queue).where(queue.c.id == changed.id).values(**_queue_values(changed)))


def _clear_default(connection: Connection) -> None:
    connection.execute(sa.update(queue).where(queue.c.default_queue).values(default_queue=False))


def _queue_values(item: Queue) -> dict[str, Any]:
    return {
        "display_name": item.display_name,
        "agents": list(item.agents),
        "calendar_id": item.calendar_id,
        "targets": {
            priority: [target.first_response_minutes, target.resolution_minutes]
            for priority, target in item.targets.items()
        },
        "default_queue": item.default_queue,
        "reply_channel": item.reply_channel,
    }


def get_queue(connection: Connection, key: str, *, lock: bool = False) -> Queue | None:
    """Return a queue, or None."""
    query = sa.select(queue).where(queue.c.id == key)
    row = connection.execute(query.with_for_update(key_share=True) if lock else query).one_or_none()
    return None if row is None else _queue(row)


def default_queue(connection: Connection, now: datetime) -> Queue:
    """Return the default queue; makes a plain one when the business has named none, so that no case is lost."""
    row = connection.execute(sa.select(queue).where(queue.c.default_queue)).one_or_none()
    if row is not None:
        return _queue(row)
    fallback = Queue(
        id=FALLBACK_QUEUE,
        display_name="Default",
        agents=(),
        calendar_id=None,
        targets={},
        default_queue=False,
        reply_channel="",
    )
    insert_queue(connection, fallback, now)
    return get_queue(connection, FALLBACK_QUEUE) or fallback


def queues(connection: Connection, *, after: str, count: int) -> list[Queue]:
    """Return queues by id."""
    query = sa.select(queue).where(queue.c.id > after).order_by(queue.c.id).limit(count)
    return [_queue(row) for row in connection.execute(query)]


def _queue(row: Row[Any]) -> Queue:
    return Queue(
        id=row.id,
        display_name=row.display_name,
        agents=tuple(row.agents),
        calendar_id=row.calendar_id,
        targets={priority: Target(*minutes) for priority, minutes in row.targets.items()},
        default_queue=row.default_queue,
        reply_channel=row.reply_channel,
    )
