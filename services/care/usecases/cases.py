"""Work on cases."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from rapport.care.v1 import events_pb2
from sqlalchemy import Connection

from services.care.domain.cases import (
    ACTIVE,
    Case,
    CaseMessage,
    CaseState,
    ClosedCase,
    MessageKind,
    WrongState,
    after_message,
    check_reopen,
    check_resolve,
)
from services.care.models import kit
from services.care.store import cases, setup
from services.care.usecases.events import case_event
from services.care.usecases.opening import NewCase, assign_by_queue, assign_to, open_case
from services.kit import context, outbox
from services.kit.access.scope import EVERYTHING
from services.kit.errors import Aborted, FailedPrecondition, NotFound
from services.kit.names import format_name, new_id
from services.kit.outbox import NewEvent
from services.kit.runtime import Runtime


def create_case(runtime: Runtime, connection: Connection, new: NewCase) -> Case:
    """Open a case in the caller's transaction; raises NotFound for an unknown queue."""
    return open_case(connection, new, runtime.clock.now())


def get_case(runtime: Runtime, key: UUID) -> Case:
    """Return a case within the caller's scope; raises NotFound."""
    with runtime.db.read() as connection:
        found = cases.get(connection, key, context.scope())
    if found is None:
        raise NotFound.resource(format_name("cases", key))
    return found


def list_cases(runtime: Runtime, **filters: Any) -> list[Case]:
    """Return cases within the caller's scope, newest first; filters as in the store."""
    with runtime.db.read() as connection:
        return cases.page(connection, context.scope(), **filters)


def list_messages(
    runtime: Runtime, key: UUID, *, after: cases.Position | None, count: int
) -> list[CaseMessage]:
    """Return what was said in a case, oldest first; raises NotFound."""
    item = get_case(runtime, key)
    with runtime.db.read() as connection:
        return cases.messages(connection, item, after=after, count=count)


def add_message(
    runtime: Runtime,
    connection: Connection,
    key: UUID,
    kind: MessageKind,
    text: str,
    author: str,
    etag: str = "",
) -> tuple[CaseMessage, Case]:
    """Add to a case in the caller's transaction; a reply is handed to the worker, which sends it.

    Raises NotFound; Aborted (ETAG_MISMATCH); FailedPrecondition (CASE_CLOSED), or (NO_ADDRESS) for a reply to nobody.
    """
    now = runtime.clock.now()
    item = require(connection, key)
    _check_etag(item, etag)
    if kind is MessageKind.REPLY and item.contact_id is None and not item.address:
        raise FailedPrecondition(
            f"{format_name('cases', key)} has neither a contact nor an address to answer; add a note instead",
            reason="NO_ADDRESS",
        )
    return say(connection, item, kind, text, author, "", now)


def say(
    connection: Connection,
    item: Case,
    kind: MessageKind,
    text: str,
    author: str,
    external_id: str,
    now: datetime,
) -> tuple[CaseMessage, Case]:
    """Write what was said, move the case on, and return both; the case is locked by the caller."""
    name = format_name("cases", item.id)
    try:
        state = after_message(kind, item.state)
    except ClosedCase as error:
        raise FailedPrecondition(f"{name}: {error}", reason="CASE_CLOSED") from error
    message = CaseMessage(
        id=new_id(),
        case_id=item.id,
        kind=kind,
        text=text,
        author=author,
        external_id=external_id,
        create_time=now,
    )
    cases.insert_message(connection, message)
    values: dict[str, Any] = {"state": state}
    events = []
    if kind is MessageKind.REPLY and item.first_response.done is None:
        values["first_response_time"] = now
        if item.first_response.broken(now) and "first_response" not in item.broken:
            values["first_response_breached"] = True
    changed = cases.update(connection, item, now, **values)
    if "first_response_breached" in values:
        events.append(case_event("case.breached", changed, now, promise="first_response"))
    if item.state is CaseState.RESOLVED and state is CaseState.OPEN:
        events.append(case_event("case.reopened", changed, now))
    if kind is MessageKind.REPLY:
        events.append(_reply_requested(changed, message, now))
    outbox.append(connection, kit.outbox, events, record_time=now)
    if state is CaseState.OPEN and changed.assignee is None:
        changed = assign_by_queue(connection, changed, now)
    return message, changed


def _reply_requested(item: Case, message: CaseMessage, now: datetime) -> NewEvent:
    return NewEvent(
        type="case.reply_requested",
        subject=format_name("cases", item.id),
        contact=item.contact_id,
        revision=item.revision,
        occur_time=now,
        data=events_pb2.ReplyRequested(
            case=format_name("cases", item.id), message=format_name("caseMessages", message.id)
        ),
    )


def assign_case(runtime: Runtime, key: UUID, agent: str, etag: str = "") -> Case:
    """Give a case to an agent; when `agent` is empty its queue chooses, unless an available agent has it already.

    Raises NotFound; Aborted (ETAG_MISMATCH); FailedPrecondition (CASE_CLOSED).
    """
    now = runtime.clock.now()
    with runtime.db.transaction() as connection:
        item = require(connection, key)
        if item.state is CaseState.CLOSED:
            raise FailedPrecondition(f"{format_name('cases', key)} is closed", reason="CASE_CLOSED")
        if not agent:
            # The same call again must not move the case on to the next agent.
            taken = (
                item.assignee is not None
                and setup.agents_of(connection, [item.assignee], EVERYTHING)[0].available
            )
            if taken:
                return item
            _check_etag(item, etag)
            return assign_by_queue(connection, item, now)
        if setup.unknown_agents(connection, [agent]):
            raise NotFound.resource(f"agents/{agent}")
        if item.assignee == agent:
            return item
        _check_etag(item, etag)
        return assign_to(connection, item, agent, "chosen by hand", now)


def resolve_case(runtime: Runtime, key: UUID, etag: str = "") -> Case:
    """Declare a case solved; raises NotFound, Aborted (ETAG_MISMATCH), FailedPrecondition (CASE_STATE)."""
    now = runtime.clock.now()
    with runtime.db.transaction() as connection:
        item = require(connection, key)
        if item.state is CaseState.RESOLVED:
            return item
        _check_etag(item, etag)
        _check(check_resolve, item)
        # A case that was opened again kept or broke its promise with the first solution. What the timer has not come
        # to mark yet is marked here, as it leaves solved cases alone.
        promises = {"first_response": item.first_response, "resolution": item.resolution}
        late = [
            name
            for name, promise in promises.items()
            if promise.done is None and promise.broken(now) and name not in item.broken
        ]
        marks = {f"{name}_breached": True for name in late}
        changed = cases.update(connection, item, now, state=CaseState.RESOLVED, resolve_time=now, **marks)
        events = [case_event("case.breached", changed, now, promise=name) for name in late]
        events.append(case_event("case.resolved", changed, now))
        outbox.append(connection, kit.outbox, events, record_time=now)
        return changed


def reopen_case(runtime: Runtime, key: UUID, etag: str = "") -> Case:
    """Open a solved case again; raises NotFound, Aborted (ETAG_MISMATCH), FailedPrecondition (CASE_STATE)."""
    now = runtime.clock.now()
    with runtime.db.transaction() as connection:
        item = require(connection, key)
        if item.state in ACTIVE:
            return item
        _check_etag(item, etag)
        _check(check_reopen, item)
        changed = cases.update(connection, item, now, state=CaseState.OPEN)
        outbox.append(connection, kit.outbox, [case_event("case.reopened", changed, now)], record_time=now)
        return changed if changed.assignee else assign_by_queue(connection, changed, now)


def require(connection: Connection, key: UUID) -> Case:
    """Return a case within the caller's scope, locked; raises NotFound."""
    found = cases.get(connection, key, context.scope(), lock=True)
    if found is None:
        raise NotFound.resource(format_name("cases", key))
    return found


def _check_etag(item: Case, etag: str) -> None:
    """Raise Aborted (ETAG_MISMATCH) when the case has changed since it was read; an empty etag asks for nothing."""
    if etag and etag != item.etag:
        name = format_name("cases", item.id)
        raise Aborted(
            f"{name} was changed meanwhile (etag {etag!r}, now {item.etag!r}): read it again",
            metadata={"resource": name, "etag": item.etag},
        )


def _check(rule: Any, item: Case) -> None:
    try:
        rule(item.state)
    except WrongState as error:
        raise FailedPrecondition(f"{format_name('cases', item.id)}: {error}", reason="CASE_STATE") from error
