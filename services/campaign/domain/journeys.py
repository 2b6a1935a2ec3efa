"""Journeys: what one is, its versions as stored, and who is on one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from functools import lru_cache
from json import loads
from typing import Any
from uuid import UUID

from services.campaign.domain.experiments import unit
from services.campaign.domain.graph import LONGEST_WAIT, Problem, check_graph, check_match
from services.campaign.domain.ids import RuleError
from services.campaign.domain.journey_states import RUNNING
from services.campaign.domain.steps import (
    Match,
    Node,
    Send,
    Step,
    Wait,
    WaitEvent,
    match_to_json,
    steps_from_json,
    steps_to_json,
)
from services.campaign.domain.triggers import DATE_REACHED, DateRule, Trigger, check_date, check_event

__all__ = ["Entry", "Graph", "Journey", "Send", "Step", "Trigger", "Wait", "steps_from_json", "steps_to_json"]

_MICRO = timedelta(microseconds=1)
FINISHED, EXITED, GOAL, LIMIT = "finished", "exited", "goal", "limit"
CANCELLED, REMOVED, HELD_OUT = "cancelled", "removed", "held_out"
EARLY = (EXITED, GOAL, LIMIT, CANCELLED, REMOVED, HELD_OUT)
MOST_STEPS = 1000
"""Steps that one entry takes at most: a journey that leads around ends then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """Hold a journey at its newest version.

    segment: empty for any; condition: of the event that starts it; date: in place of an event; reentry_after: None for
    never, or with after_leaving for as soon as it has left; hold_out_percent: of those who start it, to be compared
    with; counts as read.
    """

    id: str
    display_name: str
    event_type: str
    segment: str
    reentry_after: timedelta | None
    steps: Sequence[Step]
    active: bool
    activate_time: datetime | None
    create_time: datetime
    condition: str = ""
    date: DateRule | None = None
    after_leaving: bool = False
    exits: Sequence[Match] = ()
    goals: Sequence[Match] = ()
    hold_out_percent: float = 0.0
    version: int = 1
    started_count: int = 0
    finished_count: int = 0
    left_counts: Mapping[str, int] = field(default_factory=dict)
    state: str = RUNNING
    pause_time: datetime | None = None
    cancel_reason: str = ""

    @property
    def origin(self) -> str:
        """Return the name under which the ledger knows it."""
        return f"journeys/{self.id}"

    def holds_out(self, contact_id: UUID) -> bool:
        """Tell whether a contact who starts it takes none of its steps: always the same ones, and more as it grows."""
        share = self.hold_out_percent / 100
        return bool(share) and unit(f"j:{self.id}", contact_id) < share


@dataclass(frozen=True, slots=True)
class Entry:
    """Hold a contact on its way.

    step: how many steps it has taken; step_id: the one it stands before, or in which it waits, since `arrive_time`;
    signalled: whether events were noted for it.
    """

    id: UUID
    journey_id: str
    version: int
    contact_id: UUID
    step: int
    step_id: str
    start_time: datetime
    arrive_time: datetime
    signalled: bool = False


@dataclass(frozen=True)
class Graph:
    """Hold what entries of a version follow."""

    nodes: Mapping[str, Node]
    order: tuple[str, ...]
    exits: tuple[Match, ...]
    goals: tuple[Match, ...]

    @property
    def first(self) -> str:
        """Return the id of the first step."""
        return self.order[0]

    def at(self, step_id: str, taken: int) -> str:
        """Return where an entry stands: `step_id`, or the position that entries of earlier releases have instead."""
        return step_id or (self.order[taken] if taken < len(self.order) else "end")


def make_graph(steps: Sequence[Step], exits: Sequence[Match] = (), goals: Sequence[Match] = ()) -> Graph:
    """Return the graph of steps that were found sound."""
    nodes = steps_from_json(steps_to_json(steps))
    return Graph(
        {node.id: node for node in nodes}, tuple(node.id for node in nodes), tuple(exits), tuple(goals)
    )


def definition_to_json(item: Journey) -> dict[str, Any]:
    """Return what a version consists of."""
    date = item.date
    return {
        "trigger": {
            "event_type": item.event_type,
            "segment": item.segment,
            "condition": item.condition,
            "reentry_after": None if item.reentry_after is None else item.reentry_after // _MICRO,
            "after_leaving": item.after_leaving,
            "date": date
            and {
                "attribute": date.attribute,
                "offset_days": date.offset_days,
                "time": date.time.isoformat(),
                "yearly": date.yearly,
                "zone": date.zone,
            },
        },
        "steps": steps_to_json(item.steps),
        "exits": [match_to_json(match) for match in item.exits],
        "goals": [match_to_json(match) for match in item.goals],
        "hold_out_percent": item.hold_out_percent,
    }


def definition_from_json(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a Journey that definition_to_json stored."""
    trigger = stored["trigger"]
    after, date = trigger["reentry_after"], trigger.get("date")
    return {
        "event_type": trigger["event_type"],
        "segment": trigger["segment"],
        "condition": trigger.get("condition", ""),
        "reentry_after": None if after is None else timedelta(microseconds=after),
        "after_leaving": trigger.get("after_leaving", False),
        "date": date and DateRule(**{**date, "time": time.fromisoformat(date["time"])}),
        "steps": steps_from_json(stored["steps"]),
        "exits": tuple(Match(**item) for item in stored.get("exits", ())),
        "goals": tuple(Match(**item) for item in stored.get("goals", ())),
        "hold_out_percent": stored.get("hold_out_percent", 0.0),
    }


@lru_cache(maxsize=512)
def graph_of(text: str) -> Graph:
    """Return the graph of a stored definition, given as text, which makes it the key of what is kept."""
    fields = definition_from_json(loads(text))
    return make_graph(fields["steps"], fields["exits"], fields["goals"])


def listens(item: Journey) -> set[tuple[str, str]]:
    """Return the (type, segment) of events that entries of a journey's version have to hear of."""
    waits = [
        step.action.match
        for step in item.steps
        if isinstance(step, Node) and isinstance(step.action, WaitEvent)
    ]
    return {(match.event_type, match.segment) for match in (*waits, *item.exits, *item.goals)}


def check_journey(item: Journey) -> list[Problem]:
    """Return all that is wrong with a journey by itself, apart from what it names."""
    found: list[Problem] = []

    def check(path: str, *calls: Any) -> None:
        for call in calls:
            try:
                call()
            except RuleError as error:
                found.append(Problem(f"{path}.{error.field}" if error.field else path, str(error)))

    date = item.date
    check("trigger", lambda: check_event(item.event_type, item.segment))
    if item.condition:
        check("trigger", lambda: check_match(Match(item.event_type, item.segment, item.condition)))
    if (item.event_type == DATE_REACHED) != (date is not None):
        found.append(
            Problem("trigger.date", f"belongs to the event type {DATE_REACHED}, and is needed there")
        )
    if date is not None:
        check("trigger.date", lambda: check_date(date))
    # Longer ones would reach back behind the calendar's first day, which no event could be compared with.
    if item.reentry_after is not None and not timedelta(0) <= item.reentry_after <= LONGEST_WAIT:
        found.append(Problem("trigger.reentry_after", "must not be negative, and at most 3,660 days"))
    if not 0 <= item.hold_out_percent <= 50:
        found.append(Problem("hold_out_percent", "must be from 0 to 50"))
    for name, matches in (("exits", item.exits), ("goals", item.goals)):
        for index, match in enumerate(matches):
            check(f"{name}[{index}]", lambda match=match: check_match(match))
    return [*_once(found), *check_graph(item.steps)]


def _once(problems: Sequence[Problem]) -> list[Problem]:
    return list({(problem.field, problem.text): problem for problem in problems}.values())


def starts(journey: Journey, trigger: Trigger) -> bool:
    """Say whether an event starts a journey, apart from its condition and when the contact started it last."""
    return (
        journey.active
        and journey.event_type in trigger.types
        and (not journey.segment or journey.segment == trigger.segment)
        and (journey.activate_time is None or trigger.record_time >= journey.activate_time)
    )
