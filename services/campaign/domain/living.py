"""One contact on a journey in a time that is over: which of its events start it, and where it goes.

The steps are taken by the function that moves real entries, `stepping.advance`, at the moments at which a worker that
never sleeps would take them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from services.campaign.domain.conditions import holds
from services.campaign.domain.journeys import HELD_OUT, Entry, Graph, Journey, listens, starts
from services.campaign.domain.reentry import may_start
from services.campaign.domain.stepping import Known, Move, Signal, advance, moved
from services.campaign.domain.steps import Action
from services.campaign.domain.triggers import Trigger

_NO_ID = UUID(int=0)
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Question:
    """Ask what must be known before an entry can go on: "zone" or "case", of the step it stands at, at a moment."""

    kind: str
    step_id: str
    contact_id: UUID
    moment: datetime


Answer = ZoneInfo | int
Asking = Generator[Question, Answer, None]


@dataclass(slots=True)
class Stay:
    """Hold an entry as it would be; effects: with the number and id of their step, and when they come about."""

    trigger: Trigger
    entry: Entry
    due_time: datetime
    moves: list[Move] = field(default_factory=list)
    effects: list[tuple[int, str, Action, datetime]] = field(default_factory=list)
    signals: list[Signal] = field(default_factory=list)
    outcome: str = ""
    finish_time: datetime | None = None


def live(
    journey: Journey,
    graph: Graph,
    triggers: Iterable[Trigger],
    end: datetime,
    until: datetime,
    former: Sequence[tuple[datetime, datetime | None]] = (),
) -> Generator[Question, Answer, list[Stay]]:
    """Lead a contact through a journey; returns its entries. Asks by what it yields, and goes on with the answer.

    triggers: of one contact, in order of time, from the beginning of the period on; those before `end` may start it.
    until: who is on its way then stays there. former: when the entries from before the period began and ended, None for
    one that is on its way, as they count for who may start it again.
    """
    heard = listens(journey)
    stays: list[Stay] = []
    for trigger in triggers:
        now = trigger.record_time
        # What was due before it was done before it.
        yield from _go_on(graph, stays, now - _TICK)
        fresh = None
        known = [*former, *((stay.entry.start_time, stay.finish_time) for stay in stays)]
        if (
            now < end
            and starts(journey, trigger)
            and holds(journey.condition, trigger.event)
            and may_start(journey, known, now)
        ):
            fresh = _begin(journey, graph, trigger)
            stays.append(fresh)
        if any(name in trigger.types and segment in ("", trigger.segment) for name, segment in heard):
            signal = Signal(trigger.event_id, trigger.types, trigger.segment, now, trigger.event)
            for stay in stays:
                if not stay.outcome and stay is not fresh:
                    stay.signals.append(signal)
        yield from _go_on(graph, stays, now)
    yield from _go_on(graph, stays, until)
    return stays


def _begin(journey: Journey, graph: Graph, trigger: Trigger) -> Stay:
    at = trigger.record_time
    entry = Entry(_NO_ID, journey.id, journey.version, trigger.contact_id, 0, graph.first, at, at)
    stay = Stay(trigger, entry, at)
    if journey.holds_out(trigger.contact_id):
        stay.outcome, stay.finish_time = HELD_OUT, at
    return stay


def _go_on(graph: Graph, stays: Iterable[Stay], now: datetime) -> Asking:
    for stay in stays:
        if not stay.outcome and (stay.due_time <= now or stay.signals):
            yield from _move(graph, stay, now)


def _move(graph: Graph, stay: Stay, now: datetime) -> Asking:
    known: Known | None = None
    while not stay.outcome:
        done = advance(graph, stay.entry, stay.signals, known, now)
        left = {move.step: move.leave_time for move in done.moves}
        stay.moves += done.moves
        stay.effects += [(step, step_id, action, left[step]) for step, step_id, action in done.effects]
        stay.signals = [item for item in stay.signals if item.event_id not in done.consumed]
        stay.entry = moved(stay.entry, done)
        stay.due_time = done.due_time
        stay.outcome, stay.finish_time = done.outcome, done.finish_time
        if not done.needs:
            return
        contact = stay.entry.contact_id
        answer = yield Question(done.needs, done.step_id, contact, done.arrive_time)
        asked = stay.entry.version, done.step
        known = Known(*asked, zone=answer) if isinstance(answer, ZoneInfo) else Known(*asked, case=answer)
