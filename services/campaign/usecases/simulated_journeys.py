"""A journey in a past period: its events are read again, then each contact of whom one may start it lives through it.

Contacts have nothing to do with each other, so they are taken some at a time, and what they have to ask is asked for
all of these at once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from uuid import UUID

from rapport.events.v1.events_pb2 import Event
from rapport_client.errors import RapportError as ClientError
from sqlalchemy import Connection

from services.campaign.domain.conditions import holds
from services.campaign.domain.ids import TRANSACTIONAL
from services.campaign.domain.journeys import HELD_OUT, Graph, Journey, listens, make_graph, starts
from services.campaign.domain.living import Answer, Question, Stay, live
from services.campaign.domain.simulations import BEYOND, FoundEntry, Planned, Simulation
from services.campaign.domain.steps import KIND_OF, OUTWARD, Branch, Send, Webhook
from services.campaign.domain.triggers import Trigger
from services.campaign.models import contact_gone
from services.campaign.store import entries
from services.campaign.store import simulations as store
from services.campaign.usecases import journey_dates
from services.campaign.usecases.journey_moving import is_refusal, zones_of
from services.campaign.usecases.journey_starting import trigger_of
from services.campaign.usecases.past_events import PastEvents
from services.campaign.usecases.simulated_past import Past
from services.kit import gone
from services.kit.errors import FailedPrecondition
from services.kit.operations import OperationContext
from services.kit.runtime import Runtime

_EVENTS = 2_000
_LIVES = 1_000
Life = Generator[Question, Answer, list[Stay]]


@dataclass(slots=True)
class Flow:
    """Count where people went: by (step, edge, next), who is where at the end, who ended early where, and deeds."""

    moves: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    waiting: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)
    started: int = 0


def replay(
    runtime: Runtime, op: OperationContext, simulation: Simulation, journey: Journey, past: Past
) -> Flow:
    """Find out who would have been on a journey, and plan the messages that it would have sent."""
    journey = replace(journey, active=True, activate_time=simulation.start_time)
    _stage(runtime, op, simulation, journey, past)
    return _Replay(runtime, op, simulation, journey, past).run()


def _stage(
    runtime: Runtime, op: OperationContext, simulation: Simulation, journey: Journey, past: Past
) -> None:
    """Write down what may start the journey or concern those who are on it."""
    heard = listens(journey)
    types = {name for name, _ in heard} | ({journey.event_type} if journey.date is None else set())
    number = 0

    def write(triggers: Sequence[Trigger]) -> None:
        nonlocal number
        op.raise_if_cancelled()
        with runtime.db.transaction() as connection:
            alive = gone.current(connection, contact_gone, {item.contact_id for item in triggers})
            found = [
                (replace(item, contact_id=key), _may_start(simulation, journey, item))
                for item in triggers
                if (key := alive[item.contact_id]) is not None
            ]
            kept = [
                (item, opens)
                for item, opens in found
                if opens or any(name in item.types and of in ("", item.segment) for name, of in heard)
            ]
            store.stage(connection, simulation.id, number, kept)
            number += len(kept)
            op.checkpoint(connection, completed=0, stage=f"reading events ({number:,})")

    if journey.date is not None:
        assert simulation.end_time is not None
        with runtime.db.read() as connection:
            dates = journey_dates.reached(
                runtime, connection, journey, simulation.start_time, simulation.end_time
            )
            for some in _some(dates):
                write(some)
        past.assume("dates of contacts and their time zones are those of now")
    if types:
        events = PastEvents(runtime, types, simulation.start_time)
        for source, kept in events.missing.items():
            past.assume(
                f"events of {source} from before {kept.isoformat()} are no longer kept, and are left out"
            )
        for some in _some(_triggers(events)):
            write(some)


def _some(triggers: Iterable[Trigger]) -> Iterator[list[Trigger]]:
    rest = iter(triggers)
    while some := list(islice(rest, _EVENTS)):
        yield some


def _triggers(events: Iterable[Event]) -> Iterator[Trigger]:
    for event in events:
        if (trigger := trigger_of(event)) is not None:
            yield trigger


def _may_start(simulation: Simulation, journey: Journey, trigger: Trigger) -> bool:
    assert simulation.end_time is not None
    return (
        trigger.record_time < simulation.end_time
        and starts(journey, trigger)
        and holds(journey.condition, trigger.event)
    )


class _Replay:
    def __init__(
        self,
        runtime: Runtime,
        op: OperationContext,
        simulation: Simulation,
        journey: Journey,
        past: Past,
    ) -> None:
        self._runtime = runtime
        self._op = op
        self._simulation = simulation
        self._journey = journey
        self._graph: Graph = make_graph(journey.steps, journey.exits, journey.goals)
        self._past = past
        self._flow = Flow()
        self._messages = 0
        self._entries = 0

    def run(self) -> Flow:
        after: UUID | None = None
        done = 0
        end = self._simulation.end_time
        assert end is not None
        until = self._simulation.create_time + BEYOND
        with self._runtime.db.read() as connection:
            total = store.starters(connection, self._simulation.id)
        while True:
            self._op.raise_if_cancelled()
            with self._runtime.db.read() as connection:
                lives = store.lives(connection, self._simulation.id, after, _LIVES)
                former = self._former(connection, lives)
            if not lives:
                break
            stays = self._live(
                [
                    live(self._journey, self._graph, triggers, end, until, former.get(contact, ()))
                    for contact, triggers in lives.items()
                ]
            )
            after = max(lives)
            done += len(lives)
            with self._runtime.db.transaction() as connection:
                store.enter(connection, self._simulation.id, [self._entry(stay) for stay in stays])
                store.plan(connection, self._simulation.id, list(self._messages_of(stays)))
                self._op.checkpoint(
                    connection, completed=done, total=total, stage=f"moving ({done:,} of {total:,} contacts)"
                )
        with self._runtime.db.transaction() as connection:
            store.clear_events(connection, self._simulation.id)
        return self._flow

    def _former(
        self, connection: Connection, contacts: Collection[UUID]
    ) -> Mapping[UUID, Sequence[tuple[datetime, datetime | None]]]:
        """Return the true entries from before the period; a journey that is not stored has none."""
        if self._simulation.origin != self._journey.origin:
            return {}
        return entries.stays_before(connection, self._journey.id, contacts, self._simulation.start_time)

    def _live(self, lives: Sequence[Life]) -> list[Stay]:
        """Let contacts live, asking for all of them at once until none has a question left."""
        found: list[list[Stay]] = [[] for _ in lives]
        asking: list[tuple[int, Question]] = []

        def go_on(index: int, answer: Answer | None) -> None:
            try:
                life = lives[index]
                asking.append((index, next(life) if answer is None else life.send(answer)))
            except StopIteration as end:
                found[index] = end.value

        for index in range(len(lives)):
            go_on(index, None)
        while asking:
            self._op.raise_if_cancelled()
            questions, asking = asking, []
            for index, answer in self._answers(questions):
                go_on(index, answer)
        return [stay for stays in found for stay in stays]

    def _answers(self, questions: Sequence[tuple[int, Question]]) -> Iterator[tuple[int, Answer]]:
        zones = [(index, question) for index, question in questions if question.kind == "zone"]
        if zones:
            known = zones_of(self._runtime, [question.contact_id for _, question in zones])
            yield from ((index, known[question.contact_id]) for index, question in zones)
        by_step: dict[str, dict[UUID, tuple[int, datetime]]] = defaultdict(dict)
        for index, question in questions:
            if question.kind == "case":
                by_step[question.step_id][question.contact_id] = (index, question.moment)
        for step_id, some in by_step.items():
            branch = self._graph.nodes[step_id].action
            assert isinstance(branch, Branch)
            moments = ((contact, moment) for contact, (_, moment) in some.items())
            for at, contacts in self._past.groups(moments):
                for contact, case in self._cases(branch, contacts, at):
                    yield some[contact][0], case

    def _cases(
        self, branch: Branch, contacts: Sequence[UUID], at: datetime | None
    ) -> Iterator[tuple[UUID, int]]:
        left = dict.fromkeys(contacts, -1)
        for index, case in enumerate(branch.cases):
            open_ = [key for key, found in left.items() if found < 0]
            if not open_:
                break
            try:
                left |= dict.fromkeys(self._past.matching(case.rule, open_, at), index)
            except ClientError as error:
                if not is_refusal(error):
                    raise
                raise FailedPrecondition(
                    f"a rule of a branch cannot be evaluated: {error.message}", reason=error.reason or None
                ) from error
        yield from left.items()

    def _entry(self, stay: Stay) -> FoundEntry:
        flow = self._flow
        flow.started += 1
        for move in stay.moves:
            flow.moves[move.step_id, move.edge, move.next_id] += 1
        if not stay.outcome:
            flow.waiting[stay.entry.step_id] += 1
        else:
            flow.outcomes[stay.outcome] += 1
            if stay.outcome != HELD_OUT and stay.entry.step_id in self._graph.nodes:
                flow.dropped[stay.entry.step_id] += 1
        for _, _, action, _ in stay.effects:
            if isinstance(action, OUTWARD):
                flow.actions[KIND_OF[type(action)]] += 1
        self._entries += 1
        return FoundEntry(
            number=self._entries,
            contact_id=stay.entry.contact_id,
            event_type=str(stay.trigger.event.get("type", stay.trigger.types[0])),
            start_time=stay.entry.start_time,
            step_id=stay.entry.step_id,
            step=stay.entry.step,
            due_time=stay.due_time,
            finish_time=stay.finish_time,
            outcome=stay.outcome,
            path=[
                [move.step_id, move.edge, move.next_id, str(move.arrive_time), str(move.leave_time)]
                for move in stay.moves
            ],
        )

    def _messages_of(self, stays: Iterable[Stay]) -> Iterator[Planned]:
        for stay in stays:
            for _, step_id, action, at in stay.effects:
                match action:
                    case Send():
                        parts = (action.channel, action.topic, action.template_id, action.coupon_pool_id)
                    case Webhook():
                        parts = (action.channel, TRANSACTIONAL, "", "")
                    case _:
                        continue
                self._messages += 1
                yield Planned(
                    number=self._messages,
                    contact_id=stay.entry.contact_id,
                    channel=parts[0],
                    topic=parts[1],
                    template_id=parts[2],
                    coupon_pool_id=parts[3],
                    step_id=step_id,
                    due_time=at,
                )
