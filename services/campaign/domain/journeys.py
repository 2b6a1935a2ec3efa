"""Journeys: what starts one, which steps it takes, and when the next is due."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.campaign.domain.ids import RuleError, check_topic

_EVENT = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
MEMBERSHIP = ("segment.entered", "segment.left")
LONGEST_WAIT = timedelta(days=3660)


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait so long."""

    duration: timedelta


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message; coupon_pool_id is empty for none."""

    template_id: str
    channel: str
    topic: str
    coupon_pool_id: str = ""


Step = Wait | Send


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """Hold a journey. segment: empty for any; reentry_after: None for never; counts as read."""

    id: str
    display_name: str
    event_type: str
    segment: str
    reentry_after: timedelta | None
    steps: Sequence[Step]
    active: bool
    activate_time: datetime | None
    create_time: datetime
    started_count: int = 0
    finished_count: int = 0

    @property
    def origin(self) -> str:
        """Return the name under which the ledger knows it."""
        return f"journeys/{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """Hold what happened to a contact; types: the names by which a journey may wait for it."""

    event_id: UUID
    contact_id: UUID
    types: tuple[str, ...]
    segment: str
    record_time: datetime
    event: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """Hold a contact on its way: `step` is the index of the next step, due at `due_time`."""

    id: UUID
    journey_id: str
    contact_id: UUID
    step: int
    due_time: datetime


@dataclass(frozen=True, slots=True)
class Advance:
    """Say what a due entry does: the steps that send now, where it stands then, and whether it is through."""

    sends: tuple[tuple[int, Send], ...]
    step: int
    due_time: datetime
    finished: bool


def check_trigger(event_type: str, segment: str, reentry_after: timedelta | None) -> None:
    """Raise RuleError when a trigger makes no sense."""
    if not _EVENT.fullmatch(event_type):
        raise RuleError(
            f"{event_type!r} is no type of event: expected a name such as 'order.placed'",
            "trigger.event_type",
        )
    if event_type in MEMBERSHIP and not segment:
        raise RuleError(f"is needed for {event_type}", "trigger.segment")
    if event_type not in MEMBERSHIP and segment:
        raise RuleError(f"has no meaning for {event_type}: leave it empty", "trigger.segment")
    if reentry_after is not None and reentry_after < timedelta(0):
        raise RuleError("must not be negative", "trigger.reentry_after")


def check_steps(steps: Sequence[Step]) -> None:
    """Raise RuleError that names the step at fault."""
    if not any(isinstance(step, Send) for step in steps):
        raise RuleError("at least one step must send", "steps")
    for index, step in enumerate(steps):
        if isinstance(step, Wait):
            if not timedelta(0) < step.duration <= LONGEST_WAIT:
                raise RuleError("must be positive and at most 3,660 days", f"steps[{index}].wait.duration")
        else:
            try:
                check_topic(step.topic)
            except RuleError as error:
                raise RuleError(str(error), f"steps[{index}].send.topic") from None


def starts(journey: Journey, trigger: Trigger) -> bool:
    """Say whether an event starts a journey, apart from when the contact started it last."""
    return (
        journey.active
        and journey.event_type in trigger.types
        and (not journey.segment or journey.segment == trigger.segment)
        and (journey.activate_time is None or trigger.record_time >= journey.activate_time)
    )


def advance(steps: Sequence[Step], entry: Entry, now: datetime) -> Advance:
    """Take all steps that are due by now.

    A wait counts from the moment the entry reached it, not from when somebody looked, so nothing adds up.
    """
    sends: list[tuple[int, Send]] = []
    index, due = entry.step, entry.due_time
    while index < len(steps) and due <= now:
        step = steps[index]
        if isinstance(step, Wait):
            due += step.duration
        else:
            sends.append((index, step))
        index += 1
    # A wait at the end is waited for too: the journey is finished when it is over.
    return Advance(tuple(sends), index, due, index >= len(steps) and due <= now)


def steps_to_json(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Return the steps as stored; durations in microseconds."""
    return [
        {"wait": step.duration // timedelta(microseconds=1)}
        if isinstance(step, Wait)
        else {
            "send": {
                "template": step.template_id,
                "channel": step.channel,
                "topic": step.topic,
                "coupon_pool": step.coupon_pool_id,
            }
        }
        for step in steps
    ]


def steps_from_json(stored: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    """Return the steps from what steps_to_json made."""
    return tuple(
        Wait(timedelta(microseconds=item["wait"]))
        if "wait" in item
        else Send(
            item["send"]["template"],
            item["send"]["channel"],
            item["send"]["topic"],
            item["send"]["coupon_pool"],
        )
        for item in stored
    )
