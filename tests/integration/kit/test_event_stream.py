"""EventService over a real port: replay, filters, cursors, limits and ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
import sqlalchemy as sa
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status
from rapport.events.v1 import events_pb2, events_pb2_grpc

from services.kit.auth import create_tokens
from services.kit.config import Settings
from services.kit.events import stream as stream_module
from services.kit.events import timelines
from services.kit.events.payload import unpack
from services.kit.events.tail import Tail
from tests.support.postgres import DatabaseFactory
from tests.support.toy import NOW, Source, eventually, free_base_port


class Client:
    """Call the event service with one token."""

    def __init__(self, port: int, token: str) -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.stub = events_pb2_grpc.EventServiceStub(self.channel)
        self.metadata = [("authorization", f"Bearer {token}")]

    def subscribe(self, **fields: Any) -> Any:
        return self.stub.Subscribe(events_pb2.SubscribeRequest(**fields), metadata=self.metadata, timeout=60)

    def acknowledge(self, **fields: Any) -> events_pb2.Cursor:
        request = events_pb2.AcknowledgeRequest(**fields)
        return self.stub.Acknowledge(request, metadata=self.metadata, timeout=10).cursor

    def stream(self) -> events_pb2.GetStreamResponse:
        return self.stub.GetStream(events_pb2.GetStreamRequest(), metadata=self.metadata, timeout=10)


class Served:
    """A source with its server, and clients of it."""

    def __init__(self, folder: Path, url: str) -> None:
        settings = Settings(data_dir=folder, base_port=free_base_port())
        self.tokens = create_tokens(folder / "tokens.json")
        self.source = Source("sales", url, settings)
        self.source.start_relay()
        self.source.start_server(streams_per_caller=3)
        self.port = settings.events_port("sales")
        self.clients: list[Client] = []
        self.client = self.connect("contacts")

    def connect(self, name: str) -> Client:
        client = Client(self.port, self.tokens[name])
        self.clients.append(client)
        return client

    def timeline(self) -> str:
        return self.client.stream().head.timeline

    def close(self) -> None:
        for client in self.clients:
            client.channel.close()
        self.source.close()


@pytest.fixture
def served(tmp_path: Path, make_database: DatabaseFactory) -> Iterator[Served]:
    made = Served(tmp_path, make_database("sales"))
    yield made
    made.close()


def take(responses: Any, count: int) -> list[str]:
    """Return the texts of the next so many events."""
    texts: list[str] = []
    while len(texts) < count:
        texts += [unpack(event).value for event in next(responses).events]
    return texts


def readers(served: Served) -> list[events_pb2.Subscription]:
    """Return the subscriptions but for the place of the publisher, which is there on RabbitMQ."""
    return [item for item in served.client.stream().subscriptions if "/" not in item.name]


def refusal(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    """Return code, reason and metadata of the error that a call ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    status = rpc_status.from_call(caught.value)
    assert status is not None, caught.value
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    return caught.value.code(), info.reason, dict(info.metadata)


def test_the_past_is_replayed_and_the_present_follows(served: Served) -> None:
    served.source.say("one", "two")
    responses = served.client.subscribe(subscription="a.reader")
    assert take(responses, 2) == ["one", "two"]
    served.source.say("three")
    response = next(responses)
    (event,) = response.events
    assert (event.type, event.source, event.position, event.revision) == ("greeting.said", "sales", 3, 1)
    assert event.contact.startswith("contacts/")
    assert event.occur_time.ToDatetime(NOW.tzinfo) == NOW
    assert response.cursor.position == 3


def test_a_durable_subscription_goes_on_from_its_cursor(served: Served) -> None:
    served.source.say(*map(str, range(10)))
    first = served.client.subscribe(subscription="a.reader", max_batch_size=4)
    response = next(first)
    assert len(response.events) == 4
    assert served.client.acknowledge(subscription="a.reader", cursor=response.cursor).position == 4
    next(first)
    first.cancel()
    second = served.client.subscribe(subscription="a.reader")
    assert take(second, 6) == list("456789")
    # Another name knows nothing of that, and a rewind replays.
    assert take(served.client.subscribe(subscription="b.reader"), 10) == list("0123456789")
    second.cancel()
    cursor = events_pb2.Cursor(timeline=served.timeline(), position=8)
    assert served.client.acknowledge(subscription="a.reader", cursor=cursor, rewind=True).position == 8
    assert take(served.client.subscribe(subscription="a.reader"), 2) == list("89")


def test_an_acknowledgement_never_moves_back_by_itself(served: Served) -> None:
    served.source.say(*map(str, range(5)))
    eventually(lambda: served.client.stream().head.position == 5)
    timeline = served.timeline()
    for position, expected in [(3, 3), (1, 3), (5, 5)]:
        cursor = events_pb2.Cursor(timeline=timeline, position=position)
        assert served.client.acknowledge(subscription="a.reader", cursor=cursor).position == expected


def test_only_the_wanted_types_come_and_the_cursor_moves_over_the_others(served: Served) -> None:
    served.source.say("a", type="greeting.said")
    served.source.say("b", type="farewell.said")
    responses = served.client.subscribe(types=["farewell.said"])
    assert take(responses, 1) == ["b"]
    served.source.say("c", "d", type="greeting.said")
    heartbeat = next(responses)
    assert (list(heartbeat.events), heartbeat.cursor.position) == ([], 4)


def test_a_rare_type_is_found_behind_many_others(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "WINDOW", 10)
    served.source.say(*map(str, range(95)))
    served.source.say("rare", type="farewell.said")
    eventually(lambda: served.client.stream().head.position == 96)
    assert take(served.client.subscribe(types=["farewell.said"]), 1) == ["rare"]


def test_a_stream_rests_after_a_batch_until_the_next_one_is_full(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "REST_FOR_EACH", 1000.0)
    monkeypatch.setattr(stream_module, "REST_SECONDS", 1000.0)
    responses = served.client.subscribe(max_batch_size=3)
    sizes = []
    said = 0
    for texts, delivered in (
        (["one"], True),
        (["two"], False),
        (["three"], False),
        (["four"], True),
        (["five", "six", "seven"], True),
    ):
        served.source.say(*texts)
        said += len(texts)
        eventually(lambda said=said: served.client.stream().head.position == said)  # type: ignore[misc]
        if delivered:
            sizes.append(len(next(responses).events))
    assert sizes == [1, 3, 3]
    responses.cancel()


def test_batches_have_the_size_asked_for_and_a_bound_in_bytes(served: Served) -> None:
    served.source.say(*map(str, range(25)))
    eventually(lambda: served.client.stream().head.position == 25)
    responses = served.client.subscribe(max_batch_size=10)
    assert [len(next(responses).events) for _ in range(3)] == [10, 10, 5]
    responses.cancel()
    served.source.stop_server()
    served.source.start_server(max_batch_bytes=1_000)
    responses = eventually(lambda: served.connect("contacts").subscribe())
    sizes = []
    while sum(sizes) < 25:
        response = next(responses)
        sizes.append(len(response.events))
        assert response.ByteSize() < 1_100
    assert len(sizes) > 3


def test_an_explicit_start_needs_no_name(served: Served) -> None:
    served.source.say(*map(str, range(5)))
    eventually(lambda: served.client.stream().head.position == 5)
    start = events_pb2.Cursor(timeline=served.timeline(), position=3)
    assert take(served.client.subscribe(start=start), 2) == ["3", "4"]
    assert take(served.client.subscribe(start=events_pb2.Cursor()), 5) == list("01234")


def test_wrong_names_and_cursors_are_refused(served: Served) -> None:
    served.source.say("one")
    eventually(lambda: served.client.stream().head.position == 1)
    client, timeline = served.client, served.timeline()
    bad_name = refusal(lambda: next(client.subscribe(subscription="No Spaces!")))
    assert bad_name[:2] == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_SUBSCRIPTION_NAME")
    other = events_pb2.Cursor(timeline=str(uuid4()), position=1)
    code, reason, metadata = refusal(lambda: next(client.subscribe(start=other)))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TIMELINE_CHANGED")
    assert metadata["timeline"] == timeline
    code, reason, _ = refusal(lambda: client.acknowledge(subscription="a.reader", cursor=other))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TIMELINE_CHANGED")
    ahead = events_pb2.Cursor(timeline=timeline, position=2)
    code, reason, _ = refusal(lambda: client.acknowledge(subscription="a.reader", cursor=ahead))
    assert (code, reason) == (grpc.StatusCode.OUT_OF_RANGE, "CURSOR_AHEAD")
    code, reason, _ = refusal(lambda: next(client.subscribe(start=ahead)))
    assert (code, reason) == (grpc.StatusCode.OUT_OF_RANGE, "CURSOR_AHEAD")
    malformed = events_pb2.Cursor(timeline="yesterday", position=1)
    code, _, _ = refusal(lambda: next(client.subscribe(start=malformed)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    negative = events_pb2.Cursor(timeline=timeline, position=-1)
    code, _, _ = refusal(lambda: client.acknowledge(subscription="a.reader", cursor=negative, rewind=True))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    code, _, _ = refusal(lambda: next(client.subscribe(start=negative)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert not readers(served)


def test_events_that_are_gone_are_said_to_be(served: Served) -> None:
    source = served.source
    source.relay.stop()
    source.start_relay(purge_seconds=0.05)
    source.say("old", "older")
    eventually(lambda: served.client.stream().head.position == 2)
    served.client.acknowledge(
        subscription="a.reader", cursor=events_pb2.Cursor(timeline=served.timeline(), position=1)
    )
    source.clock.instant = NOW + timedelta(days=31)
    source.say("young")
    eventually(lambda: served.client.stream().oldest_position == 3)
    code, reason, metadata = refusal(lambda: next(served.client.subscribe(subscription="a.reader")))
    assert (code, reason, metadata) == (
        grpc.StatusCode.OUT_OF_RANGE,
        "EVENTS_EXPIRED",
        {"oldest_position": "3"},
    )
    assert take(served.client.subscribe(subscription="new.reader"), 1) == ["young"]


def test_a_restore_ends_open_streams(served: Served) -> None:
    served.source.say("one")
    responses = served.client.subscribe(subscription="a.reader")
    take(responses, 1)
    with served.source.db.transaction() as connection:
        connection.execute(sa.update(served.source.kit.stream).values(timeline=uuid4()))
    code, reason, _ = refusal(lambda: next(responses))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TIMELINE_CHANGED")


def test_a_caller_has_only_so_many_streams(served: Served) -> None:
    served.source.say("one")
    streams = [served.client.subscribe() for _ in range(3)]
    for responses in streams:
        take(responses, 1)
    code, reason, metadata = refusal(lambda: next(served.client.subscribe()))
    assert (code, reason, metadata) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_STREAMS",
        {"limit": "3"},
    )
    # Others are not touched by that, and a stream that ends makes room.
    other = served.connect("care").subscribe()
    assert take(other, 1) == ["one"]
    streams[0].cancel()
    eventually(lambda: served.source.stream.open_streams == 3)
    assert take(served.client.subscribe(), 1) == ["one"]


def test_streams_end_at_once_when_the_server_stops_and_leave_no_thread(served: Served) -> None:
    served.source.say("one")
    before = threading.active_count()
    streams = [served.client.subscribe() for _ in range(3)]
    for responses in streams:
        take(responses, 1)
    codes: list[grpc.StatusCode] = []

    def wait_for_end(responses: Any) -> None:
        try:
            while True:
                next(responses)
        except grpc.RpcError as error:
            codes.append(error.code())

    waiting = [threading.Thread(target=wait_for_end, args=(responses,)) for responses in streams]
    for thread in waiting:
        thread.start()
    stream = served.source.stream
    served.source.stop_server()
    for thread in waiting:
        thread.join(10)
    assert codes == [grpc.StatusCode.UNAVAILABLE] * 3
    assert stream.open_streams == 0
    eventually(lambda: threading.active_count() <= before)


def test_a_stream_that_the_caller_drops_is_noticed(served: Served) -> None:
    served.source.say("one")
    for _ in range(30):
        responses = served.client.subscribe()
        take(responses, 1)
        responses.cancel()
        eventually(lambda: served.source.stream.open_streams == 0)


def test_a_notification_wakes_the_stream_without_a_poll(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.kit.events import tail

    monkeypatch.setattr(tail, "POLL_SECONDS", 3600.0)
    served.source.stop_server()
    served.source.start_server()
    responses = served.connect("contacts").subscribe()
    for number in range(5):
        served.source.say(str(number))
        assert take(responses, 1) == [str(number)]


def test_streams_survive_the_loss_of_the_listening_connection(served: Served) -> None:
    served.source.say("one")
    responses = served.client.subscribe()
    take(responses, 1)
    kill = sa.text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE 'LISTEN%'"
        " OR application_name = 'nobody'"
    )
    with served.source.db.read() as connection:
        connection.execute(kill)
    served.source.say("two")
    assert take(responses, 1) == ["two"]


def test_a_stream_of_a_timeline_that_the_tail_has_not_seen_yet_waits_for_it(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.source.say("one", "two")
    eventually(lambda: served.client.stream().head.position == 2)
    behind, seeing = threading.Event(), threading.Event()
    publish, is_behind = Tail._publish, stream_module.EventStream._is_behind

    def held_back(tail: Tail, head: Any) -> None:
        seeing.wait()
        publish(tail, head)

    def noted(*given: Any) -> bool:
        found = is_behind(*given)
        if found:
            behind.set()
        return found

    monkeypatch.setattr(Tail, "_publish", held_back)
    monkeypatch.setattr(stream_module.EventStream, "_is_behind", noted)
    try:
        with served.source.db.transaction() as connection:
            made = timelines.fork(connection, served.source.kit, NOW)
        start = events_pb2.Cursor(timeline=str(made.before), position=1)
        with ThreadPoolExecutor(1) as caller:
            answer = caller.submit(next, served.client.subscribe(start=start))
            assert behind.wait(60)
            seeing.set()
            response = answer.result(60)
    finally:
        seeing.set()
    assert [unpack(event).value for event in response.events] == ["two"]
    assert response.cursor.timeline == str(made.after)


def test_the_state_of_the_stream_is_told(served: Served) -> None:
    empty = eventually(lambda: served.client.stream())
    assert (empty.head.position, empty.oldest_position, empty.unpositioned_events) == (0, 0, 0)
    served.source.say(*map(str, range(7)))
    eventually(lambda: served.client.stream().head.position == 7)
    cursor = events_pb2.Cursor(timeline=served.timeline(), position=5)
    served.client.acknowledge(subscription="a.reader", cursor=cursor)
    state = served.client.stream()
    assert state.oldest_position == 1
    (subscription,) = readers(served)
    assert (subscription.name, subscription.lag, subscription.cursor) == ("a.reader", 2, cursor)
    assert subscription.update_time.ToDatetime(NOW.tzinfo) == NOW
    served.source.relay.stop()
    served.source.say("unseen")
    assert served.client.stream().unpositioned_events == 1


def test_a_caller_without_the_permission_is_refused(served: Served) -> None:
    stranger = Client(served.port, "no such token")
    served.clients.append(stranger)
    code, _, _ = refusal(lambda: next(stranger.subscribe()))
    assert code is grpc.StatusCode.UNAUTHENTICATED
    code, _, _ = refusal(stranger.stream)
    assert code is grpc.StatusCode.UNAUTHENTICATED
