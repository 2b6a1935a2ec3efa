"""Messages of the API to what the domain knows, and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from google.type import date_pb2, timeofday_pb2
from rapport.care.v1 import care_pb2
from sqlalchemy import Row

from services.care.domain.calendar import MINUTES_OF_DAY, Calendar, CalendarError, Hours
from services.care.domain.cases import Case, CaseMessage, CaseState, MessageKind
from services.care.domain.sla import Target
from services.care.domain.tasks import Task
from services.care.store.setup import Labelled, Queue
from services.kit.errors import InvalidArgument
from services.kit.names import format_name, parse_key
from services.kit.wire import enum_number, enum_text, set_timestamp

_ID = re.compile(r"[a-z][a-z0-9_-]{0,62}\Z")


def decode_id(value: str, field: str) -> str:
    """Return an id that a person chose; raises InvalidArgument for one of another form."""
    if not _ID.match(value):
        raise InvalidArgument.field(
            field,
            f"expected 1-63 lower-case letters, digits, '-' and '_', starting with a letter, got {value[:80]!r}",
        )
    return value


def decode_name(name: str, collection: str, field: str) -> str:
    """Return the id in a name such as `agents/{id}`; raises InvalidArgument for another form."""
    return decode_id(parse_key(name, collection, field), field)


def decode_key(name: str, collection: str, field: str) -> str:
    """Return the id in a name that may be missing: empty for an empty name."""
    return decode_name(name, collection, field) if name else ""


def encode_case(item: Case) -> care_pb2.Case:
    """Return a case as a message."""
    message = care_pb2.Case(
        name=format_name("cases", item.id),
        number=item.number,
        contact=format_name("contacts", item.contact_id) if item.contact_id else "",
        subject=item.subject,
        channel=item.channel,
        queue=format_name("queues", item.queue),
        assignee=format_name("agents", item.assignee) if item.assignee else "",
        assignment_reason=item.assignment_reason,
        priority=enum_number(care_pb2.Priority, item.priority),
        state=enum_number(care_pb2.Case.State, item.state),
        breached=bool(item.broken),
        csat_score=item.csat_score or 0,
        etag=item.etag,
        sender_verified=item.verified,
    )
    set_timestamp(message.first_response_due_time, item.first_response.due)
    set_timestamp(message.first_response_time, item.first_response.done)
    set_timestamp(message.resolution_due_time, item.resolution.due)
    set_timestamp(message.resolve_time, item.resolution.done)
    set_timestamp(message.create_time, item.create_time)
    set_timestamp(message.update_time, item.update_time)
    return message


def encode_task(item: Task) -> care_pb2.Task:
    """Return a task as a message."""
    message = care_pb2.Task(
        name=format_name("tasks", item.id),
        title=item.title,
        text=item.text,
        contact=format_name("contacts", item.contact_id) if item.contact_id else "",
        case=format_name("cases", item.case_id) if item.case_id else "",
        queue=format_name("queues", item.queue),
        assignee=format_name("agents", item.assignee) if item.assignee else "",
        priority=enum_number(care_pb2.Priority, item.priority),
        state=enum_number(care_pb2.Task.State, item.state),
        source=item.source,
        etag=item.etag,
    )
    set_timestamp(message.due_time, item.due_time)
    set_timestamp(message.end_time, item.end_time)
    set_timestamp(message.create_time, item.create_time)
    set_timestamp(message.update_time, item.update_time)
    return message


def decode_state(number: int) -> CaseState | None:
    """Return the state that a filter asks for, None for all."""
    text = enum_text(care_pb2.Case.State, number)
    return CaseState(text) if text else None


def decode_priority(number: int) -> str:
    """Return a priority as stored, "" for none."""
    return enum_text(care_pb2.Priority, number)


def encode_message(item: CaseMessage) -> care_pb2.CaseMessage:
    """Return what was said as a message."""
    message = care_pb2.CaseMessage(
        name=format_name("caseMessages", item.id),
        kind=enum_number(care_pb2.CaseMessage.Kind, item.kind),
        text=item.text,
        author=item.author,
        external_id=item.external_id,
    )
    set_timestamp(message.create_time, item.create_time)
    return message


def decode_kind(number: int) -> MessageKind:
    """Return who speaks to whom; raises InvalidArgument when it is not said."""
    text = enum_text(care_pb2.CaseMessage.Kind, number)
    if not text:
        raise InvalidArgument.field("message.kind", "say whether it is inbound, a reply or a note")
    return MessageKind(text)


def encode_agent(row: Row[Any]) -> care_pb2.Agent:
    """Return an agent as a message."""
    return care_pb2.Agent(
        name=format_name("agents", row.id),
        display_name=row.display_name,
        available=row.available,
        capacity=row.capacity,
        open_case_count=row.open_cases,
    )


def decode_calendar(message: care_pb2.Calendar) -> Labelled:
    """Return a calendar; raises InvalidArgument that names the bad day, hour or zone."""
    try:
        zone = ZoneInfo(message.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidArgument.field(
            "calendar.time_zone", f"{message.time_zone!r} is no IANA time zone, such as Asia/Ho_Chi_Minh"
        ) from error
    weekly: dict[int, list[tuple[int, int]]] = {}
    for index, item in enumerate(message.weekly_intervals):
        where = f"calendar.weekly_intervals[{index}]"
        if item.week_day not in range(1, 8):
            raise InvalidArgument.field(f"{where}.week_day", "expected 1 (Monday) to 7 (Sunday)")
        weekly.setdefault(item.week_day, []).append(_interval(item.start_time, item.end_time, where))
    special: dict[date, Hours] = {}
    labels: dict[date, str] = {}
    for index, day in enumerate(message.special_days):
        where = f"calendar.special_days[{index}]"
        when = _date(day.date, f"{where}.date")
        if when in special:
            raise InvalidArgument.field(f"{where}.date", f"{when.isoformat()} is given twice")
        special[when] = _sorted(
            _interval(item.start_time, item.end_time, f"{where}.intervals[{number}]")
            for number, item in enumerate(day.intervals)
        )
        labels[when] = day.label
    try:
        calendar = Calendar(zone, {day: _sorted(hours) for day, hours in weekly.items()}, special)
    except CalendarError as error:
        raise InvalidArgument.field("calendar", str(error), reason="INVALID_CALENDAR") from error
    return Labelled(calendar, labels)


def _sorted(hours: Iterable[tuple[int, int]]) -> Hours:
    return tuple(sorted(hours))


def _interval(start: timeofday_pb2.TimeOfDay, end: timeofday_pb2.TimeOfDay, where: str) -> tuple[int, int]:
    return _minute(start, f"{where}.start_time"), _minute(end, f"{where}.end_time")


def _minute(value: timeofday_pb2.TimeOfDay, field: str) -> int:
    minute: int = value.hours * 60 + value.minutes
    if value.seconds or value.nanos or not 0 <= value.minutes < 60 or not 0 <= minute <= MINUTES_OF_DAY:
        raise InvalidArgument.field(field, "expected whole minutes from 00:00 to 24:00")
    return minute


def _date(value: date_pb2.Date, field: str) -> date:
    try:
        return date(value.year, value.month, value.day)
    except ValueError as error:
        raise InvalidArgument.field(field, f"{value.year}-{value.month}-{value.day} is no date") from error


def encode_calendar(key: str, item: Labelled) -> care_pb2.Calendar:
    """Return a calendar as a message."""
    return care_pb2.Calendar(
        name=format_name("calendars", key),
        time_zone=item.calendar.zone.key,
        weekly_intervals=[
            care_pb2.WeeklyInterval(week_day=day, start_time=_time(start), end_time=_time(end))
            for day, hours in sorted(item.calendar.weekly.items())
            for start, end in hours
        ],
        special_days=[
            care_pb2.SpecialDay(
                date=date_pb2.Date(year=day.year, month=day.month, day=day.day),
                intervals=[
                    care_pb2.DayInterval(start_time=_time(start), end_time=_time(end)) for start, end in hours
                ],
                label=item.labels.get(day, ""),
            )
            for day, hours in sorted(item.calendar.special.items())
        ],
    )


def _time(minute: int) -> timeofday_pb2.TimeOfDay:
    return timeofday_pb2.TimeOfDay(hours=minute // 60, minutes=minute % 60)


def decode_queue(key: str, message: care_pb2.Queue) -> Queue:
    """Return a queue; raises InvalidArgument for a priority that is given twice."""
    return Queue(
        id=key,
        display_name=message.display_name,
        agents=tuple(
            decode_name(agent, "agents", f"queue.agents[{index}]")
            for index, agent in enumerate(message.agents)
        ),
        calendar_id=decode_key(message.calendar, "calendars", "queue.calendar") or None,
        targets=_targets(message.sla_targets),
        default_queue=message.default_queue,
        reply_channel=message.reply_channel,
    )


def _targets(messages: Sequence[care_pb2.SlaTarget]) -> dict[str, Target]:
    targets: dict[str, Target] = {}
    for index, message in enumerate(messages):
        priority = decode_priority(message.priority)
        if priority in targets:
            raise InvalidArgument.field(
                f"queue.sla_targets[{index}].priority", f"{priority or 'the one for all'} is given twice"
            )
        targets[priority] = Target(message.first_response_minutes, message.resolution_minutes)
    return targets


def encode_queue(item: Queue) -> care_pb2.Queue:
    """Return a queue as a message."""
    message = care_pb2.Queue(
        name=format_name("queues", item.id),
        display_name=item.display_name,
        agents=[format_name("agents", agent) for agent in item.agents],
        calendar=format_name("calendars", item.calendar_id) if item.calendar_id else "",
        sla_targets=[
            care_pb2.SlaTarget(
                priority=enum_number(care_pb2.Priority, priority),
                first_response_minutes=target.first_response_minutes,
                resolution_minutes=target.resolution_minutes,
            )
            for priority, target in sorted(item.targets.items())
        ],
        default_queue=item.default_queue,
        reply_channel=item.reply_channel,
    )
    # What it holds is what it is: a queue has no revision, and needs none.
    message.etag = sha256(message.SerializeToString(deterministic=True)).hexdigest()[:32]
    return message
