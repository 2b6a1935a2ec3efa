"""The events of care."""

from __future__ import annotations

from datetime import datetime

from rapport.care.v1 import events_pb2

from services.care.domain.cases import Case
from services.kit.names import format_name
from services.kit.outbox import NewEvent


def case_event(kind: str, item: Case, now: datetime, *, promise: str = "") -> NewEvent:
    """Return an event about a case; kind: such as `case.opened`."""
    return NewEvent(
        type=kind,
        subject=format_name("cases", item.id),
        contact=item.contact_id,
        revision=item.revision,
        occur_time=now,
        data=events_pb2.CaseChanged(
            case=format_name("cases", item.id),
            queue=format_name("queues", item.queue),
            assignee=format_name("agents", item.assignee) if item.assignee else "",
            promise=promise,
        ),
    )
