"""Queries on tasks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from services.care.domain.tasks import Task, TaskState
from services.care.models import task
from services.care.store.scoping import visible_task
from services.kit.access.scope import Scope

# As the indexes have it: what is due at no time comes last.
_DUE = sa.func.coalesce(task.c.due_time, sa.literal_column("'infinity'"))
Position = tuple[datetime | None, UUID]


def insert(connection: Connection, values: Mapping[str, Any]) -> Task:
    """Write a task and return it."""
    return _task(connection.execute(sa.insert(task).values(**values).returning(task)).one())


def get(connection: Connection, key: UUID, scope: Scope, *, lock: bool = False) -> Task | None:
    """Return a task within a scope, or None; with `lock` nobody else changes it until the transaction ends."""
    query = sa.select(task).where(task.c.id == key, visible_task(scope))
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else _task(row)


def update(connection: Connection, key: UUID, now: datetime, values: Mapping[str, Any]) -> Task:
    """Change a task, which raises its revision, and return it."""
    statement = (
        sa.update(task)
        .where(task.c.id == key)
        .values(revision=task.c.revision + 1, update_time=now, **values)
        .returning(task)
    )
    return _task(connection.execute(statement).one())


def page(
    connection: Connection,
    scope: Scope,
    *,
    contact_id: UUID | None = None,
    case_id: UUID | None = None,
    assignee: str | None = None,
    queue: str | None = None,
    state: TaskState | None = None,
    due_before: datetime | None = None,
    unassigned: bool = False,
    after: Position | None = None,
    count: int,
) -> list[Task]:
    """Return tasks within a scope, those due first and those without a due time last.

    after: the last one of the page before.
    """
    query = sa.select(task).where(visible_task(scope)).order_by(_DUE, task.c.id).limit(count)
    given = {
        task.c.contact_id: contact_id,
        task.c.case_id: case_id,
        task.c.assignee: assignee,
        task.c.queue_id: queue,
        task.c.state: state,
    }
    for column, value in given.items():
        if value is not None:
            query = query.where(column == value)
    if due_before is not None:
        query = query.where(task.c.due_time < due_before)
    if unassigned:
        query = query.where(task.c.assignee.is_(None))
    if after is not None:
        due, key = after
        place = sa.literal_column("'infinity'::timestamptz") if due is None else sa.literal(due)
        query = query.where(sa.tuple_(_DUE, task.c.id) > sa.tuple_(place, sa.literal(key)))
    return [_task(row) for row in connection.execute(query)]


def mark_overdue(connection: Connection, now: datetime, count: int) -> list[Task]:
    """Mark open tasks whose time has passed and return them; skips those that somebody is changing."""
    picked = (
        sa.select(task.c.id)
        .where(task.c.due_time <= now, task.c.state == TaskState.OPEN, ~task.c.overdue)
        .order_by(task.c.due_time)
        .limit(count)
        .with_for_update(skip_locked=True)
        .cte("picked")
    )
    statement = (
        sa.update(task)
        .where(task.c.id == picked.c.id)
        .values(overdue=True, revision=task.c.revision + 1, update_time=now)
        .returning(task)
    )
    return [_task(row) for row in connection.execute(statement)]


def hand_over(connection: Connection, heirs: Mapping[UUID, UUID | None]) -> None:
    """Give tasks to the contacts that remain; those of nobody lose their contact."""
    connection.exec_driver_sql(
        "UPDATE task AS t SET contact_id = n.heir, revision = t.revision + 1 "
        "FROM unnest(%(ids)s::uuid[], %(heirs)s::uuid[]) AS n(contact_id, heir) WHERE t.contact_id = n.contact_id",
        {"ids": list(heirs), "heirs": list(heirs.values())},
    )


def empty(connection: Connection, contact_ids: Collection[UUID], now: datetime) -> list[Task]:
    """Take everything personal out of the tasks of contacts, drop those that are open, and return these."""
    mine = task.c.contact_id.in_(list(contact_ids))
    dropped = connection.execute(
        sa.update(task)
        .where(mine, task.c.state == TaskState.OPEN)
        .values(state=TaskState.DROPPED, end_time=now, revision=task.c.revision + 1, update_time=now)
        .returning(task)
    )
    found = [_task(row) for row in dropped]
    connection.execute(sa.update(task).where(mine).values(title="", text=""))
    return found


def _task(row: Row[Any]) -> Task:
    return Task(
        id=row.id,
        title=row.title,
        text=row.text,
        contact_id=row.contact_id,
        case_id=row.case_id,
        queue=row.queue_id,
        assignee=row.assignee,
        priority=row.priority,
        due_time=row.due_time,
        state=TaskState(row.state),
        overdue=row.overdue,
        end_time=row.end_time,
        source=row.source,
        revision=row.revision,
        create_time=row.create_time,
        update_time=row.update_time,
    )
