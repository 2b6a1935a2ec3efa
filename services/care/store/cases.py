"""Queries on cases and what was said in them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from services.care.domain.cases import ACTIVE, Case, CaseMessage, CaseState, MessageKind
from services.care.domain.sla import Promise
from services.care.models import case, case_message
from services.kit.locks import lock_key

Position = tuple[datetime, UUID]


def insert(connection: Connection, values: dict[str, Any]) -> Case:
    """Write a case and return it."""
    return _case(connection.execute(sa.insert(case).values(**values).returning(case)).one())


def get(connection: Connection, key: UUID, *, lock: bool = False) -> Case | None:
    """Return a case, or None; with `lock` nobody else changes it until the transaction ends."""
    query = sa.select(case).where(case.c.id == key)
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


def update(connection: Connection, key: UUID, now: datetime, **values: Any) -> Case:
    """Change a case, which raises its revision, and return it."""
    statement = (
        sa.update(case)
        .where(case.c.id == key)
        .values(revision=case.c.revision + 1, update_time=now, **values)
        .returning(case)
    )
    return _case(connection.execute(statement).one())


def page(
    connection: Connection,
    *,
    contact_id: UUID | None = None,
    assignee: str | None = None,
    state: CaseState | None = None,
    after: Position | None = None,
    count: int,
) -> list[Case]:
    """Return cases, newest first; `after` is the last one of the page before."""
    query = sa.select(case).order_by(case.c.create_time.desc(), case.c.id.desc()).limit(count)
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


def unassigned(connection: Connection, count: int) -> list[tuple[UUID, str]]:
    """Return id and queue of active cases without an agent, oldest first."""
    query = (
        sa.select(case.c.id, case.c.queue_id)
        .where(case.c.assignee.is_(None), case.c.state.in_(ACTIVE))
        .order_by(case.c.number)
        .limit(count)
    )
    return [(row.id, row.queue_id) for row in connection.execute(query)]


def of_agent(connection: Connection, agent: str) -> list[Case]:
    """Return the active cases of an agent, oldest first, locked."""
    query = (
        sa.select(case)
        .where(case.c.assignee == agent, case.c.state.in_(ACTIVE))
        .order_by(case.c.number)
        .with_for_update()
    )
    return [_case(row) for row in connection.execute(query)]


def late(connection: Connection, now: datetime, count: int) -> list[Case]:
    """Return cases with a promise that is due and not yet marked as broken; skips those that somebody is changing."""
    first = sa.and_(
        case.c.first_response_due < now,
        case.c.first_response_time.is_(None),
        ~case.c.first_response_breached,
        case.c.state.in_(ACTIVE),
    )
    resolution = sa.and_(
        case.c.resolution_due < now,
        case.c.resolve_time.is_(None),
        ~case.c.resolution_breached,
        case.c.state.in_(ACTIVE),
    )
    ids = (
        sa.union(
            sa.select(case.c.id).where(first).limit(count).subquery().select(),
            sa.select(case.c.id).where(resolution).limit(count).subquery().select(),
        )
        .subquery()
        .select()
    )
    query = sa.select(case).where(case.c.id.in_(ids)).order_by(case.c.id).with_for_update(skip_locked=True)
    return [_case(row) for row in connection.execute(query)]


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
    connection: Connection, case_id: UUID, *, after: Position | None = None, count: int
) -> list[CaseMessage]:
    """Return what was said in a case, oldest first; `after` is the last one of the page before."""
    table = case_message.c
    query = (
        sa.select(case_message)
        .where(table.case_id == case_id)
        .order_by(table.create_time, table.id)
        .limit(count)
    )
    if after is not None:
        query = query.where(
            sa.tuple_(table.create_time, table.id) > sa.tuple_(sa.literal(after[0]), sa.literal(after[1]))
        )
    return [_message(row) for row in connection.execute(query)]


def last_inbound_id(connection: Connection, case_id: UUID) -> str:
    """Return the Message-ID of the customer's last mail in a case; empty when there is none."""
    table = case_message.c
    query = (
        sa.select(table.external_id)
        .where(table.case_id == case_id, table.kind == MessageKind.INBOUND, table.external_id != "")
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
