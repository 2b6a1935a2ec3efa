from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapport.events.v1 import events_pb2

from services.kit.bus.delivery import BATCH_ATTEMPTS, SINGLE_ATTEMPTS, Deliverer, Stopping
from services.kit.errors import InvalidArgument, Unavailable

Events = Sequence[events_pb2.Event]


class Consumer:
    """Record effects; each call of `handle` is all or nothing, as a transaction is."""

    def __init__(self, poison: set[int], outages: int = 0, stop_after: int | None = None) -> None:
        self.poison = poison
        self.outages = outages
        self.stop_after = stop_after
        self.effects: list[int] = []
        self.buried: list[int] = []
        self.calls = 0
        self.pauses: list[float] = []
        self.deliverer = Deliverer("toy.handler", handle=self.handle, bury=self.bury, pause=self.pause)

    def handle(self, events: Events) -> None:
        self.calls += 1
        if self.outages:
            self.outages -= 1
            raise Unavailable("the database is away")
        if self.poison & {event.position for event in events}:
            raise InvalidArgument("poison")
        # Claiming makes a repeated event harmless.
        self.effects += [event.position for event in events if event.position not in self.effects]

    def bury(self, event: events_pb2.Event, error: Exception) -> None:
        assert isinstance(error, InvalidArgument)
        self.buried.append(event.position)

    def pause(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        return self.stop_after is not None and len(self.pauses) > self.stop_after


def batch(size: int) -> list[events_pb2.Event]:
    return [events_pb2.Event(id=str(number), position=number) for number in range(1, size + 1)]


@given(
    st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(1, n)))), st.integers(0, 3)
)
def test_exactly_the_poisonous_events_are_buried_and_order_is_kept(
    case: tuple[int, set[int]], outages: int
) -> None:
    size, poison = case
    consumer = Consumer(poison, outages)
    consumer.deliverer.deliver(batch(size))
    assert consumer.buried == sorted(poison)
    assert consumer.effects == [number for number in range(1, size + 1) if number not in poison]


def test_a_good_batch_is_handled_once() -> None:
    consumer = Consumer(set())
    consumer.deliverer.deliver(batch(500))
    assert (consumer.calls, consumer.pauses) == (1, [])


def test_a_single_event_is_tried_so_many_times() -> None:
    consumer = Consumer({1})
    consumer.deliverer.deliver(batch(1))
    assert consumer.calls == BATCH_ATTEMPTS


def test_one_bad_event_of_a_large_batch_costs_few_calls() -> None:
    consumer = Consumer({123})
    consumer.deliverer.deliver(batch(512))
    # Two halves at each of nine levels, the first halves failing or not.
    assert consumer.calls <= BATCH_ATTEMPTS + 2 * 9 + SINGLE_ATTEMPTS


def test_transient_errors_are_retried_for_as_long_as_they_last() -> None:
    consumer = Consumer(set(), outages=50)
    consumer.deliverer.deliver(batch(3))
    assert consumer.effects == [1, 2, 3]
    assert consumer.buried == []
    assert max(consumer.pauses) <= 30 * 1.25
    assert min(consumer.pauses) >= 0.1 * 0.75


def test_a_stop_ends_the_retries_and_nothing_is_buried() -> None:
    consumer = Consumer({2}, stop_after=2)
    with pytest.raises(Stopping):
        consumer.deliverer.deliver(batch(3))
    assert consumer.buried == []


def test_a_stop_seen_by_the_handler_is_no_failure() -> None:
    def handle(events: Events) -> None:
        raise Stopping

    deliverer = Deliverer(
        "toy.handler", handle=handle, bury=lambda *_: pytest.fail("buried"), pause=lambda _: False
    )
    with pytest.raises(Stopping):
        deliverer.deliver(batch(3))


def test_a_dead_letter_that_cannot_be_stored_is_not_given_up() -> None:
    consumer = Consumer({1})
    failures = [OSError("disk full"), OSError("disk full")]

    def bury(event: events_pb2.Event, error: Exception) -> None:
        if failures:
            raise failures.pop()
        consumer.bury(event, error)

    Deliverer("toy.handler", handle=consumer.handle, bury=bury, pause=consumer.pause).deliver(batch(1))
    assert consumer.buried == [1]
