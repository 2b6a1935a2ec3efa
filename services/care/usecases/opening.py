"""Open a case: promise, assign, tell."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from services.care.domain.assignment import round_robin
from services.care.domain.calendar import always_open
from services.care.domain.cases import Case, CaseMessage, CaseState, MessageKind
from services.care.domain.sla import due_times, target_for
from services.care.models import contact_gone, kit
from services.care.store import cases, setup
from services.care.usecases.events import case_event
from services.kit import gone, outbox
from services.kit.errors import NotFound
from services.kit.names import new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCase:
    """Describe a case to open. queue: "" for the default one; text: what the customer said, "" for nothing."""

    subject: str
    channel: str
    text: str = ""
    contact_id: UUID | None = None
    address: str = ""
    verified: bool = False
    queue: str = ""
    priority: str = ""
    origin_message: UUID | None = None
    external_id: str = ""
    author: str = ""


def open_case(connection: Connection, new: NewCase, now: datetime) -> Case:
    """Write a case with its due times, give it to an agent, and return it; raises NotFound for an unknown queue."""
    if new.queue:
        queue = setup.get_queue(connection, new.queue)
        if queue is None:
            raise NotFound.resource(f"queues/{new.queue}")
    else:
        queue = setup.default_queue(connection, now)
    stored = setup.get_calendar(connection, queue.calendar_id) if queue.calendar_id else None
    hours = stored.calendar if stored else always_open()
    first_due, resolution_due = due_times(target_for(queue.targets, new.priority), hours, now)
    contact = new.contact_id
    if contact is not None:
        contact = gone.current(connection, contact_gone, [contact])[contact]
    item = cases.insert(
        connection,
        {
            "id": new_id(),
            "contact_id": contact,
            "address": new.address,
            "verified": new.verified,
            "subject": new.subject,
            "channel": new.channel,
            "queue_id": queue.id,
            "priority": new.priority,
            "state": CaseState.NEW,
            "origin_message": new.origin_message,
            "first_response_due": first_due,
            "resolution_due": resolution_due,
            "revision": 1,
            "create_time": now,
            "update_time": now,
        },
    )
    outbox.append(connection, kit.outbox, [case_event("case.opened", item, now)], record_time=now)
    if new.text:
        cases.insert_message(
            connection,
            CaseMessage(
                id=new_id(),
                case_id=item.id,
                kind=MessageKind.INBOUND,
                text=new.text,
                author=new.author,
                external_id=new.external_id,
                create_time=now,
            ),
        )
    return assign_by_queue(connection, item, now)


def assign_by_queue(connection: Connection, item: Case, now: datetime) -> Case:
    """Give a case to the next agent of its queue, and return it; when nobody can take it, it waits without one."""
    candidates, last = setup.candidates(connection, item.queue)
    choice = round_robin(candidates, last)
    if choice.agent is not None:
        setup.set_last_agent(connection, item.queue, choice.agent)
        return assign_to(connection, item, choice.agent, choice.reason, now)
    if item.assignee is not None:
        return assign_to(connection, item, None, choice.reason, now)
    if item.assignment_reason == choice.reason:
        return item
    return cases.update(connection, item, now, assignment_reason=choice.reason)


def assign_waiting_in(connection: Connection, queue: str, count: int, now: datetime) -> int:
    """Give at most so many cases that wait in a queue to whoever can take them, oldest first; return how many."""
    candidates, last = setup.candidates(connection, queue)
    if round_robin(candidates, last).agent is None:
        return 0
    given = 0
    for item in cases.unassigned(connection, queue, count):
        choice = round_robin(candidates, last)
        if choice.agent is None:
            break
        assign_to(connection, item, choice.agent, choice.reason, now)
        last = choice.agent
        candidates = [
            replace(one, open_cases=one.open_cases + 1) if one.id == last else one for one in candidates
        ]
        given += 1
    if given and last is not None:
        setup.set_last_agent(connection, queue, last)
    return given


def assign_to(connection: Connection, item: Case, agent: str | None, reason: str, now: datetime) -> Case:
    """Give a case to an agent, or to nobody, tell it, and return the case."""
    changed = cases.update(connection, item, now, assignee=agent, assignment_reason=reason)
    outbox.append(connection, kit.outbox, [case_event("case.assigned", changed, now)], record_time=now)
    return changed
