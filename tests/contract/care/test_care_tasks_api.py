"""Tasks over a real port: made, taken, changed, done, and told of when their time passes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from rapport.care.v1 import care_pb2 as pb
from rapport.care.v1 import events_pb2
from rapport_client import errors

from services.care.usecases import tasks
from tests.support.care import events
from tests.support.stack import NOW, Served

HOUR = timedelta(hours=1)
NOWHERE = f"tasks/{uuid4()}"
CALLS: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "create_task": ("care.tasks.write", lambda: {"task": {"title": "permission"}}),
    "get_task": ("care.read", lambda: {"name": NOWHERE}),
    "list_tasks": ("care.read", dict),
    "update_task": (
        "care.tasks.write",
        lambda: {"task": {"name": NOWHERE, "title": "x"}, "update_mask": ["title"]},
    ),
    "complete_task": ("care.tasks.write", lambda: {"name": NOWHERE}),
    "reopen_task": ("care.tasks.write", lambda: {"name": NOWHERE}),
}


def make(care: Any, title: str = "Call", **fields: Any) -> pb.Task:
    return care.create_task(task={"title": title, **fields}).task


def told(served: Served, task: pb.Task) -> list[tuple[str, events_pb2.TaskChanged]]:
    found = []
    for row in events(served.runtime):
        if row.subject == task.name:
            found.append((row.type, events_pb2.TaskChanged.FromString(row.data)))
    return found


@pytest.mark.parametrize("method", CALLS)
def test_each_rpc_asks_for_its_permission_and_no_more(served: Served, method: str) -> None:
    permission, arguments = CALLS[method]
    other = {"care.read", "care.tasks.write", "care.cases.write"} - {permission}
    with pytest.raises(errors.PermissionDenied):
        getattr(served.client_with(*other), method)(**arguments())
    try:
        getattr(served.client_with(permission), method)(**arguments())
    except errors.NotFound:
        assert NOWHERE in str(arguments())


def test_create_task(served: Served, care: Any) -> None:
    contact = f"contacts/{uuid4()}"
    made = make(
        care,
        text="About the broken chair",
        contact=contact,
        assignee="agents/ana",
        priority="PRIORITY_HIGH",
        due_time=NOW + HOUR,
        source="journeys/welcome",
        state="STATE_DONE",
    )
    assert (made.title, made.text, made.contact) == ("Call", "About the broken chair", contact)
    assert (made.queue, made.assignee, made.priority) == ("queues/main", "agents/ana", pb.PRIORITY_HIGH)
    assert (made.state, made.source) == (pb.Task.STATE_OPEN, "journeys/welcome")
    assert made.due_time.ToDatetime(UTC) == NOW + HOUR
    assert made.create_time.ToDatetime(UTC) == NOW
    assert not made.HasField("end_time")
    assert care.get_task(name=made.name).task == made
    [(kind, data)] = told(served, made)
    assert (kind, data.task, data.queue, data.assignee) == (
        "task.created",
        made.name,
        "queues/main",
        "agents/ana",
    )
    bare = make(care)
    assert (bare.contact, bare.assignee, bare.HasField("due_time")) == ("", "", False)


def test_create_task_once_for_its_request_id(care: Any) -> None:
    first = care.create_task(task={"title": "once"}, request_id="same").task
    assert care.create_task(task={"title": "once"}, request_id="same").task == first


def test_create_task_of_a_case_is_about_its_contact(care: Any) -> None:
    contact = f"contacts/{uuid4()}"
    case = care.create_case(case={"subject": "s", "contact": contact}).case
    made = make(care, case=case.name)
    assert (made.contact, made.case) == (contact, case.name)
    assert [item.name for item in care.list_tasks(case=case.name).tasks] == [made.name]


@pytest.mark.parametrize(
    ("task", "error"),
    [
        ({}, errors.InvalidArgument),
        ({"title": " "}, errors.InvalidArgument),
        ({"title": "x" * 301}, errors.InvalidArgument),
        ({"title": "x", "contact": "people/1"}, errors.InvalidArgument),
        ({"title": "x", "queue": "queues/none"}, errors.NotFound),
        ({"title": "x", "assignee": "agents/none"}, errors.NotFound),
        ({"title": "x", "case": f"cases/{uuid4()}"}, errors.NotFound),
    ],
)
def test_create_task_refuses(care: Any, task: dict[str, str], error: type[Exception]) -> None:
    with pytest.raises(error):
        care.create_task(task=task)


def test_get_task_that_is_not_there(care: Any) -> None:
    with pytest.raises(errors.NotFound):
        care.get_task(name=NOWHERE)


def test_list_tasks_those_due_first(care: Any) -> None:
    contact = f"contacts/{uuid4()}"
    never = [make(care, f"never {number}", contact=contact) for number in range(2)]
    late = make(care, "late", contact=contact, due_time=NOW + 2 * HOUR, assignee="agents/ana")
    soon = make(care, "soon", contact=contact, due_time=NOW + HOUR)
    names = [soon.name, late.name, *(item.name for item in never)]
    assert [item.name for item in care.list_tasks(contact=contact).tasks] == names
    for size in (1, 2, 3):
        pages = list(care.list_tasks.iterate(contact=contact, page_size=size))
        assert [item.name for item in pages] == names

    def listed(**filters: Any) -> list[str]:
        return [item.title for item in care.list_tasks(contact=contact, **filters).tasks]

    assert listed(due_before=NOW + 90 * timedelta(minutes=1)) == ["soon"]
    assert listed(assignee="agents/ana") == ["late"]
    assert listed(unassigned=True) == ["soon", "never 0", "never 1"]
    assert listed(queue="queues/main", state="STATE_OPEN") == ["soon", "late", "never 0", "never 1"]
    care.complete_task(name=soon.name)
    assert listed(state="STATE_DONE") == ["soon"]
    assert listed(state="STATE_OPEN") == ["late", "never 0", "never 1"]


def test_update_task(served: Served, care: Any) -> None:
    made = make(care, text="keep", due_time=NOW + HOUR)
    wanted = {"name": made.name, "title": "Write", "assignee": "agents/ana", "text": "not named"}
    changed = care.update_task(
        task=wanted, update_mask=["title", "assignee", "due_time"], etag=made.etag
    ).task
    assert (changed.title, changed.text, changed.assignee) == ("Write", "keep", "agents/ana")
    assert not changed.HasField("due_time")
    assert changed.etag != made.etag
    assert [kind for kind, _ in told(served, made)] == ["task.created", "task.assigned"]
    # The same again changes nothing, whatever the etag.
    again = care.update_task(task=wanted, update_mask=["title", "assignee"], etag=made.etag).task
    assert again == changed
    with pytest.raises(errors.Aborted):
        care.update_task(task={"name": made.name, "title": "z"}, update_mask=["title"], etag=made.etag)
    for mask in ([], ["state"], ["contact"]):
        with pytest.raises(errors.InvalidArgument):
            care.update_task(task=wanted, update_mask=mask)
    for gone in ({"assignee": "agents/none"}, {"queue": "queues/none"}):
        with pytest.raises(errors.NotFound):
            care.update_task(task={"name": made.name, **gone}, update_mask=list(gone))
    care.complete_task(name=made.name)
    with pytest.raises(errors.FailedPrecondition) as caught:
        care.update_task(task={"name": made.name, "title": "z"}, update_mask=["title"])
    assert caught.value.reason == "TASK_STATE"


def test_complete_task(served: Served, care: Any) -> None:
    made = make(care)
    done = care.complete_task(name=made.name, etag=made.etag).task
    assert (done.state, done.end_time.ToDatetime(UTC)) == (pb.Task.STATE_DONE, NOW)
    assert care.complete_task(name=made.name, etag=made.etag).task == done
    with pytest.raises(errors.FailedPrecondition) as caught:
        care.complete_task(name=made.name, drop=True)
    assert caught.value.reason == "TASK_STATE"
    assert [(kind, data.dropped) for kind, data in told(served, made)] == [
        ("task.created", False),
        ("task.completed", False),
    ]
    late = make(care)
    care.update_task(task={"name": late.name, "title": "x"}, update_mask=["title"])
    with pytest.raises(errors.Aborted):
        care.complete_task(name=late.name, etag=late.etag)


def test_reopen_task(served: Served, care: Any) -> None:
    made = make(care)
    care.complete_task(name=made.name)
    opened = care.reopen_task(name=made.name).task
    assert (opened.state, opened.HasField("end_time")) == (pb.Task.STATE_OPEN, False)
    assert care.reopen_task(name=made.name, etag=made.etag).task == opened
    dropped = care.complete_task(name=made.name, drop=True).task
    assert dropped.state == pb.Task.STATE_DROPPED
    assert [(kind, data.dropped) for kind, data in told(served, made)] == [
        ("task.created", False),
        ("task.completed", False),
        ("task.reopened", False),
        ("task.completed", True),
    ]
    with pytest.raises(errors.Aborted):
        care.reopen_task(name=made.name, etag=made.etag)


def test_a_task_whose_time_passes_is_told_of_once(served: Served, care: Any) -> None:
    due = make(care, due_time=NOW + HOUR)
    done = make(care, due_time=NOW + HOUR)
    care.complete_task(name=done.name)
    before = served.clock.instant
    try:
        served.clock.instant = NOW + HOUR - timedelta(seconds=1)
        tasks.tell_overdue(served.runtime)
        assert [kind for kind, _ in told(served, due)] == ["task.created"]
        served.clock.instant = NOW + HOUR
        assert tasks.tell_overdue(served.runtime) >= 1
        assert tasks.tell_overdue(served.runtime) == 0
        assert [kind for kind, _ in told(served, due)] == ["task.created", "task.overdue"]
        # Put off, it is told of again.
        later = datetime.fromisoformat("2026-12-01T00:00:00+00:00")
        care.update_task(task={"name": due.name, "due_time": later}, update_mask=["due_time"])
        served.clock.instant = later
        assert tasks.tell_overdue(served.runtime) >= 1
        assert [kind for kind, _ in told(served, due)][-1] == "task.overdue"
    finally:
        served.clock.instant = before
    assert "task.overdue" not in [kind for kind, _ in told(served, done)]


def test_the_glance_shows_open_tasks(served: Served, care: Any) -> None:
    contact = f"contacts/{uuid4()}"
    care.complete_task(name=make(care, "done", contact=contact).name)
    for number in range(22):
        make(care, f"n{number}", contact=contact, due_time=NOW + (30 - number) * HOUR)
    found = care.get_customer_glance(contact=contact).open_tasks
    assert [item.title for item in found] == [f"n{number}" for number in range(21, 1, -1)]
