"""Events that streams at the head share: each stream gets what it would have read by itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapport.events.v1 import events_pb2

from services.kit.events import recent
from services.kit.events.recent import KEPT_SECONDS, SPAN, Recent
from services.kit.events.store import Head

TYPES = ("order.placed", "order.returned", "payment.received")


@dataclass
class Log:
    """A stream of events, and how often it was read."""

    head: Head = field(default_factory=lambda: Head(uuid4(), 0, 0))
    events: list[events_pb2.Event] = field(default_factory=list)
    seconds: float = 0.0
    readings: int = 0

    def say(self, *types: str) -> None:
        for name in types:
            self.head = replace(self.head, position=self.head.position + 1)
            self.events.append(events_pb2.Event(type=name, position=self.head.position))

    def load(
        self, head: Head, after: int, until: int, types: list[str], limit: int
    ) -> list[events_pb2.Event]:
        self.readings += 1
        found = [event for event in self.events if after < event.position <= until]
        return [event for event in found if not types or event.type in types][:limit]

    def recent(self) -> Recent:
        return Recent(self.load, clock=lambda: self.seconds)


def positions(found: tuple[list[events_pb2.Event], int] | None) -> tuple[list[int], int] | None:
    return None if found is None else ([event.position for event in found[0]], found[1])


@dataclass
class Stream:
    """One that follows the log by what is shared, and by itself where nothing is."""

    types: list[str]
    limit: int
    after: int = 0
    got: list[int] = field(default_factory=list)

    def turn(self, log: Log, shared: Recent) -> None:
        answer = shared.read(log.head, self.after, self.types, self.limit)
        if answer is None:
            events = log.load(log.head, self.after, log.head.position, self.types, self.limit)
            answer = events, events[-1].position if len(events) == self.limit else log.head.position
        self.got += [event.position for event in answer[0]]
        assert self.after <= answer[1] <= log.head.position
        assert len(answer[0]) <= self.limit
        self.after = answer[1]


@given(
    st.lists(st.tuples(st.sets(st.sampled_from(TYPES)), st.integers(1, 4)), min_size=1, max_size=4),
    st.lists(
        st.one_of(
            st.lists(st.sampled_from(TYPES), min_size=1, max_size=9).map(tuple),
            st.integers(0, 3),
            st.sampled_from(["wait", "forget", "come", "go"]),
        ),
        max_size=60,
    ),
)
def test_every_stream_gets_what_it_wants_once_and_in_order(
    streams: list[tuple[set[str], int]], steps: list[tuple[str, ...] | int | str]
) -> None:
    log = Log()
    shared = log.recent()
    there = [Stream(sorted(types), limit) for types, limit in streams]
    for stream in there:
        shared.join(stream.types)
    guests: list[list[str]] = []
    for step in steps:
        match step:
            case int():
                there[step % len(there)].turn(log, shared)
            case "wait":
                log.seconds += KEPT_SECONDS * 0.6
            case "forget":
                shared.forget()
            case "come":
                guests.append([TYPES[len(guests) % 3]] if len(guests) % 4 else [])
                shared.join(guests[-1])
            case "go":
                if guests:
                    shared.leave(guests.pop(0))
            case _:
                log.say(*step)
    for stream in there:
        while stream.after < log.head.position:
            stream.turn(log, shared)
        wanted = [event.position for event in log.events if not stream.types or event.type in stream.types]
        assert stream.got == wanted


def test_streams_at_the_head_share_one_reading() -> None:
    log = Log()
    shared = log.recent()
    for types in (["order.placed"], ["order.placed", "order.returned"], ["order.placed"]):
        shared.join(types)
    log.say("order.placed", "order.returned", "payment.received")
    assert positions(shared.read(log.head, 0, ["order.placed"], 10)) == ([1], 3)
    assert positions(shared.read(log.head, 0, ["order.placed", "order.returned"], 10)) == ([1, 2], 3)
    assert positions(shared.read(log.head, 0, ["order.placed"], 10)) == ([1], 3)
    assert log.readings == 1
    assert "payment.received" not in {event.type for event in shared._held.events if shared._held}


def test_who_asks_for_other_types_makes_them_be_read() -> None:
    log = Log()
    shared = log.recent()
    shared.join(["order.placed"])
    log.say("order.placed", "payment.received")
    assert positions(shared.read(log.head, 0, ["order.placed"], 10)) == ([1], 2)
    shared.join(["payment.received"])
    assert positions(shared.read(log.head, 0, ["payment.received"], 10)) == ([2], 2)
    shared.join([])
    assert positions(shared.read(log.head, 0, [], 10)) == ([1, 2], 2)


def test_who_is_far_behind_reads_by_themselves_and_takes_nothing_from_the_others() -> None:
    log = Log()
    shared = log.recent()
    shared.join([])
    log.say(*["order.placed"] * (SPAN + 10))
    assert shared.read(log.head, 0, [], 10) is None
    assert positions(shared.read(log.head, SPAN + 5, [], 10)) == ([*range(SPAN + 6, SPAN + 11)], SPAN + 10)
    assert shared.read(log.head, 100, [], 10) is None
    assert log.readings == 1


def test_nothing_is_held_for_longer_than_it_may_be_nor_while_nobody_is_there() -> None:
    log = Log()
    shared = log.recent()
    shared.join([])
    log.say("order.placed")
    shared.read(log.head, 0, [], 10)
    shared.forget()
    assert shared._held is not None
    log.seconds += KEPT_SECONDS * 1.1
    shared.forget()
    assert shared._held is None
    shared.read(log.head, 0, [], 10)
    shared.leave([])
    assert shared._held is None, "nobody is there"


@pytest.mark.parametrize("change", [{"purged": 1}, {"timeline": UUID(int=1)}])
def test_what_was_held_before_a_purge_or_a_restore_is_not_used_after_it(change: dict[str, Any]) -> None:
    log = Log()
    shared = log.recent()
    shared.join([])
    log.say("order.placed")
    assert positions(shared.read(log.head, 0, [], 10)) == ([1], 1)
    log.say("order.placed")
    log.head = replace(log.head, **change)
    assert positions(shared.read(log.head, 1, [], 10)) == ([2], 2)
    assert shared._held is not None
    assert shared._held.start == 1


def test_no_more_is_held_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "MOST_EVENTS", 5)
    log = Log()
    shared = log.recent()
    shared.join([])
    for _ in range(4):
        after = log.head.position
        log.say(*["order.placed"] * 3)
        assert positions(shared.read(log.head, after, [], 10)) == (
            [after + 1, after + 2, after + 3],
            after + 3,
        )
        assert shared._held is not None
        assert len(shared._held.events) <= 8
