"""Queries on cases and what was said in them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from services.care.domain.cases import Case, CaseMessage, CaseState, MessageKind
from services.care.domain.sla import Promise
from services.care.models import ACTIVE_SQL, RESOLVED_SQL, case, case_message, queue
from services.care.store.scoping import visible
from services.kit.access.scope import Scope
from services.kit.locks import lock_key

Position = tuple[datetime, UUID]
ACTIVE = sa.text(ACTIVE_SQL)


def insert(connection: Connection, values: dict[str, Any]) -> Case:
    """Write a case and return it."""
    return _case(connection.execute(sa.insert(case).values(**values).returning(case)).one())


def get(connection: Connection, key: UUID, scope: Scope, *, lock: bool = False) -> Case | None:
    """Return a case within a scope, or None; with `lock` nobody else changes it until the transaction ends."""
    query = sa.select(case).where(case.c.id == key, visible(scope))
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else _case(row)


def answering(connection: Connection, message: UUID) -> Case | None:
    """Return the newest case that answers a message of campaign and is not closed, locked.

    Also keeps anybody else from looking for the same message until the transaction ends.
    """
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(lock_key(f"care:message:{message}"))))
    query = (
        sa.select(case)
        .where(case.c.origin_message == message, case.c.state != CaseState.CLOSED)
        .order_by(case.c.number.desc())
        .limit(1)
        .with_for_update()
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else _case(row)


def update(connection: Connection, item: Case, now: datetime, **values: Any) -> Case:
    """Change a case that was read within the caller's scope, which raises its revision, and return it."""
    statement = (
        sa.update(case)
        .where(case.c.id == item.id)
        .values(revision=case.c.revision + 1, update_time=now, **values)
        .returning(case)
    )
    return _case(connection.execute(statement).one())


def page(
    connection: Connection,
    scope: Scope,
    *,
    contact_id: UUID | None = None,
    assignee: str | None = None,
    state: CaseState | None = None,
    after: Position | None = None,
    count: int,
) -> list[Case]:
    """Return cases within a scope, newest first; `after` is the last one of the page before."""
    query = (
        sa.select(case)
        .where(visible(scope))
        .order_by(case.c.create_time.desc(), case.c.id.desc())
        .limit(count)
    )
    if contact_id is not None:
        query = query.where(case.c.contact_id == contact_id)
    if assignee is not None:
        query = query.where(case.c.assignee == assignee)
    if state is not None:
        query = query.where(case.c.state == state)
    if after is not None:
        query = query.where(
            sa.tuple_(case.c.create_time, case.c.id) < sa.tuple_(sa.literal(after[0]), sa.literal(after[1]))
        )
    return [_case(row) for row in connection.execute(query)]


def queues_waiting(connection: Connection) -> list[str]:
    """Return the queues in which active cases wait without an agent."""
    waiting = sa.exists().where(case.c.queue_id == queue.c.id, case.c.assignee.is_(None), ACTIVE)
    return list(connection.scalars(sa.select(queue.c.id).where(waiting).order_by(queue.c.id)))


def unassigned(connection: Connection, queue_id: str, count: int) -> list[Case]:
    """Return active cases of a queue without an agent, oldest first, locked; skips those that somebody is changing."""
    query = (
        sa.select(case)
        .where(case.c.queue_id == queue_id, case.c.assignee.is_(None), ACTIVE)
        .order_by(case.c.number)
        .limit(count)
        .with_for_update(skip_locked=True)
    )
    return [_case(row) for row in connection.execute(query)]


def of_agent(connection: Connection, agent: str) -> list[UUID]:
    """Return the active cases of an agent, oldest first."""
    query = sa.select(case.c.id).where(case.c.assignee == agent, ACTIVE).order_by(case.c.number)
    return list(connection.scalars(query))


def mark_broken(connection: Connection, promise: str, now: datetime, count: int) -> list[Case]:
    """Mark a promise as broken in cases where it is due, not fulfilled and not marked yet; return them.

    promise: first_response or resolution. Skips cases that somebody is changing.
    """
    table = case.c
    due, done, mark = {
        "first_response": (
            table.first_response_due,
            table.first_response_time,
            table.first_response_breached,
        ),
        "resolution": (table.resolution_due, table.resolve_time, table.resolution_breached),
    }[promise]
    late = sa.select(table.id).where(due < now, done.is_(None), ~mark, ACTIVE).order_by(due)
    return _update_some(connection, late, now, count, {mark.name: True})


def close_resolved(connection: Connection, before: datetime, now: datetime, count: int) -> list[Case]:
    """Close cases that were solved before a moment and return them; skips cases that somebody is changing."""
    settled = (
        sa.select(case.c.id)
        .where(sa.text(RESOLVED_SQL), case.c.resolve_time <= before)
        .order_by(case.c.resolve_time)
    )
    return _update_some(connection, settled, now, count, {"state": CaseState.CLOSED})


def _update_some(
    connection: Connection, found: sa.Select[tuple[UUID]], now: datetime, count: int, values: dict[str, Any]
) -> list[Case]:
    # In a CTE of its own the locked rows are chosen once, whatever plan the update takes.
    picked = found.limit(count).with_for_update(skip_locked=True).cte("picked")
    statement = (
        sa.update(case)
        .where(case.c.id == picked.c.id)
        .values(revision=case.c.revision + 1, update_time=now, **values)
        .returning(case)
    )
    return [_case(row) for row in connection.execute(statement)]


def insert_message(connection: Connection, message: CaseMessage) -> None:
    """Write what was said."""
    connection.execute(
        sa.insert(case_message).values(
            id=message.id,
            case_id=message.case_id,
            kind=message.kind,
            text=message.text,
            author=message.author,
            external_id=message.external_id,
            create_time=message.create_time,
        )
    )


def get_message(connection: Connection, key: UUID) -> CaseMessage | None:
    """Return what was said, or None."""
    row = connection.execute(sa.select(case_message).where(case_message.c.id == key)).one_or_none()
    return None if row is None else _message(row)


def messages(
    connection: Connection, item: Case, *, after: Position | None = None, count: int
) -> list[CaseMessage]:
    """Return what was said in a case that was read within the caller's scope, oldest first.

    after: the last one of the page before.
    """
    table = case_message.c
    query = (
        sa.select(case_message)
        .where(table.case_id == item.id)
        .order_by(table.create_time, table.id)
        .limit(count)
    )
    if after is not None:
        query = query.where(
            sa.tuple_(table.create_time, table.id) > sa.tuple_(sa.literal(after[0]), sa.literal(after[1]))
        )
    return [_message(row) for row in connection.execute(query)]


def answered_id(connection: Connection, message: CaseMessage) -> str:
    """Return the Message-ID of the customer's last mail before something was said; empty when there is none."""
    table = case_message.c
    query = (
        sa.select(table.external_id)
        .where(
            table.case_id == message.case_id,
            table.kind == MessageKind.INBOUND,
            table.external_id != "",
            sa.tuple_(table.create_time, table.id)
            < sa.tuple_(sa.literal(message.create_time), sa.literal(message.id)),
        )
        .order_by(table.create_time.desc(), table.id.desc())
        .limit(1)
    )
    return connection.scalar(query) or ""


def _case(row: Row[Any]) -> Case:
    return Case(
        id=row.id,
        number=row.number,
        contact_id=row.contact_id,
        address=row.address,
        verified=row.verified,
        subject=row.subject,
        channel=row.channel,
        queue=row.queue_id,
        assignee=row.assignee,
        assignment_reason=row.assignment_reason,
        priority=row.priority,
        state=CaseState(row.state),
        origin_message=row.origin_message,
        first_response=Promise(row.first_response_due, row.first_response_time),
        resolution=Promise(row.resolution_due, row.resolve_time),
        broken=tuple(
            name
            for name, broken in (
                ("first_response", row.first_response_breached),
                ("resolution", row.resolution_breached),
            )
            if broken
        ),
        csat_score=row.csat_score,
        revision=row.revision,
        create_time=row.create_time,
        update_time=row.update_time,
    )


def _message(row: Row[Any]) -> CaseMessage:
    return CaseMessage(
        id=row.id,
        case_id=row.case_id,
        kind=MessageKind(row.kind),
        text=row.text,
        author=row.author,
        external_id=row.external_id,
        create_time=row.create_time,
    )
