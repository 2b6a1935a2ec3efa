"""Who opens calls and sends nothing keeps no thread: whoever it is, and whatever it calls."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.kit.grpc import arrivals
from tests.support.echo import OWNER, READER, pb, serve
from tests.support.waiting import until

WAIT = 20.0
ECHO = "/rapporttest.v1.EchoService/Echo"
PUBLIC = "/rapporttest.v1.EchoService/GetVersion"
WATCH = "/rapporttest.v1.EchoService/Watch"
CHECK = "/grpc.health.v1.Health/Check"
HEALTH_WATCH = "/grpc.health.v1.Health/Watch"
REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
MANY = 40


def raw(message: Any) -> Any:
    return message


@contextmanager
def opened(channel: grpc.Channel, path: str, token: str = "") -> Iterator[list[Any]]:
    """Open calls that send no request until the end of the block."""
    going = threading.Event()

    def nothing() -> Iterator[bytes]:
        going.wait(WAIT)
        yield from ()

    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    kind = channel.stream_stream(path, request_serializer=raw, response_deserializer=raw)
    calls = [kind(nothing(), metadata=metadata, timeout=3 * WAIT) for _ in range(MANY)]
    try:
        yield calls
    finally:
        going.set()
        for call in calls:
            call.cancel()


def end(call: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        list(call)
    return caught.value


@pytest.mark.parametrize("path", [ECHO, WATCH])
def test_without_a_token_a_call_is_refused_before_its_request_comes(tmp_path, path: str):
    with serve(tmp_path, threads=4) as served, opened(served.channel(), path) as calls:
        assert {end(call).code() for call in calls} == {grpc.StatusCode.UNAUTHENTICATED}


@pytest.mark.parametrize("path", [PUBLIC, CHECK, HEALTH_WATCH, REFLECT])
def test_what_is_open_to_all_leaves_threads_for_callers_with_a_token(tmp_path, path: str):
    with serve(tmp_path, threads=4) as served, opened(served.channel(), path) as calls:
        # All but the one that is waited for are turned away.
        until(lambda: sum(call.done() for call in calls) == MANY - 1, "they are refused")
        assert {call.code() for call in calls if call.done()} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        for _ in range(20):
            assert served.client(OWNER).echo(text="x", _timeout=WAIT).text == "x"


@pytest.mark.parametrize("path", [PUBLIC, CHECK, HEALTH_WATCH, REFLECT])
def test_strangers_are_waited_for_a_moment_only(tmp_path, monkeypatch, path: str):
    monkeypatch.setattr(arrivals, "STRANGER_SECONDS", 0.2)
    with serve(tmp_path, threads=4) as served, opened(served.channel(), path) as calls:
        codes = [end(call).code() for call in calls]
        assert codes.count(grpc.StatusCode.CANCELLED) >= 1
        assert set(codes) <= {grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED}
        health = health_pb2_grpc.HealthStub(served.channel())
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=WAIT)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        reflection = reflection_pb2_grpc.ServerReflectionStub(served.channel())
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        assert list(reflection.ServerReflectionInfo(iter([asked]), timeout=WAIT))


def test_a_known_caller_is_waited_for_longer_and_not_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(arrivals, "STRANGER_SECONDS", 0.1)
    monkeypatch.setattr(arrivals, "KNOWN_SECONDS", 1.0)
    with serve(tmp_path, threads=MANY) as served:
        with opened(served.channel(), ECHO, READER) as calls:
            assert {end(call).code() for call in calls} == {grpc.StatusCode.CANCELLED}
        assert served.echo.calls == []
        assert served.client(OWNER).echo(text="x").text == "x"


def test_work_takes_as_long_as_it_takes(tmp_path, monkeypatch):
    for name in ("STRANGER_SECONDS", "KNOWN_SECONDS"):
        monkeypatch.setattr(arrivals, name, 0.1)
    with serve(tmp_path, threads=4) as served:
        over = threading.Event()
        threading.Timer(1.0, over.set).start()
        served.echo.behave = lambda request, context: "done" if over.wait(WAIT) else ""
        assert served.client(OWNER).echo(text="x").text == "done"


def test_an_upload_that_falls_silent_ends_and_one_that_goes_on_does_not(tmp_path, monkeypatch):
    monkeypatch.setattr(arrivals, "PIECE_SECONDS", 1.0)
    with serve(tmp_path, threads=4) as served:
        ended, going, silent = threading.Event(), threading.Event(), threading.Event()

        def pieces(wait: float, count: int, last: threading.Event) -> Iterator[Any]:
            for _ in range(count):
                yield pb.EchoRequest(text="x")
                going.wait(wait)
            last.wait(WAIT)

        stub, metadata = served.stub(), (("authorization", f"Bearer {OWNER}"),)
        ended.set()
        whole = stub.Upload(pieces(0.3, 6, ended), metadata=metadata, timeout=WAIT)
        assert whole.text == "+".join("x" * 6)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Upload(pieces(0.0, 2, silent), metadata=metadata, timeout=WAIT)
        assert caught.value.code() is grpc.StatusCode.CANCELLED
        silent.set()
        guard = served.server._registry._guard
        until(lambda: guard._streams._value == guard._max_streams, "its place is free")


def test_a_call_that_ends_without_a_request_is_told_so(tmp_path):
    with serve(tmp_path, threads=4) as served:
        call = served.channel().stream_unary(ECHO, request_serializer=raw, response_deserializer=raw)
        with pytest.raises(grpc.RpcError) as caught:
            call(iter([]), metadata=(("authorization", f"Bearer {OWNER}"),), timeout=WAIT)
        status, info = (
            Status.FromString(dict(caught.value.trailing_metadata())["grpc-status-details-bin"]),
            ErrorInfo(),
        )
        assert any(detail.Unpack(info) for detail in status.details)
        assert (caught.value.code(), info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")


def test_those_who_watch_health_are_counted_and_keep_no_thread(tmp_path):
    with serve(tmp_path, threads=4) as served:
        stub = health_pb2_grpc.HealthStub(served.channel())
        for _ in range(2):
            watches = [stub.Watch(health_pb2.HealthCheckRequest(), timeout=WAIT) for _ in range(4)]
            assert {next(watch).status for watch in watches} == {health_pb2.HealthCheckResponse.SERVING}
            assert end(stub.Watch(health_pb2.HealthCheckRequest(), timeout=WAIT)).code() is (
                grpc.StatusCode.RESOURCE_EXHAUSTED
            )
            assert served.client(OWNER).echo(text="x").text == "x"
            for watch in watches:
                watch.cancel()
            until(lambda: served.server._open._watches._value == 4, "their places are free")


def test_a_watch_is_told_when_the_server_drains(tmp_path):
    with serve(tmp_path, threads=4) as served:
        stub = health_pb2_grpc.HealthStub(served.channel())
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=WAIT)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        served.server.drain()
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()


def test_the_public_rpc_still_answers_anybody(tmp_path):
    with serve(tmp_path, threads=4) as served:
        calls = [served.stub().GetVersion.future(pb.EchoRequest(text="x"), timeout=WAIT) for _ in range(30)]
        assert all(call.result() is not None for call in calls)
