"""Messages of the API on simulations to what the domain knows, and back."""

from __future__ import annotations

from datetime import datetime, timedelta

from google.protobuf.json_format import ParseDict
from rapport.campaign.v1 import journeys_pb2
from rapport.campaign.v1 import simulation_pb2 as pb

from services.campaign.domain.simulations import KEPT, WAIT, Found, FoundEntry, Simulation
from services.kit.errors import InvalidArgument
from services.kit.names import format_name
from services.kit.wire import enum_number, set_timestamp, to_duration, to_timestamp


def encode_simulation(item: Simulation) -> pb.Simulation:
    """Encode a simulation with what it found."""
    message = pb.Simulation(
        name=format_name("simulations", item.id),
        origin=item.origin,
        start_time=to_timestamp(item.start_time),
        create_time=to_timestamp(item.create_time),
        expire_time=to_timestamp(item.create_time + KEPT),
    )
    set_timestamp(message.end_time, item.end_time)
    if item.summary is not None:
        ParseDict(item.summary, message.summary, ignore_unknown_fields=True)
    return message


def encode_message(item: Found) -> pb.SimulatedMessage:
    """Encode a message as it would be."""
    message = pb.SimulatedMessage(
        contact=format_name("contacts", item.contact_id),
        channel=item.channel,
        topic=item.topic,
        template=format_name("templates", item.template_id) if item.template_id else "",
        variant=item.variant,
        step=item.step_id,
        due_time=to_timestamp(item.plan_time),
        decision=enum_number(pb.SimulatedMessage.Decision, item.decision),
        reason=item.reason,
        deferral=item.deferral,
        rate_wait=to_duration(timedelta(seconds=item.rate_seconds)),
    )
    if item.send_time is not None:
        message.send_time.CopyFrom(to_timestamp(item.send_time))
    if item.decision == WAIT:
        message.until_time.CopyFrom(to_timestamp(item.due_time))
    return message


def encode_entry(item: FoundEntry, origin: str) -> journeys_pb2.JourneyEntry:
    """Encode who would have been on a journey."""
    entry = journeys_pb2.JourneyEntry(
        journey=origin,
        contact=format_name("contacts", item.contact_id),
        step=item.step_id,
        step_count=item.step,
        start_time=to_timestamp(item.start_time),
        outcome=enum_number(journeys_pb2.JourneyEntry.Outcome, item.outcome),
        event_type=item.event_type,
        path=[
            journeys_pb2.JourneyMove(
                number=number,
                step=step,
                edge=edge,
                next=after,
                arrive_time=to_timestamp(datetime.fromisoformat(arrive)),
                leave_time=to_timestamp(datetime.fromisoformat(leave)),
            )
            for number, (step, edge, after, arrive, leave) in enumerate(item.path)
        ],
    )
    if item.finish_time is not None:
        entry.end_time.CopyFrom(to_timestamp(item.finish_time))
    else:
        entry.due_time.CopyFrom(to_timestamp(item.due_time))
    return entry


def decode_local(text: str) -> datetime | None:
    """Return a local time, None for none; raises InvalidArgument."""
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M")  # noqa: DTZ007
    except ValueError:
        raise InvalidArgument.field(
            "recipient_local_time", f"{text!r} is no local time: expected one such as 2026-03-29T09:00"
        ) from None
