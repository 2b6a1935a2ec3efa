"""Tasks: made, changed, done, and told of when their time passes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from rapport.care.v1 import events_pb2
from sqlalchemy import Connection

from services.care.domain.tasks import Task, TaskOver, TaskState, end
from services.care.models import contact_gone, kit
from services.care.store import cases, setup
from services.care.store import tasks as store
from services.kit import context, gone, outbox
from services.kit.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound
from services.kit.names import format_name, new_id
from services.kit.outbox import NewEvent
from services.kit.runtime import Runtime

FIELDS = ("title", "text", "queue", "assignee", "priority", "due_time")
BATCH = 200


def create_task(
    runtime: Runtime,
    connection: Connection,
    *,
    contact_id: UUID | None,
    case_id: UUID | None,
    source: str,
    fields: Mapping[str, Any],
) -> Task:
    """Make a task in the caller's transaction; fields: those of FIELDS, queue and assignee as ids, "" for none.

    Raises InvalidArgument for an empty title, NotFound for a queue or agent, or a case that the caller's scope
    does not hold.
    """
    now = runtime.clock.now()
    values = _values(connection, fields)
    if "queue_id" not in values:
        values["queue_id"] = setup.default_queue(connection, now).id
    if case_id is not None:
        found = cases.get(connection, case_id, context.scope())
        if found is None:
            raise NotFound.resource(format_name("cases", case_id))
        contact_id = contact_id or found.contact_id
    if contact_id is not None:
        contact_id = gone.current(connection, contact_gone, [contact_id])[contact_id]
    made = store.insert(
        connection,
        {
            "id": new_id(),
            **values,
            "contact_id": contact_id,
            "case_id": case_id,
            "source": source,
            "state": TaskState.OPEN,
            "overdue": False,
            "revision": 1,
            "create_time": now,
            "update_time": now,
        },
    )
    _tell(connection, "task.created", made, now)
    return made


def get_task(runtime: Runtime, key: UUID) -> Task:
    """Return a task within the caller's scope; raises NotFound."""
    with runtime.db.read() as connection:
        found = store.get(connection, key, context.scope())
    if found is None:
        raise NotFound.resource(format_name("tasks", key))
    return found


def list_tasks(runtime: Runtime, **filters: Any) -> list[Task]:
    """Return tasks within the caller's scope, those due first; filters as in the store."""
    with runtime.db.read() as connection:
        return store.page(connection, context.scope(), **filters)


def update_task(runtime: Runtime, key: UUID, fields: Mapping[str, Any], etag: str) -> Task:
    """Change fields of an open task; what is so already changes nothing.

    Raises NotFound, Aborted (ETAG_MISMATCH), FailedPrecondition (TASK_STATE), InvalidArgument.
    """
    now = runtime.clock.now()
    with runtime.db.transaction() as connection:
        item = _require(connection, key)
        values = _values(connection, fields)
        if "queue" in fields and not fields["queue"]:
            values["queue_id"] = setup.default_queue(connection, now).id
        present = {"queue_id": item.queue} | {name: getattr(item, name) for name in FIELDS if name != "queue"}
        values = {name: value for name, value in values.items() if value != present[name]}
        if not values:
            return item
        _check_etag(item, etag)
        if item.state is not TaskState.OPEN:
            raise FailedPrecondition(
                f"{format_name('tasks', key)} is {item.state}: reopen it first", reason="TASK_STATE"
            )
        if "due_time" in values:
            # A new time passes anew.
            values["overdue"] = False
        changed = store.update(connection, key, now, values)
        if changed.assignee != item.assignee or changed.queue != item.queue:
            _tell(connection, "task.assigned", changed, now)
        return changed


def complete_task(runtime: Runtime, key: UUID, *, drop: bool, etag: str) -> Task:
    """Say that a task is done or dropped; raises NotFound, Aborted (ETAG_MISMATCH), FailedPrecondition (TASK_STATE)."""
    now = runtime.clock.now()
    with runtime.db.transaction() as connection:
        item = _require(connection, key)
        try:
            state = end(item.state, drop=drop)
        except TaskOver as error:
            raise FailedPrecondition(f"{format_name('tasks', key)} {error}", reason="TASK_STATE") from error
        if item.state is state:
            return item
        _check_etag(item, etag)
        changed = store.update(connection, key, now, {"state": state, "end_time": now})
        _tell(connection, "task.completed", changed, now)
        return changed


def reopen_task(runtime: Runtime, key: UUID, etag: str) -> Task:
    """Open a task again; raises NotFound, Aborted (ETAG_MISMATCH)."""
    now = runtime.clock.now()
    with runtime.db.transaction() as connection:
        item = _require(connection, key)
        if item.state is TaskState.OPEN:
            return item
        _check_etag(item, etag)
        changed = store.update(connection, key, now, {"state": TaskState.OPEN, "end_time": None})
        _tell(connection, "task.reopened", changed, now)
        return changed


def tell_overdue(runtime: Runtime) -> int:
    """Tell of each open task whose time has passed, once, and return how many."""
    told = 0
    while True:
        now = runtime.clock.now()
        with runtime.db.transaction() as connection:
            late = store.mark_overdue(connection, now, BATCH)
            for item in late:
                _tell(connection, "task.overdue", item, now)
        told += len(late)
        if len(late) < BATCH:
            return told


def tell_dropped(connection: Connection, dropped: list[Task], now: datetime) -> None:
    """Tell of tasks that are not to be done any more."""
    for item in dropped:
        _tell(connection, "task.completed", item, now)


def _values(connection: Connection, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that fields say; an empty queue is left out."""
    values = dict(fields)
    if "title" in values and not values["title"].strip():
        raise InvalidArgument.field("task.title", "must say what is to be done")
    queue = values.pop("queue", "")
    if queue:
        if setup.get_queue(connection, queue) is None:
            raise NotFound.resource(format_name("queues", queue))
        values["queue_id"] = queue
    if "assignee" in values:
        values["assignee"] = values["assignee"] or None
        if values["assignee"] and setup.unknown_agents(connection, [values["assignee"]]):
            raise NotFound.resource(format_name("agents", values["assignee"]))
    return values


def _require(connection: Connection, key: UUID) -> Task:
    found = store.get(connection, key, context.scope(), lock=True)
    if found is None:
        raise NotFound.resource(format_name("tasks", key))
    return found


def _check_etag(item: Task, etag: str) -> None:
    if etag and etag != item.etag:
        name = format_name("tasks", item.id)
        raise Aborted(
            f"{name} was changed meanwhile (etag {etag!r}, now {item.etag!r}): read it again",
            metadata={"resource": name, "etag": item.etag},
        )


def _tell(connection: Connection, kind: str, item: Task, now: datetime) -> None:
    event = NewEvent(
        type=kind,
        subject=format_name("tasks", item.id),
        contact=item.contact_id,
        revision=item.revision,
        occur_time=now,
        data=events_pb2.TaskChanged(
            task=format_name("tasks", item.id),
            queue=format_name("queues", item.queue),
            assignee=format_name("agents", item.assignee) if item.assignee else "",
            case=format_name("cases", item.case_id) if item.case_id else "",
            dropped=item.state is TaskState.DROPPED,
        ),
    )
    outbox.append(connection, kit.outbox, [event], record_time=now)
