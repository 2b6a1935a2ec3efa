"""Every RPC of EventService over a real port, with its errors, on the events of sales."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from rapport.events.v1 import events_pb2 as pb
from rapport.sales.v1 import events_pb2 as sales_events
from rapport_client import errors

from services.kit.auth import add_tokens
from services.kit.events import timelines
from services.sales import models
from tests.contract.events.conftest import STREAMS_PER_CALLER, Stream
from tests.support.sales_data import NOON
from tests.support.waiting import until

CALLS: dict[str, dict[str, Any]] = {
    "subscribe": {},
    "acknowledge": {"subscription": "any", "cursor": {"timeline": str(uuid4())}},
    "get_stream": {},
}


def name() -> str:
    """Return the name of a subscription that no other test uses."""
    return f"test-{secrets.token_hex(6)}"


def take(responses: Any, count: int) -> list[pb.Event]:
    """Return the next so many events of a subscription."""
    events: list[pb.Event] = []
    while len(events) < count:
        events.extend(next(responses).events)
    return events


def fields(caught: pytest.ExceptionInfo[errors.RapportError]) -> set[str]:
    return {violation.field for violation in caught.value.violations}


def first(answer: Any) -> Any:
    """Return the answer, or the first one of a stream, which is then ended."""
    if not hasattr(answer, "cancel"):
        return answer
    with answer:
        return next(answer)


@pytest.mark.parametrize("method", CALLS)
def test_each_rpc_asks_for_its_permission_and_no_more(stream: Stream, method: str) -> None:
    stream.place_orders(1)
    for token in ("", "wrong"):
        with pytest.raises(errors.Unauthenticated):
            first(getattr(stream.events_with(token=token), method)(**CALLS[method]))
    with pytest.raises(errors.PermissionDenied) as caught:
        first(getattr(stream.events_with("sales.*", "operations.*"), method)(**CALLS[method]))
    assert caught.value.metadata["permission"] == "events.read"
    arguments = CALLS[method]
    if method == "acknowledge":
        arguments = {"subscription": name(), "cursor": stream.head()}
    first(getattr(stream.events_with("events.read"), method)(**arguments))


def test_the_cursor_of_a_service_is_moved_by_its_worker_alone(stream: Stream) -> None:
    token = secrets.token_urlsafe(16)
    add_tokens(stream.served.folder / "tokens.json", [("service:campaign", ("events.read",), token)])
    worker, reader = stream.events_with(token=token), stream.events_with("events.read")
    own, head = f"campaign.{name()}", stream.head()
    worker.acknowledge(subscription=own, cursor=head)
    placed = stream.place_orders(1)
    for one in (own, "campaign.x", "care.x"):
        for rewind in (False, True):
            with pytest.raises(errors.PermissionDenied) as caught:
                reader.acknowledge(subscription=one, cursor=stream.head(), rewind=rewind)
            assert caught.value.reason == "SUBSCRIPTION_OF_A_SERVICE"
    with pytest.raises(errors.PermissionDenied):
        worker.acknowledge(subscription="care.x", cursor=head)
    with worker.subscribe(subscription=own) as responses:
        assert take(responses, 1)[0].subject == placed[0].name
    for one in ("campaign", "campaigns.x", "bi.campaign"):
        reader.acknowledge(subscription=one, cursor=head)
    operator = stream.events_with("events.read", "events.deadletters.write")
    operator.acknowledge(subscription=own, cursor=stream.head())


def test_the_stream_has_a_port_of_its_own(stream: Stream) -> None:
    with pytest.raises(AttributeError):
        _ = stream.served.client.subscribe
    assert stream.served.ports.events != stream.served.ports.api


def test_subscribe_delivers_the_past_in_order_and_then_the_present(stream: Stream) -> None:
    start = stream.head()
    placed = stream.place_orders(2)
    with stream.events.subscribe(start=start, types=["order.placed"]) as responses:
        events = take(responses, 2)
        placed += stream.place_orders(1)
        events += take(responses, 1)
    assert [event.subject for event in events] == [order.name for order in placed]
    assert [event.position for event in events] == sorted({event.position for event in events})
    for event, order in zip(events, placed, strict=True):
        assert (event.type, event.source, event.contact) == ("order.placed", "sales", order.contact)
        assert (event.revision, event.historical) == (1, False)
        assert event.occur_time == order.order_time
        assert event.record_time.ToDatetime(NOON.tzinfo) == NOON
        payload = sales_events.OrderPlaced()
        assert event.data.Unpack(payload)
    assert len({event.id for event in events}) == 3


def test_subscribe_goes_on_at_the_stored_cursor_and_repeats_what_was_not_acknowledged(stream: Stream) -> None:
    reader = name()
    stream.events.acknowledge(subscription=reader, cursor=stream.head())
    placed = stream.place_orders(3)
    with stream.events.subscribe(subscription=reader, max_batch_size=1) as responses:
        one = next(responses)
        assert [event.subject for event in one.events] == [placed[0].name]
        stream.events.acknowledge(subscription=reader, cursor=one.cursor)
        assert take(responses, 1)[0].subject == placed[1].name
    for _ in range(2):
        with stream.events.subscribe(subscription=reader) as responses:
            assert [event.subject for event in take(responses, 2)] == [order.name for order in placed[1:]]


def test_subscribe_moves_the_cursor_over_other_types(stream: Stream) -> None:
    start = stream.head()
    stream.place_orders(2)
    with stream.events.subscribe(start=start, types=["payment.received"]) as responses:
        heartbeat = next(responses)
    assert list(heartbeat.events) == []
    assert heartbeat.cursor.timeline == start.timeline
    assert heartbeat.cursor.position >= start.position + 2


def test_subscribe_ends_with_its_deadline(stream: Stream) -> None:
    with pytest.raises(errors.DeadlineExceeded):
        for _ in stream.events.subscribe(start=stream.head(), _timeout=0.3):
            pass


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({"subscription": "No Spaces"}, "subscription"),
        ({"subscription": "n" * 101}, "subscription"),
        ({"max_batch_size": -1}, "max_batch_size"),
        ({"max_batch_size": 5001}, "max_batch_size"),
        ({"types": [str(number) for number in range(101)]}, "types"),
        ({"start": {"timeline": "yesterday", "position": 1}}, "start.timeline"),
        ({"start": {"timeline": str(uuid4()), "position": -1}}, "start.position"),
    ],
)
def test_subscribe_refuses_a_malformed_request(
    stream: Stream, request_fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        first(stream.events.subscribe(**request_fields))
    assert fields(caught) == {field}


def test_subscribe_refuses_cursors_of_another_timeline_and_of_the_future(stream: Stream) -> None:
    head = stream.head()
    with pytest.raises(errors.FailedPrecondition) as changed:
        first(stream.events.subscribe(start={"timeline": str(uuid4()), "position": 0}))
    assert (changed.value.reason, changed.value.metadata) == ("TIMELINE_CHANGED", {"timeline": head.timeline})
    with pytest.raises(errors.OutOfRange) as ahead:
        first(stream.events.subscribe(start={"timeline": head.timeline, "position": head.position + 10_000}))
    assert ahead.value.reason == "CURSOR_AHEAD"


def test_subscribe_refuses_one_stream_too_many_of_a_caller_and_no_other(stream: Stream) -> None:
    stream.place_orders(1)
    caller, other = stream.events_with("events.read"), stream.events_with("events.read")
    held = [caller.subscribe() for _ in range(STREAMS_PER_CALLER)]
    try:
        for responses in held:
            next(responses)
        with pytest.raises(errors.ResourceExhausted) as caught:
            first(caller.subscribe())
        assert caught.value.reason == "TOO_MANY_STREAMS"
        assert caught.value.metadata == {"limit": str(STREAMS_PER_CALLER)}
        assert first(other.subscribe()).events
        # Streams starve no other call of the same caller.
        assert caller.get_stream().head.position
    finally:
        for responses in held:
            responses.cancel()

    def has_room() -> bool:
        try:
            return bool(first(caller.subscribe()).events)
        except errors.ResourceExhausted:
            return False

    until(has_room, "an ended stream makes room")


def test_subscribe_says_when_the_events_are_no_longer_kept(own_stream: Stream) -> None:
    own_stream.place_orders(2)
    start = own_stream.head()
    reader = name()
    own_stream.events.acknowledge(
        subscription=reader, cursor={"timeline": start.timeline, "position": start.position - 1}
    )
    own_stream.restart_relay(purge_seconds=0.05)
    own_stream.served.clock.instant += timedelta(days=31)
    (young,) = own_stream.place_orders(1)
    until(lambda: own_stream.events.get_stream().oldest_position == start.position + 1, "old events go")
    with pytest.raises(errors.OutOfRange) as caught:
        first(own_stream.events.subscribe(subscription=reader))
    assert caught.value.reason == "EVENTS_EXPIRED"
    assert caught.value.metadata == {"oldest_position": str(start.position + 1)}
    # A new subscription starts with what is kept, and the old one goes on once it says that it knows.
    assert [event.subject for event in first(own_stream.events.subscribe()).events] == [young.name]
    own_stream.events.acknowledge(subscription=reader, cursor=start)
    assert [event.subject for event in first(own_stream.events.subscribe(subscription=reader)).events] == [
        young.name
    ]


def test_subscribe_ends_when_a_restore_starts_a_new_timeline(own_stream: Stream) -> None:
    own_stream.place_orders(1)
    reader = name()
    own_stream.events.acknowledge(subscription=reader, cursor=own_stream.head())
    with own_stream.events.subscribe() as responses:
        take(responses, 1)
        with own_stream.served.runtime.db.transaction() as connection:
            connection.execute(sa.update(models.kit.stream).values(timeline=uuid4()))
        with pytest.raises(errors.FailedPrecondition) as caught:
            next(responses)
    assert caught.value.reason == "TIMELINE_CHANGED"
    with pytest.raises(errors.FailedPrecondition) as caught:
        first(own_stream.events.subscribe(subscription=reader))
    assert caught.value.metadata == {"timeline": str(own_stream.timeline())}
    # As the message says: a cursor of the new timeline, with rewind set.
    own_stream.events.acknowledge(
        subscription=reader, cursor={"timeline": str(own_stream.timeline()), "position": 0}, rewind=True
    )
    assert first(own_stream.events.subscribe(subscription=reader)).events


def test_a_cursor_of_before_the_fork_goes_on_and_one_of_what_is_undone_is_refused(own_stream: Stream) -> None:
    own_stream.place_orders(2)
    before, reader, own = own_stream.head(), name(), "campaign.start_from_sales"
    for subscription in (reader, own):
        own_stream.events.acknowledge(
            subscription=subscription, cursor={"timeline": before.timeline, "position": before.position - 1}
        )
    with own_stream.served.runtime.db.transaction() as connection:
        made = timelines.fork(connection, models.kit, own_stream.served.clock.now())
    assert (str(made.before), made.position) == (before.timeline, before.position)
    own_stream.place_orders(1)
    known = {"timeline": str(made.after), "fork_position": str(made.position)}

    # Who says how far it came goes on over the fork, and is told cursors of the new timeline.
    last = {"timeline": before.timeline, "position": before.position - 1}
    with own_stream.events.subscribe(start=last, max_batch_size=1) as responses:
        told = [next(responses), next(responses)]
    assert [event.position for response in told for event in response.events] == [
        before.position,
        before.position + 1,
    ]
    assert {response.cursor.timeline for response in told} == {str(made.after)}

    # Position 3 of the old timeline was another event than position 3 of this one.
    beyond = {"timeline": before.timeline, "position": before.position + 1}
    with pytest.raises(errors.FailedPrecondition) as undone:
        first(own_stream.events.subscribe(start=beyond))
    # The place of a subscription was restored: that its subscriber came no farther is not known.
    with pytest.raises(errors.FailedPrecondition) as stored:
        first(own_stream.events.subscribe(subscription=reader))
    with pytest.raises(errors.FailedPrecondition) as late:
        own_stream.events.acknowledge(subscription=reader, cursor=before)
    for caught in (undone, stored, late):
        assert (caught.value.reason, caught.value.metadata) == ("TIMELINE_CHANGED", known)
        assert f"after position {made.position} are undone" in caught.value.message

    own_stream.events.acknowledge(
        subscription=reader, cursor={"timeline": str(made.after), "position": made.position}
    )
    (response,) = [first(own_stream.events.subscribe(subscription=reader))]
    assert [event.position for event in response.events] == [made.position + 1]
    # A service's own was restored with the source.
    assert [event.position for event in first(own_stream.events.subscribe(subscription=own)).events] == [
        made.position,
        made.position + 1,
    ]


def test_acknowledge_creates_a_subscription_and_moves_it_forward_only(stream: Stream) -> None:
    stream.place_orders(3)
    head, reader = stream.head(), name()

    def acknowledge(position: int, rewind: bool = False) -> int:
        cursor = pb.Cursor(timeline=head.timeline, position=position)
        answer = stream.events.acknowledge(subscription=reader, cursor=cursor, rewind=rewind).cursor
        assert answer.timeline == head.timeline
        return int(answer.position)

    assert acknowledge(2) == 2
    assert stream.subscriptions()[reader].cursor.position == 2
    assert acknowledge(1) == 2
    assert acknowledge(head.position) == head.position
    assert acknowledge(head.position) == head.position
    assert acknowledge(1, rewind=True) == 1


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({"cursor": {"timeline": str(uuid4())}}, "subscription"),
        ({"subscription": "", "cursor": {"timeline": str(uuid4())}}, "subscription"),
        ({"subscription": "Näme", "cursor": {"timeline": str(uuid4())}}, "subscription"),
        ({"subscription": "n" * 101, "cursor": {"timeline": str(uuid4())}}, "subscription"),
        ({"subscription": "name"}, "cursor"),
        ({"subscription": "name", "cursor": {"timeline": "x"}}, "cursor.timeline"),
    ],
)
def test_acknowledge_refuses_a_malformed_request(
    stream: Stream, request_fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        stream.events.acknowledge(**request_fields)
    assert fields(caught) == {field}


def test_acknowledge_refuses_positions_and_timelines_that_were_never_given_out(stream: Stream) -> None:
    head, reader = stream.head(), name()
    for rewind in (False, True):
        with pytest.raises(errors.OutOfRange) as ahead:
            stream.events.acknowledge(
                subscription=reader,
                cursor={"timeline": head.timeline, "position": head.position + 10_000},
                rewind=rewind,
            )
        assert ahead.value.reason == "CURSOR_AHEAD"
        assert int(ahead.value.metadata["head_position"]) >= head.position
        with pytest.raises(errors.FailedPrecondition) as changed:
            stream.events.acknowledge(
                subscription=reader, cursor={"timeline": str(uuid4()), "position": 0}, rewind=rewind
            )
        assert changed.value.reason == "TIMELINE_CHANGED"
        with pytest.raises(errors.InvalidArgument) as negative:
            stream.events.acknowledge(
                subscription=reader, cursor={"timeline": head.timeline, "position": -1}, rewind=rewind
            )
        assert fields(negative) == {"cursor.position"}
    assert reader not in stream.subscriptions()


def test_get_stream_tells_head_and_lag_of_each_subscription(stream: Stream) -> None:
    reader = name()
    stream.events.acknowledge(subscription=reader, cursor=stream.head())
    assert stream.subscriptions()[reader].lag == 0
    stream.place_orders(2)
    state = stream.events.get_stream()
    assert state.oldest_position == 1
    assert state.head.position >= 2
    mine = {item.name: item for item in state.subscriptions}[reader]
    assert mine.lag == state.head.position - mine.cursor.position == 2
    assert mine.update_time.ToDatetime(NOON.tzinfo) == NOON


def test_get_stream_of_an_empty_stream_and_of_events_without_a_position(own_stream: Stream) -> None:
    empty = own_stream.events.get_stream()
    assert (empty.head.position, empty.oldest_position, empty.unpositioned_events) == (0, 0, 0)
    assert empty.head.timeline
    assert list(empty.subscriptions) == []
    own_stream.relay.stop()
    own_stream.served.client.place_order(
        order={
            "contact": f"contacts/{uuid4()}",
            "source": "shop",
            "external_id": "1",
            "order_time": NOON,
            "lines": [{"product_code": "A", "quantity": "1", "unit_price": {"currency_code": "GBP"}}],
        }
    )
    waiting = own_stream.events.get_stream()
    assert (waiting.head.position, waiting.unpositioned_events) == (0, 1)
