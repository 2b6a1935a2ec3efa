"""Messages of the API on journeys to what the domain knows, and back."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from rapport.campaign.v1 import campaign_pb2 as pb
from rapport.campaign.v1 import journeys_pb2

from services.campaign.codec import encode_counts, pool_key
from services.campaign.domain.graph import Problem
from services.campaign.domain.journeys import Journey
from services.campaign.domain.ledger import Counts
from services.campaign.domain.steps import (
    Action,
    Branch,
    Case,
    Match,
    ModifyTags,
    Node,
    OpenCase,
    OpenTask,
    Part,
    Send,
    SetAttribute,
    Split,
    Wait,
    WaitEvent,
    WaitUntil,
    Webhook,
)
from services.campaign.domain.triggers import DateRule
from services.campaign.store.journey_history import Standing
from services.campaign.usecases.journey_history import StepFlow, Told
from services.kit.errors import InvalidArgument
from services.kit.names import format_name, parse_key
from services.kit.wire import (
    enum_number,
    from_duration,
    from_timestamp,
    get_duration,
    to_duration,
    to_timestamp,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INVALID = "INVALID_JOURNEY"
_PRIORITIES = ("", "low", "normal", "high", "urgent")
_MORNING = time(9)


def decode_journey(key: str, message: pb.Journey, *, active: bool = False) -> Journey:
    """Decode a new journey; raises InvalidArgument (INVALID_JOURNEY) that names the step."""
    trigger = message.trigger
    if trigger.segment:
        parse_key(trigger.segment, "segments", "journey.trigger.segment")
    return Journey(
        id=key,
        display_name=message.display_name,
        event_type=trigger.event_type,
        segment=trigger.segment,
        reentry_after=get_duration(trigger, "reentry_after"),
        after_leaving=trigger.reentry_after_leaving,
        condition=trigger.condition,
        date=_date(trigger.date) if trigger.HasField("date") else None,
        steps=tuple(
            Node(item.id, _action(item, f"journey.steps[{index}]"), item.next)
            for index, item in enumerate(message.steps)
        ),
        exits=tuple(_match(item, f"journey.exits[{index}]") for index, item in enumerate(message.exits)),
        goals=tuple(_match(item, f"journey.goals[{index}]") for index, item in enumerate(message.goals)),
        active=active,
        activate_time=None,
        create_time=_EPOCH,
    )


def _date(message: pb.DateTrigger) -> DateRule:
    return DateRule(
        message.attribute,
        message.offset_days,
        decode_clock(message.local_time, "journey.trigger.date.local_time")
        if message.local_time
        else _MORNING,
        message.yearly,
        message.time_zone,
    )


def decode_clock(text: str, field: str) -> time:
    """Return a time of day from "HH:MM"; raises InvalidArgument."""
    try:
        return datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007
    except ValueError:
        raise InvalidArgument.field(
            field, f"{text!r} is no time of day: expected HH:MM", reason=_INVALID
        ) from None


def _match(message: pb.EventMatch, path: str) -> Match:
    if message.segment:
        parse_key(message.segment, "segments", f"{path}.segment")
    return Match(message.event_type, message.segment, message.condition)


def _action(message: pb.JourneyStep, path: str) -> Action:
    kind = message.WhichOneof("action")
    here = f"{path}.{kind}"
    match kind:
        case "wait":
            return Wait(from_duration(message.wait.duration, f"{here}.duration"))
        case "wait_until":
            until = message.wait_until
            clock = decode_clock(until.local_time, f"{here}.local_time")
            return WaitUntil(clock, tuple(until.weekdays), until.time_zone)
        case "wait_event":
            wait = message.wait_event
            limit = from_duration(wait.timeout, f"{here}.timeout")
            return WaitEvent(_match(wait.event, f"{here}.event"), limit, wait.timeout_next)
        case "branch":
            return Branch(tuple(Case(case.rule, case.next) for case in message.branch.cases))
        case "split":
            return Split(tuple(Part(part.percent, part.next) for part in message.split.parts))
        case "send":
            send = message.send
            return Send(
                parse_key(send.template, "templates", f"{here}.template"),
                send.channel,
                send.topic,
                pool_key(send.coupon_pool, f"{here}.coupon_pool"),
            )
        case "set_attribute":
            return _attribute(message.set_attribute, here)
        case "modify_tags":
            return ModifyTags(tuple(message.modify_tags.add_tags), tuple(message.modify_tags.remove_tags))
        case "open_case":
            case = message.open_case
            if case.queue:
                parse_key(case.queue, "queues", f"{here}.queue")
            _check_priority(case.priority, here)
            return OpenCase(case.subject, case.text, case.queue, case.priority)
        case "open_task":
            task = message.open_task
            if task.queue:
                parse_key(task.queue, "queues", f"{here}.queue")
            if task.assignee:
                parse_key(task.assignee, "agents", f"{here}.assignee")
            _check_priority(task.priority, here)
            return OpenTask(
                task.title,
                task.text,
                task.queue,
                task.assignee,
                task.priority,
                from_duration(task.due_after, f"{here}.due_after") if task.HasField("due_after") else None,
            )
        case "webhook":
            return Webhook(message.webhook.url, message.webhook.channel)
    raise InvalidArgument.field(path, "must say what happens: wait, send or another", reason=_INVALID)


def _check_priority(text: str, path: str) -> None:
    if text not in _PRIORITIES:
        raise InvalidArgument.field(
            f"{path}.priority", f"must be one of {', '.join(_PRIORITIES[1:])}", reason=_INVALID
        )


def _attribute(message: pb.SetAttributeStep, path: str) -> SetAttribute:
    field = message.WhichOneof("value")
    if field is None:
        raise InvalidArgument.field(f"{path}.value", "must be given", reason=_INVALID)
    value: Any = getattr(message, field)
    if field == "timestamp_value":
        value = from_timestamp(value, f"{path}.timestamp_value").isoformat()
    return SetAttribute(message.attribute, field.removesuffix("_value"), value)


def encode_journey(item: Journey, counts: Counts) -> pb.Journey:
    """Encode a journey with its counts."""
    return pb.Journey(
        name=item.origin,
        display_name=item.display_name,
        trigger=_encode_trigger(item),
        steps=[_encode_step(step) for step in item.steps if isinstance(step, Node)],
        exits=[_encode_match(match) for match in item.exits],
        goals=[_encode_match(match) for match in item.goals],
        active=item.active,
        version=item.version,
        started_count=item.started_count,
        finished_count=item.finished_count,
        exited_count=item.left_counts.get("exited", 0),
        goal_count=item.left_counts.get("goal", 0),
        limit_count=item.left_counts.get("limit", 0),
        cancelled_count=item.left_counts.get("cancelled", 0),
        removed_count=item.left_counts.get("removed", 0),
        counts=encode_counts(counts),
        create_time=to_timestamp(item.create_time),
        state=enum_number(pb.Journey.State, item.state),
        pause_time=_time(item.pause_time),
        cancel_reason=item.cancel_reason,
    )


def encode_version(number: int, fields: Any, made: datetime, open_count: int) -> journeys_pb2.JourneyVersion:
    """Encode a version of a journey."""
    item = Journey(
        **fields, id="", display_name="", active=False, activate_time=None, create_time=made, version=number
    )
    whole = encode_journey(item, Counts())
    return journeys_pb2.JourneyVersion(
        version=number,
        trigger=whole.trigger,
        steps=whole.steps,
        exits=whole.exits,
        goals=whole.goals,
        create_time=to_timestamp(made),
        open_count=open_count,
    )


def _encode_trigger(item: Journey) -> pb.JourneyTrigger:
    trigger = pb.JourneyTrigger(
        event_type=item.event_type,
        segment=item.segment,
        condition=item.condition,
        reentry_after_leaving=item.after_leaving,
    )
    if item.reentry_after is not None:
        trigger.reentry_after.CopyFrom(to_duration(item.reentry_after))
    if item.date is not None:
        trigger.date.CopyFrom(
            pb.DateTrigger(
                attribute=item.date.attribute,
                offset_days=item.date.offset_days,
                local_time=item.date.time.strftime("%H:%M"),
                yearly=item.date.yearly,
                time_zone=item.date.zone,
            )
        )
    return trigger


def _encode_match(match: Match) -> pb.EventMatch:
    return pb.EventMatch(event_type=match.event_type, segment=match.segment, condition=match.condition)


def _encode_step(node: Node) -> pb.JourneyStep:
    step = pb.JourneyStep(id=node.id, next=node.next)
    getattr(step, node.kind).CopyFrom(_encode_action(node.action))
    return step


def _encode_action(action: Action) -> Any:
    match action:
        case Wait(duration=duration):
            return pb.WaitStep(duration=to_duration(duration))
        case WaitUntil():
            return pb.WaitUntilStep(
                local_time=action.time.strftime("%H:%M"), weekdays=action.weekdays, time_zone=action.zone
            )
        case WaitEvent():
            return pb.WaitEventStep(
                event=_encode_match(action.match),
                timeout=to_duration(action.timeout),
                timeout_next=action.timeout_next,
            )
        case Branch(cases=cases):
            return pb.BranchStep(cases=[pb.BranchStep.Case(rule=case.rule, next=case.next) for case in cases])
        case Split(parts=parts):
            return pb.SplitStep(
                parts=[pb.SplitStep.Part(percent=part.percent, next=part.next) for part in parts]
            )
        case Send():
            return pb.SendStep(
                template=format_name("templates", action.template_id),
                channel=action.channel,
                topic=action.topic,
                coupon_pool=format_name("couponPools", action.coupon_pool_id)
                if action.coupon_pool_id
                else "",
            )
        case SetAttribute():
            made = pb.SetAttributeStep(attribute=action.attribute)
            if action.kind == "timestamp":
                made.timestamp_value.CopyFrom(to_timestamp(datetime.fromisoformat(str(action.value))))
            else:
                setattr(made, f"{action.kind}_value", action.value)
            return made
        case ModifyTags():
            return pb.ModifyTagsStep(add_tags=action.add, remove_tags=action.remove)
        case OpenCase():
            return pb.OpenCaseStep(
                subject=action.subject, text=action.text, queue=action.queue, priority=action.priority
            )
        case OpenTask(due_after=after):
            return pb.OpenTaskStep(
                title=action.title,
                text=action.text,
                queue=action.queue,
                assignee=action.assignee,
                priority=action.priority,
                due_after=None if after is None else to_duration(after),
            )
        case Webhook():
            return pb.WebhookStep(url=action.url, channel=action.channel)


def encode_problem(item: Problem) -> journeys_pb2.JourneyProblem:
    """Encode what is wrong with a journey."""
    return journeys_pb2.JourneyProblem(field=f"journey.{item.field}", step=item.step, description=item.text)


def encode_standing(item: Standing) -> journeys_pb2.JourneyEntry:
    """Encode an entry without its path."""
    ended = item.finish_time is not None
    # Entries that earlier releases ended say nothing of how.
    outcome = item.outcome or ("finished" if ended else "")
    return journeys_pb2.JourneyEntry(
        name=format_name("journeyEntries", item.id),
        journey=format_name("journeys", item.journey_id),
        version=item.version,
        contact=format_name("contacts", item.contact_id) if item.contact_id.int else "",
        step=item.step_id,
        step_count=item.step,
        start_time=to_timestamp(item.start_time),
        due_time=None if ended else to_timestamp(item.due_time),
        end_time=_time(item.finish_time),
        outcome=enum_number(journeys_pb2.JourneyEntry.Outcome, outcome),
        problem=item.problem,
        event_type=item.event_type,
        end_reason=item.end_reason,
    )


def encode_told(told: Told) -> journeys_pb2.JourneyEntry:
    """Encode an entry with its path."""
    made = encode_standing(told.standing)
    for taken in told.path:
        key, state, reason = told.messages.get(taken.step, (None, *told.deeds.get(taken.step, ("", ""))))
        made.path.add(
            number=taken.step,
            step=taken.step_id,
            version=taken.version,
            edge=taken.edge,
            next=taken.next_id,
            arrive_time=to_timestamp(taken.arrive_time),
            leave_time=to_timestamp(taken.leave_time),
            message=format_name("messages", key) if key else "",
            state=state,
            reason=reason,
        )
    return made


def encode_flow(item: StepFlow) -> journeys_pb2.JourneyStepFlow:
    """Encode the counts of a step."""
    return journeys_pb2.JourneyStepFlow(
        step=item.step_id,
        entered_count=item.entered,
        waiting_count=item.waiting,
        problem_count=item.held,
        dropped_count=item.dropped,
        exits=[
            journeys_pb2.JourneyStepFlow.Exit(edge=edge, next=after, count=count)
            for edge, after, count in item.exits
        ],
    )


def _time(instant: datetime | None) -> Timestamp | None:
    return None if instant is None else to_timestamp(instant)
