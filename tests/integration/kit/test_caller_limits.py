"""What one caller may ask of a process, and the record of what was refused."""

from __future__ import annotations

import threading

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from rapport_client import errors
from rapport_client.retry import NO_RETRY
from structlog.testing import capture_logs

from services.kit.access.addresses import caller_address
from services.kit.access.audit import Audit, Refusal
from services.kit.access.limits import Buckets, CallerLimits, Limits
from services.kit.auth import add_tokens
from services.kit.errors import PermissionDenied, ResourceExhausted
from tests.support.echo import OWNER, READER, pb, serve

WAIT = 20.0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_gives_its_size_at_once_and_its_rate_on_average():
    clock = Clock()
    buckets = Buckets(10.0, 5, clock=clock)
    assert [buckets.take("a") for _ in range(5)] == [0.0] * 5
    wait = buckets.take("a")
    assert wait == pytest.approx(0.1)
    assert buckets.take("b") == 0.0
    clock.now += wait
    assert buckets.take("a") == 0.0
    assert buckets.take("a") > 0
    given = 0
    for _ in range(1000):
        clock.now += 0.01
        given += buckets.take("a") == 0.0
    assert given == pytest.approx(100, abs=1)
    clock.now += 3600
    assert sum(buckets.take("a") == 0.0 for _ in range(20)) == 5


def test_more_than_a_bucket_holds_is_paid_back():
    clock = Clock()
    buckets = Buckets(10.0, 5, clock=clock)
    assert buckets.take("a", 25) == 0.0
    assert buckets.take("a", 1) == pytest.approx(2.1)


def test_buckets_are_bounded_and_none_is_no_limit(monkeypatch):
    monkeypatch.setattr("services.kit.access.limits._CALLERS", 10)
    buckets = Buckets(0.001, 1)
    for number in range(100):
        assert buckets.take(f"caller-{number}") == 0.0
    assert len(buckets._callers) == 10
    assert all(Buckets(0.0, 1).take("a") == 0.0 for _ in range(100))
    limits = CallerLimits(Limits())
    for _ in range(100):
        limits.call("a")
        limits.content("a", 1 << 30)
        limits.refused("a")
        limits.open_stream("a")


def test_places_of_streams_come_back():
    limits = CallerLimits(Limits(streams=2))
    limits.open_stream("a")
    limits.open_stream("a")
    with pytest.raises(ResourceExhausted):
        limits.open_stream("a")
    limits.open_stream("b")
    limits.close_stream("a")
    limits.open_stream("a")
    for caller in "aab":
        limits.close_stream(caller)
    assert limits._streams == {}


def details(error: grpc.RpcError) -> tuple[str, float]:
    status = Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    info, retry = ErrorInfo(), RetryInfo()
    for detail in status.details:
        assert detail.Unpack(info) or detail.Unpack(retry)
    return info.reason, retry.retry_delay.ToMicroseconds() / 1e6


def test_too_many_calls_are_told_when_to_come_again(tmp_path):
    with serve(tmp_path, limits=Limits(calls_per_second=0.01, burst_calls=3)) as served:
        add_tokens(served.tokens_file, [("service:care", ("*",), "of-care")])
        reader = served.client(READER, retry=NO_RETRY)
        for _ in range(3):
            reader.echo(text="x")
        with pytest.raises(errors.ResourceExhausted) as caught:
            reader.echo(text="x")
        assert caught.value.reason == "TOO_MANY_CALLS"
        assert 90 < caught.value.retry_seconds <= 100
        assert len(served.echo.calls) == 3
        assert served.client(OWNER, retry=NO_RETRY).echo(text="x").text == "x"
        # RPCs that are open to all are counted by address.
        stub = served.stub()
        for _ in range(3):
            stub.GetVersion(pb.EchoRequest(text="x"), timeout=WAIT)
        with pytest.raises(grpc.RpcError) as refused:
            stub.GetVersion(pb.EchoRequest(text="x"), timeout=WAIT)
        assert details(refused.value)[0] == "TOO_MANY_CALLS"


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.7:5000", "ipv4:192.0.2.7"),
        ("ipv6:[2001:db8:1:2:3:4:5:6]:5000", "ipv6:2001:db8:1:2::/64"),
        ("ipv6:%5B2001:db8:1:2:ffff::9%5D:5000", "ipv6:2001:db8:1:2::/64"),
        ("ipv6:[::ffff:192.0.2.7]:5000", "ipv4:192.0.2.7"),
        ("ipv6:[::1]:5000", "ipv6:::1"),
        ("ipv6:[fe80::1%25eth0]:5000", "ipv6:fe80::/64"),
        ("unix:", "unix"),
        ("", ""),
    ],
)
def test_a_network_of_ipv6_addresses_is_one_caller(peer, address):
    assert caller_address(peer) == address


def test_our_own_services_have_no_limit(tmp_path):
    with serve(tmp_path, limits=Limits(calls_per_second=0.01, burst_calls=1, bytes_per_second=1)) as served:
        add_tokens(served.tokens_file, [("service:care", ("*",), "of-care")])
        served.server._registry._guard._tokens.refresh()
        client = served.client("of-care", retry=NO_RETRY)
        for _ in range(5):
            client.echo(text="x" * 100)


def test_the_client_waits_as_long_as_it_is_told(tmp_path):
    with serve(tmp_path, limits=Limits(calls_per_second=50, burst_calls=1)) as served:
        slept: list[float] = []
        done = threading.Event()

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            done.wait(seconds)

        client = served.client(OWNER, sleep=sleep)
        for _ in range(3):
            client.charge(text="x")  # not safe to repeat, but no handler had seen it
        assert len(served.echo.calls) == 3
        assert slept
        assert all(0 < seconds <= 0.02 for seconds in slept)


def test_too_many_bytes_and_streams(tmp_path):
    limits = Limits(bytes_per_second=1, burst_bytes=500, streams=1)
    with serve(tmp_path, limits=limits) as served, capture_logs() as lines:
        client = served.client(READER, retry=NO_RETRY)
        client.echo(text="x" * 400)
        with pytest.raises(errors.ResourceExhausted) as caught:
            client.echo(text="x" * 400)
        assert caught.value.reason == "TOO_MANY_BYTES"
        going_on = threading.Event()

        def watch(request, context):
            yield "first"
            assert going_on.wait(WAIT)
            yield "last"

        served.echo.behave = watch
        with client.watch(text="x") as held:
            assert next(held).text == "first"
            with pytest.raises(errors.ResourceExhausted) as caught:
                list(client.watch(text="x"))
            assert caught.value.reason == "TOO_MANY_STREAMS"
            going_on.set()
            assert [one.text for one in held] == ["last"]
        served.echo.behave = lambda request, context: iter(["again"])
        assert [one.text for one in client.watch(text="x")] == ["again"]
    assert [(line["who"], line["reason"]) for line in lines if line.get("audit") == "access.denied"] == [
        ("reader", "TOO_MANY_BYTES"),
        ("reader", "TOO_MANY_STREAMS"),
    ]


def test_who_comes_again_and_again_without_a_good_token_is_cut_short(tmp_path):
    with serve(tmp_path, limits=Limits(refused_per_second=0.1)) as served:
        stub, reasons = served.stub(), []
        for _ in range(3):
            with pytest.raises(grpc.RpcError) as caught:
                stub.Echo(pb.EchoRequest(text="x"), metadata=(("authorization", "Bearer bad"),), timeout=WAIT)
            reasons.append(details(caught.value)[0])
        assert reasons == ["INVALID_TOKEN", "TOO_MANY_REFUSED_CALLS", "TOO_MANY_REFUSED_CALLS"]
        # Who has one is let in from the same address.
        assert served.client(OWNER).echo(text="x").text == "x"


def test_refusals_are_recorded_with_who_what_and_why(tmp_path):
    with serve(tmp_path) as served, capture_logs() as lines:
        reader = served.client(READER)
        with pytest.raises(errors.PermissionDenied):
            reader.save(text="of an@example.test", _metadata=(("x-request-id", "r-1"),))
        with pytest.raises(errors.Unauthenticated):
            served.client("no such token").echo(text="x", _metadata=(("x-request-id", "r-2"),))
        for _ in range(4):
            with pytest.raises(errors.PermissionDenied):
                reader.save(text="x", _metadata=(("x-request-id", "r-3"),))
        served.server._registry._guard._audit.flush()
    told = [line for line in lines if line.get("audit") == "access.denied"]
    assert [
        (line["who"], line["method"], line["reason"], line["count"], line["request_id"]) for line in told
    ] == [
        ("reader", "rapporttest.v1.EchoService/Save", "PERMISSION_DENIED", 1, "r-1"),
        ("address:ipv4:127.0.0.1", "rapporttest.v1.EchoService/Echo", "INVALID_TOKEN", 1, "r-2"),
        ("reader", "rapporttest.v1.EchoService/Save", "PERMISSION_DENIED", 4, "r-3"),
    ]
    assert told[0]["permission"] == "echo.write"
    assert "an@example.test" not in str(told)
    assert "no such token" not in str(lines)


def test_what_a_handler_refuses_is_recorded_once_too(tmp_path):
    def refuse(request, context):
        raise PermissionDenied("it belongs to an@example.test", reason="OUT_OF_SCOPE")

    with serve(tmp_path) as served, capture_logs() as lines:
        served.echo.behave = refuse
        for client in (served.client(OWNER), served.client(READER)):
            with pytest.raises(errors.PermissionDenied):
                client.save(text="x")
        served.server._registry._guard._audit.flush()
    told = [line for line in lines if line.get("audit") == "access.denied"]
    assert [(line["who"], line["reason"], line["count"]) for line in told] == [
        ("owner", "OUT_OF_SCOPE", 1),
        ("reader", "PERMISSION_DENIED", 1),
    ]
    assert "an@example.test" not in str(told)


def test_an_attacker_cannot_fill_the_disk():
    clock = Clock()
    audit = Audit(window_seconds=60, most_lines=10, clock=clock)
    with capture_logs() as lines:
        for number in range(5000):
            audit.refused(Refusal(f"address:{number}", "Echo", "INVALID_TOKEN"), f"r-{number}")
        assert len(lines) == 11
        audit.flush()
    assert sum(line["count"] for line in lines) == 5000
    assert len(lines) == 12
    with capture_logs() as lines:
        audit.refused(Refusal("address:1", "Echo", "INVALID_TOKEN"), "r")
        audit.refused(Refusal("address:1", "Echo", "INVALID_TOKEN"), "r")
        clock.now += 61
        audit.refused(Refusal("address:2", "Echo", "INVALID_TOKEN"), "r")
    assert [(line["who"], line["count"]) for line in lines] == [
        ("address:1", 1),
        ("address:1", 1),
        ("address:2", 1),
    ]
    audit.close()
