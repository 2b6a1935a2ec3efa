"""How entries of journeys move: a function of the graph, what is known of the contact, and the time, without I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from services.campaign.domain.conditions import holds
from services.campaign.domain.journey_states import Pause, end_of_pause, unpaused
from services.campaign.domain.journeys import (
    EXITED,
    FINISHED,
    GOAL,
    LIMIT,
    MOST_STEPS,
    Entry,
    Graph,
)
from services.campaign.domain.localtime import check_zone, next_local
from services.campaign.domain.steps import (
    EFFECTS,
    END,
    Action,
    Branch,
    Match,
    Node,
    Split,
    Wait,
    WaitEvent,
    WaitUntil,
)


@dataclass(frozen=True, slots=True)
class Signal:
    """Hold an event that was noted for an entry; types: the names by which it may be waited for."""

    event_id: UUID
    types: tuple[str, ...]
    segment: str
    time: datetime
    event: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Known:
    """Hold what was found out for an entry: its zone, and which case holds at the branch it stands at (-1: none).

    version, step: of the journey, and the number of steps taken, when it was asked: an answer is of its moment, and the
    cases of another version are others.
    """

    version: int
    step: int
    zone: ZoneInfo | None = None
    case: int | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """Say that an entry took a step: its number and id, by which way, where to, from when until when."""

    step: int
    step_id: str
    edge: str
    next_id: str
    arrive_time: datetime
    leave_time: datetime


@dataclass(slots=True)
class Advance:
    """Say what a due entry does: its moves, what it brings about, and where it stands then.

    needs: what must be found out before it can go on, "zone" or "case". consumed: events that ended a wait, and those
    that are older than the step it stands at, which none can hear any more.
    """

    step: int
    step_id: str
    arrive_time: datetime
    due_time: datetime
    moves: list[Move] = field(default_factory=list)
    effects: list[tuple[int, str, Action]] = field(default_factory=list)
    consumed: list[UUID] = field(default_factory=list)
    outcome: str = ""
    finish_time: datetime | None = None
    needs: str = ""


def moved(entry: Entry, done: Advance) -> Entry:
    """Return where an entry stands after what it did."""
    return replace(entry, step=done.step, step_id=done.step_id, arrive_time=done.arrive_time)


def matches(match: Match, signal: Signal) -> bool:
    """Say whether an event is one of those described."""
    return (
        match.event_type in signal.types
        and (not match.segment or match.segment == signal.segment)
        and holds(match.condition, signal.event)
    )


def part_of(split: Split, journey_id: str, step_id: str, contact_id: UUID) -> int:
    """Return the index of the part that a contact falls into, -1 for none; always the same, and fair."""
    digest = sha256(f"{journey_id}/{step_id}/{contact_id}".encode()).digest()
    place = int.from_bytes(digest[:8]) / 2**64 * 100
    limit = 0.0
    for index, part in enumerate(split.parts):
        limit += part.percent
        if place < limit:
            return index
    return -1


def advance(
    graph: Graph,
    entry: Entry,
    signals: Sequence[Signal],
    known: Known | None,
    now: datetime,
    pauses: Sequence[Pause] = (),
) -> Advance:
    """Take all steps that are due by now.

    A wait counts from the moment the entry reached it, not from when somebody looked, so nothing adds up. An event that
    ends the journey does so before any step that was not taken yet. signals: in the order of their times. pauses: in
    which no step was taken: one that was due then is taken at the end, from which what follows counts.
    """
    done = Advance(entry.step, graph.at(entry.step_id, entry.step), entry.arrive_time, now)
    if left := _leaves(graph, entry, signals):
        done.outcome, done.finish_time = left
        return done
    unused = list(signals)
    while done.step_id != END:
        if done.step >= MOST_STEPS:
            done.outcome, done.finish_time = LIMIT, done.arrive_time
            return done
        node = graph.nodes[done.step_id]
        asked = known is not None and (known.version, known.step) == (entry.version, done.step)
        here = known if asked else None
        way = _way_out(node, entry, done, unused, here, now, pauses)
        if way is None:
            done.consumed += [signal.event_id for signal in unused if signal.time < done.arrive_time]
            return done
        edge, leave = way
        after = node.follow(edge)
        done.moves.append(Move(done.step, node.id, edge, after, done.arrive_time, leave))
        if isinstance(node.action, EFFECTS):
            done.effects.append((done.step, node.id, node.action))
        done.step, done.step_id, done.arrive_time = done.step + 1, after, leave
    done.outcome, done.finish_time = FINISHED, done.arrive_time
    return done


def _leaves(graph: Graph, entry: Entry, signals: Sequence[Signal]) -> tuple[str, datetime] | None:
    if not graph.exits and not graph.goals:
        return None
    for signal in signals:
        if signal.time < entry.start_time:
            continue
        if any(matches(match, signal) for match in graph.goals):
            return GOAL, signal.time
        if any(matches(match, signal) for match in graph.exits):
            return EXITED, signal.time
    return None


def _way_out(
    node: Node,
    entry: Entry,
    done: Advance,
    unused: list[Signal],
    known: Known | None,
    now: datetime,
    pauses: Sequence[Pause],
) -> tuple[str, datetime] | None:
    """Return by which way and when a step is left; None when it is not yet, and then `done` says what it waits for."""
    arrive = done.arrive_time
    leave, edge = arrive, ""
    match node.action:
        case Wait(duration=duration):
            leave = arrive + duration
        case WaitUntil(time=clock, weekdays=weekdays, zone=name):
            zone = check_zone(name) if name else (known.zone if known is not None else None)
            if zone is None:
                done.needs = "zone"
                return None
            leave = next_local(arrive, clock, weekdays, zone)
            # Nine in the morning that passed in a pause is not its end, which may be at night.
            while (end := end_of_pause(leave, pauses)) is not None:
                leave = next_local(end, clock, weekdays, zone)
        case WaitEvent(match=wanted, timeout=timeout):
            leave, edge = arrive + timeout, "timeout"
            for signal in unused:
                if arrive <= signal.time <= leave and matches(wanted, signal):
                    unused.remove(signal)
                    done.consumed.append(signal.event_id)
                    return "event", unpaused(signal.time, pauses)
        case Branch():
            if known is None or known.case is None:
                done.needs = "case"
                return None
            edge = f"case:{known.case}" if known.case >= 0 else ""
        case Split() as split:
            part = part_of(split, entry.journey_id, node.id, entry.contact_id)
            edge = f"part:{part}" if part >= 0 else ""
        case _:
            pass
    leave = unpaused(leave, pauses)
    if leave > now:
        done.due_time = leave
        return None
    return edge, leave
