"""The RPCs on agents, calendars and queues over a real port, with their errors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest
from rapport.care.v1 import care_pb2 as pb
from rapport_client import errors
from rapport_client.retry import NO_RETRY

BAD_IDS = ("Ana", "1a", "a b", "", "x" * 64, "ăn")


def ident() -> str:
    return f"k{uuid4().hex}"


def fields(caught: pytest.ExceptionInfo[errors.RapportError]) -> set[str]:
    return {violation.field for violation in caught.value.violations}


def hours(day: int, start: int, end: int) -> dict[str, Any]:
    return {
        "week_day": day,
        "start_time": {"hours": start // 60, "minutes": start % 60},
        "end_time": {"hours": end // 60, "minutes": end % 60},
    }


def span(start: int, end: int) -> dict[str, Any]:
    return {key: value for key, value in hours(1, start, end).items() if key != "week_day"}


def day(year: int, month: int, number: int) -> dict[str, int]:
    return {"year": year, "month": month, "day": number}


def test_create_agent(care: Any) -> None:
    key = ident()
    made = care.create_agent(
        agent_id=key, agent={"display_name": "Bò", "available": True, "capacity": 5}
    ).agent
    assert made == pb.Agent(name=f"agents/{key}", display_name="Bò", available=True, capacity=5)
    assert care.create_agent(agent_id=ident(), agent={"available": True}).agent.display_name.startswith("k")
    with pytest.raises(errors.AlreadyExists):
        care.create_agent(agent_id=key, agent={"display_name": "other"})
    for bad in BAD_IDS:
        with pytest.raises(errors.InvalidArgument) as caught:
            care.create_agent(agent_id=bad, agent={"available": True})
        assert fields(caught) == {"agent_id"}
    for capacity in (-1, 10_001):
        with pytest.raises(errors.InvalidArgument) as caught:
            care.create_agent(agent_id=ident(), agent={"capacity": capacity})
        assert fields(caught) == {"agent.capacity"}


def test_set_agent_availability(care: Any) -> None:
    leaves, takes, queue = ident(), ident(), ident()
    for key in (leaves, takes):
        care.create_agent(agent_id=key, agent={"available": True})
    care.create_queue(queue_id=queue, queue={"agents": [f"agents/{leaves}", f"agents/{takes}"]})
    for _ in range(4):
        care.create_case(case={"subject": "s", "queue": f"queues/{queue}"})
    answer = care.set_agent_availability(name=f"agents/{leaves}")
    assert (answer.agent.available, answer.agent.open_case_count, answer.handed_over_count) == (False, 2, 0)
    answer = care.set_agent_availability(name=f"agents/{leaves}", hand_over=True)
    assert (answer.agent.open_case_count, answer.handed_over_count) == (0, 2)
    assert len(care.list_cases(assignee=f"agents/{takes}").cases) == 4
    assert care.set_agent_availability(name=f"agents/{leaves}", available=True).agent.available
    with pytest.raises(errors.NotFound) as missing:
        care.set_agent_availability(name="agents/nobody", available=True)
    assert missing.value.metadata["resource"] == "agents/nobody"
    for name in ("ana", "agents/Ana", "agents/"):
        with pytest.raises(errors.InvalidArgument) as caught:
            care.set_agent_availability(name=name)
        assert fields(caught) == {"name"}


def test_list_agents(care: Any) -> None:
    made = [ident() for _ in range(3)]
    for key in made:
        care.create_agent(agent_id=key, agent={"capacity": 1})
    found = [agent.name for agent in care.list_agents.iterate(page_size=2)]
    assert found == sorted(found)
    assert {f"agents/{key}" for key in made} <= set(found)
    with pytest.raises(errors.InvalidArgument):
        care.list_agents(page_token="forged")


def test_create_calendar(care: Any) -> None:
    key = ident()
    wanted = {
        "time_zone": "Asia/Ho_Chi_Minh",
        "weekly_intervals": [hours(1, 13 * 60, 24 * 60), hours(1, 8 * 60, 12 * 60), hours(7, 0, 30)],
        "special_days": [
            {"date": day(2027, 2, 6), "label": "Tết"},
            {"date": day(2026, 2, 28), "intervals": [span(480, 720)]},
        ],
    }
    made = care.create_calendar(calendar_id=key, calendar=wanted).calendar
    assert made.name == f"calendars/{key}"
    assert [
        (item.week_day, item.start_time.hours, item.end_time.hours) for item in made.weekly_intervals
    ] == [
        (1, 8, 12),
        (1, 13, 24),
        (7, 0, 0),
    ]
    assert [(item.date.year, len(item.intervals), item.label) for item in made.special_days] == [
        (2026, 1, ""),
        (2027, 0, "Tết"),
    ]
    assert care.get_calendar(name=made.name).calendar == made
    with pytest.raises(errors.AlreadyExists):
        care.create_calendar(calendar_id=key, calendar=wanted)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"time_zone": "Mars/Olympus"}, "calendar.time_zone"),
        ({"time_zone": "../etc/passwd"}, "calendar.time_zone"),
        ({"time_zone": "Europe"}, "calendar.time_zone"),
        ({"time_zone": ""}, "calendar.time_zone"),
        ({"weekly_intervals": []}, "calendar.weekly_intervals"),
        ({"weekly_intervals": [hours(0, 480, 540)]}, "calendar.weekly_intervals[0].week_day"),
        ({"weekly_intervals": [hours(8, 480, 540)]}, "calendar.weekly_intervals[0].week_day"),
        ({"weekly_intervals": [hours(1, 480, 1441)]}, "calendar.weekly_intervals[0].end_time"),
        (
            {"weekly_intervals": [{"week_day": 1, "end_time": {"hours": 9}}]},
            "calendar.weekly_intervals[0].start_time",
        ),
        ({"weekly_intervals": [hours(1, 540, 480)]}, "calendar"),
        ({"weekly_intervals": [hours(1, 480, 720), hours(1, 600, 900)]}, "calendar"),
        ({"special_days": [{"date": day(2026, 2, 30)}]}, "calendar.special_days[0].date"),
        ({"special_days": [{"date": day(2026, 2, 1)}] * 2}, "calendar.special_days[1].date"),
        (
            {"special_days": [{"date": day(2026, 2, 1), "intervals": [span(0, 60), span(30, 90)]}]},
            "calendar",
        ),
    ],
)
def test_create_calendar_refuses(care: Any, change: dict[str, Any], field: str) -> None:
    key = ident()
    good = {"time_zone": "UTC", "weekly_intervals": [hours(1, 480, 720)]}
    with pytest.raises(errors.InvalidArgument) as caught:
        care.create_calendar(calendar_id=key, calendar={**good, **change})
    assert fields(caught) == {field}
    with pytest.raises(errors.NotFound):
        care.get_calendar(name=f"calendars/{key}")


def test_create_calendar_refuses_one_that_never_opens(care: Any) -> None:
    sundays = [date(2026, 3, 1) + timedelta(weeks=week) for week in range(1060)]
    with pytest.raises(errors.InvalidArgument) as caught:
        care.create_calendar(
            calendar_id=ident(),
            calendar={
                "time_zone": "UTC",
                "weekly_intervals": [hours(7, 480, 720)],
                "special_days": [{"date": day(when.year, when.month, when.day)} for when in sundays],
            },
        )
    assert caught.value.reason == "INVALID_CALENDAR"


def test_get_calendar(care: Any) -> None:
    with pytest.raises(errors.NotFound):
        care.get_calendar(name="calendars/none")
    with pytest.raises(errors.InvalidArgument) as caught:
        care.get_calendar(name="none")
    assert fields(caught) == {"name"}


def test_create_queue(care: Any) -> None:
    key, calendar = ident(), ident()
    care.create_calendar(
        calendar_id=calendar, calendar={"time_zone": "UTC", "weekly_intervals": [hours(1, 480, 495)]}
    )
    wanted = {
        "display_name": "Chat",
        "agents": ["agents/ana"],
        "calendar": f"calendars/{calendar}",
        "sla_targets": [
            {"first_response_minutes": 30},
            {"priority": "PRIORITY_URGENT", "resolution_minutes": 5},
        ],
        "reply_channel": "zalo.oa",
    }
    made = care.create_queue(queue_id=key, queue=wanted).queue
    assert made == pb.Queue(name=f"queues/{key}", etag=made.etag, **wanted)
    assert made in list(care.list_queues.iterate())
    for change, error in (
        ({}, errors.AlreadyExists),
        ({"calendar": "calendars/none"}, errors.NotFound),
        ({"agents": ["agents/ana", "agents/nobody"]}, errors.NotFound),
    ):
        with pytest.raises(error):
            care.create_queue(queue_id=ident() if change else key, queue={**wanted, **change})
    for change, field in (
        ({"agents": ["agents/ana", "agents/ana"]}, "queue.agents"),
        ({"agents": ["ana"]}, "queue.agents[0]"),
        ({"agents": ["agents/ana", ""]}, "queue.agents[1]"),
        (
            {"sla_targets": [{"resolution_minutes": 1}, {"first_response_minutes": 1}]},
            "queue.sla_targets[1].priority",
        ),
        ({"sla_targets": [{"resolution_minutes": -1}]}, "queue.sla_targets[0].resolution_minutes"),
        # A quarter of an hour a week makes 15,600 minutes in 20 years.
        ({"sla_targets": [{"resolution_minutes": 16_000}]}, "queue.sla_targets"),
    ):
        with pytest.raises(errors.InvalidArgument) as caught:
            care.create_queue(queue_id=ident(), queue={**wanted, **change})
        assert fields(caught) == {field}
    for bad in BAD_IDS:
        with pytest.raises(errors.InvalidArgument) as caught:
            care.create_queue(queue_id=bad, queue=wanted)
        assert fields(caught) == {"queue_id"}


def test_update_queue(care: Any) -> None:
    name = f"queues/{ident()}"
    first = care.create_queue(
        queue_id=name.removeprefix("queues/"),
        queue={
            "display_name": "A",
            "agents": ["agents/ana"],
            "reply_channel": "c",
            "sla_targets": [{"first_response_minutes": 30}],
        },
    ).queue
    case = care.create_case(case={"subject": "s", "queue": name}).case
    changed = care.update_queue(
        queue={
            "name": name,
            "display_name": "B",
            "reply_channel": "ignored",
            "sla_targets": [{"resolution_minutes": 5}],
        },
        update_mask=["display_name", "sla_targets", "agents"],
    ).queue
    assert (changed.display_name, changed.reply_channel, list(changed.agents)) == ("B", "c", [])
    assert [(item.first_response_minutes, item.resolution_minutes) for item in changed.sla_targets] == [
        (0, 5)
    ]
    assert changed != first
    # Open cases keep what was promised to them.
    assert care.get_case(name=case.name).case.first_response_due_time == case.first_response_due_time
    later = care.create_case(case={"subject": "s", "queue": name}).case
    assert not later.HasField("first_response_due_time")
    assert later.assignee == ""
    assert later.assignment_reason == "the queue has no agents"


def test_update_queue_refuses_what_somebody_changed_meanwhile(care: Any) -> None:
    key = ident()
    made = care.create_queue(queue_id=key, queue={"display_name": "A", "agents": ["agents/ana"]}).queue
    assert made.etag
    mine = {"queue": {"name": made.name, "display_name": "Mine"}, "update_mask": ["display_name"]}
    theirs = {"queue": {"name": made.name, "agents": []}, "update_mask": ["agents"], "etag": made.etag}
    changed = care.update_queue(**theirs).queue
    assert changed.etag != made.etag
    with pytest.raises(errors.Aborted) as caught:
        care.update_queue(**mine, etag=made.etag)
    assert caught.value.reason == "ETAG_MISMATCH"
    assert caught.value.metadata == {"resource": made.name, "etag": changed.etag}
    # The same call again, whose answer was lost, finds what it wanted.
    assert care.update_queue(**theirs).queue == changed
    # Cases that come and go are no change of what is set up.
    care.create_case(case={"subject": "s", "queue": made.name})
    done = care.update_queue(**mine, etag=changed.etag).queue
    assert done.display_name == "Mine"
    assert care.update_queue(**{**mine, "update_mask": ["reply_channel"]}).queue == done
    # A queue that stops being the default one has changed too.
    first = care.update_queue(queue={"name": made.name, "default_queue": True}, update_mask=["default_queue"])
    [main] = [queue for queue in care.list_queues.iterate() if queue.name == "queues/main"]
    try:
        care.update_queue(queue={"name": main.name, "default_queue": True}, update_mask=["default_queue"])
        with pytest.raises(errors.Aborted):
            care.update_queue(**{**theirs, "update_mask": ["agents", "display_name"]}, _retry=NO_RETRY)
        [after] = [queue for queue in care.list_queues.iterate() if queue.name == made.name]
        assert (after.etag, after.default_queue) == (done.etag, False)
        assert first.queue.etag != done.etag
    finally:
        care.update_queue(queue={"name": main.name, "default_queue": True}, update_mask=["default_queue"])


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("create_agent", lambda key: {"agent_id": key, "agent": {"display_name": "Ann"}}),
        (
            "create_calendar",
            lambda key: {
                "calendar_id": key,
                "calendar": {"time_zone": "UTC", "weekly_intervals": [hours(1, 480, 495)]},
            },
        ),
        ("create_queue", lambda key: {"queue_id": key, "queue": {"display_name": "Chat"}}),
    ],
)
def test_what_is_set_up_with_a_request_id_is_made_once(
    care: Any, method: str, request_: Callable[[str], dict[str, Any]]
) -> None:
    wanted, create = request_(ident()), getattr(care, method)
    wanted_id = uuid4().hex
    first = create(**wanted, request_id=wanted_id)
    assert create(**wanted, request_id=wanted_id) == first
    with pytest.raises(errors.AlreadyExists):
        create(**wanted, request_id=uuid4().hex)
    with pytest.raises(errors.InvalidArgument) as caught:
        create(**request_(ident()), request_id=wanted_id)
    assert caught.value.reason == "REQUEST_ID_REUSED"


def test_update_queue_moves_the_default(care: Any) -> None:
    name = f"queues/{ident()}"
    care.create_queue(queue_id=name.removeprefix("queues/"), queue={"display_name": "A"})
    try:
        care.update_queue(queue={"name": name, "default_queue": True}, update_mask=["default_queue"])
        assert [queue.name for queue in care.list_queues.iterate() if queue.default_queue] == [name]
        assert care.create_case(case={"subject": "s"}).case.queue == name
    finally:
        care.update_queue(queue={"name": "queues/main", "default_queue": True}, update_mask=["default_queue"])
    assert [queue.name for queue in care.list_queues.iterate() if queue.default_queue] == ["queues/main"]


@pytest.mark.parametrize(
    ("queue", "mask", "error", "field"),
    [
        ({"name": "queues/none"}, ["agents"], errors.NotFound, None),
        ({"name": "queues/main"}, [], errors.InvalidArgument, "update_mask"),
        ({"name": "queues/main"}, ["name"], errors.InvalidArgument, "update_mask"),
        ({"name": "queues/main"}, ["agents", "colour"], errors.InvalidArgument, "update_mask"),
        ({"name": "main"}, ["agents"], errors.InvalidArgument, "queue.name"),
        ({"name": "", "display_name": "x"}, ["display_name"], errors.InvalidArgument, "queue.name"),
        ({"name": "queues/main", "agents": ["agents/nobody"]}, ["agents"], errors.NotFound, None),
        ({"name": "queues/main", "calendar": "calendars/none"}, ["calendar"], errors.NotFound, None),
    ],
)
def test_update_queue_refuses(care: Any, queue: Any, mask: list[str], error: Any, field: str | None) -> None:
    before = list(care.list_queues.iterate())
    with pytest.raises(error) as caught:
        care.update_queue(queue=queue, update_mask=mask)
    assert fields(caught) == ({field} if field else set())
    assert list(care.list_queues.iterate()) == before


def test_list_queues(care: Any) -> None:
    made = [ident() for _ in range(3)]
    for key in made:
        care.create_queue(queue_id=key, queue={"display_name": key})
    found = [queue.name for queue in care.list_queues.iterate(page_size=2)]
    assert found == sorted(found)
    assert {f"queues/{key}" for key in made} <= set(found)
    with pytest.raises(errors.InvalidArgument):
        care.list_queues(page_size=-1)
