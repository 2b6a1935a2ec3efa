"""The guarded gRPC server on a real port: tokens, permissions, validation, errors, limits, health, stop."""

from __future__ import annotations

import queue
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import REGISTRY
from rapport_client.errors import from_rpc_error
from structlog.testing import capture_logs

from services.kit import context as call_context
from services.kit.auth import TokenStore, add_tokens
from services.kit.errors import FailedPrecondition, FieldViolation, InvalidArgument, NotFound, Unavailable
from services.kit.grpc.server import ApiServer
from tests.support.echo import OWNER, READER, pb, serve, stubs
from tests.support.waiting import until

AUTH = (("authorization", f"Bearer {OWNER}"),)
WAIT = 20.0


@pytest.fixture
def served(tmp_path):
    with serve(tmp_path) as running:
        yield running


def failure(call, *arguments, **options):
    """Return code, message, ErrorInfo, violations and trailing metadata of a call that fails."""
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **{"timeout": WAIT, **options})
    error = caught.value
    trailing = dict(error.trailing_metadata() or ())
    info, bad = ErrorInfo(), BadRequest()
    if "grpc-status-details-bin" in trailing:
        status = Status.FromString(trailing["grpc-status-details-bin"])
        assert status.code == error.code().value[0]
        for detail in status.details:
            assert detail.Unpack(info) or detail.Unpack(bad)
    return error.code(), error.details(), info, [item.field for item in bad.field_violations], trailing


def test_a_call_with_a_token_is_answered(served):
    response, call = served.stub().Echo.with_call(
        pb.EchoRequest(text="xin chào"), metadata=AUTH, timeout=WAIT
    )
    assert response.text == "xin chào"
    assert len(dict(call.trailing_metadata())["x-request-id"]) == 32


def test_the_handler_knows_the_call(served):
    seen = []
    served.echo.behave = lambda request, context: seen.append(call_context.current()) or "ok"
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    metadata = (*AUTH, ("x-request-id", "my-id-1"), ("traceparent", trace))
    _, call = served.stub().Echo.with_call(pb.EchoRequest(text="x"), metadata=metadata, timeout=WAIT)
    [work] = seen
    assert (work.request_id, work.principal) == ("my-id-1", "owner")
    assert work.method == "rapporttest.v1.EchoService/Echo"
    assert work.traceparent[:36] == trace[:36]
    assert work.deadline is not None
    assert dict(call.trailing_metadata())["x-request-id"] == "my-id-1"


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ((), "MISSING_TOKEN"),
        ((("authorization", "Basic abc"),), "MISSING_TOKEN"),
        ((("authorization", "Bearer "),), "MISSING_TOKEN"),
        ((("authorization", "Bearer wrong"),), "INVALID_TOKEN"),
    ],
)
def test_nobody_gets_in_without_a_known_token(served, metadata, reason):
    code, _, info, _, _ = failure(served.stub().Echo, pb.EchoRequest(text="x"), metadata=metadata)
    assert (code, info.reason, info.domain) == (grpc.StatusCode.UNAUTHENTICATED, reason, "rapport")
    assert served.echo.calls == []


def test_a_missing_permission_is_named(served):
    metadata = (("authorization", f"Bearer {READER}"),)
    assert served.stub().Echo(pb.EchoRequest(text="x"), metadata=metadata, timeout=WAIT).text == "x"
    code, message, info, _, _ = failure(served.stub().Save, pb.SaveRequest(text="x"), metadata=metadata)
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert dict(info.metadata) == {"permission": "echo.write", "principal": "reader"}
    assert "echo.write" in message
    assert len(served.echo.calls) == 1


def test_a_public_method_needs_no_token_but_knows_its_caller(served):
    seen = []
    served.echo.behave = lambda request, context: seen.append(call_context.principal()) or "1"
    stub = served.stub()
    stub.GetVersion(pb.EchoRequest(text="x"), timeout=WAIT)
    stub.GetVersion(pb.EchoRequest(text="x"), metadata=AUTH, timeout=WAIT)
    stub.GetVersion(pb.EchoRequest(text="x"), metadata=(("authorization", "Bearer wrong"),), timeout=WAIT)
    assert seen == ["", "owner", ""]


def test_invalid_requests_never_reach_the_handler(served):
    code, message, info, fields, _ = failure(served.stub().Echo, pb.EchoRequest(), metadata=AUTH)
    assert (code, info.reason, fields) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS", ["text"])
    assert message == "invalid request: text is required"
    assert served.echo.calls == []


def test_the_token_is_checked_before_the_content(served):
    assert failure(served.stub().Echo, pb.EchoRequest())[0] is grpc.StatusCode.UNAUTHENTICATED


def test_bytes_that_are_no_message_are_a_typed_error(served):
    call = served.channel().unary_unary("/rapporttest.v1.EchoService/Echo")
    for raw in (b"\xff\xff\xff", b"\x0a\x02\xff\xfe"):
        code, _, info, _, _ = failure(call, raw, metadata=AUTH)
        assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")


def test_typed_errors_cross_the_wire(served):
    def behave(request, context):
        raise NotFound("things/1 does not exist", reason="NO_THING", metadata={"resource": "things/1"})

    served.echo.behave = behave
    code, message, info, _, trailing = failure(served.stub().Echo, pb.EchoRequest(text="x"), metadata=AUTH)
    assert (code, message) == (grpc.StatusCode.NOT_FOUND, "things/1 does not exist")
    assert (info.reason, info.metadata["resource"]) == ("NO_THING", "things/1")
    assert trailing["x-request-id"]


def test_many_violations_arrive_at_a_client_with_default_limits(served):
    def behave(request, context):
        found = [FieldViolation(f"contacts[{i}].phone", f"không hợp lệ: '{i}' " * 9) for i in range(500)]
        raise InvalidArgument("Ếế" * 3000, violations=found)

    served.echo.behave = behave
    code, message, info, fields, _ = failure(served.stub().Echo, pb.EchoRequest(text="x"), metadata=AUTH)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message.endswith("…")
    assert fields
    assert len(fields) + int(info.metadata["violations_omitted"]) == 500


def test_an_unknown_error_is_logged_and_tells_nothing(served):
    def behave(request, context):
        raise ZeroDivisionError("the password is swordfish")

    served.echo.behave = behave
    metadata = (*AUTH, ("x-request-id", "find-me"))
    with capture_logs() as lines:
        code, message, info, _, _ = failure(
            served.stub().Echo, pb.EchoRequest(text="secret"), metadata=metadata
        )
    assert (code, info.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "swordfish" not in message
    assert "find-me" in message
    [line] = lines
    assert isinstance(line.pop("exc_info"), ZeroDivisionError)
    assert line.pop("ms") >= 0
    assert line == {
        "component": "grpc",
        "event": "rpc",
        "log_level": "error",
        "method": "rapporttest.v1.EchoService/Echo",
        "caller": "owner",
        "code": "INTERNAL",
        "reason": "INTERNAL",
    }


def test_a_stream_that_ends_with_its_process_is_no_warning(served):
    def behave(request, context):
        raise Unavailable("the event stream is stopping", reason="STOPPING")

    served.echo.behave = behave
    with capture_logs() as lines:
        failure(served.stub().Echo, pb.EchoRequest(text="x"), metadata=AUTH)
    assert [(line["log_level"], line["reason"]) for line in lines] == [("info", "STOPPING")]


def test_the_log_tells_of_each_call_but_not_what_it_holds(served):
    with capture_logs() as lines:
        served.stub().Echo(pb.EchoRequest(text="an@example.test"), metadata=AUTH, timeout=WAIT)
        failure(served.stub().Echo, pb.EchoRequest(), metadata=AUTH)
        failure(served.stub().Echo, pb.EchoRequest(text="x"))
    told = [
        (line["log_level"], line["caller"], line["code"], line.get("reason"))
        for line in lines
        if line["event"] == "rpc"
    ]
    assert told == [
        ("info", "owner", "OK", None),
        ("info", "owner", "INVALID_ARGUMENT", "INVALID_FIELDS"),
        ("info", "", "UNAUTHENTICATED", "MISSING_TOKEN"),
    ]
    assert "an@example.test" not in str(lines)
    assert OWNER not in str(lines)


def test_a_handler_that_returns_nothing_is_an_internal_error(served):
    served.echo.behave = lambda request, context: None
    assert failure(served.stub().Echo, pb.EchoRequest(text="x"), metadata=AUTH)[0] is grpc.StatusCode.INTERNAL


def test_a_handler_may_abort_on_its_own(served):
    served.echo.behave = lambda request, context: context.abort(grpc.StatusCode.DATA_LOSS, "gone")
    code, message, _, _, _ = failure(served.stub().Echo, pb.EchoRequest(text="x"), metadata=AUTH)
    assert (code, message) == (grpc.StatusCode.DATA_LOSS, "gone")


def test_uploads_are_validated_message_by_message(served):
    stub = served.stub()
    good = [pb.EchoRequest(text=text) for text in "abc"]
    assert stub.Upload(iter(good), metadata=AUTH, timeout=WAIT).text == "a+b+c"
    bad = [*good, pb.EchoRequest()]
    code, _, info, fields, _ = failure(stub.Upload, iter(bad), metadata=AUTH)
    assert (code, info.reason, fields) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS", ["text"])
    denied = (("authorization", f"Bearer {READER}"),)
    assert failure(stub.Upload, iter(good), metadata=denied)[0] is grpc.StatusCode.PERMISSION_DENIED


def test_streams_are_guarded(served):
    stub = served.stub()
    served.echo.behave = lambda request, context: iter([request.text, call_context.principal()])
    stream = stub.Watch(pb.EchoRequest(text="a"), metadata=AUTH, timeout=WAIT)
    assert [answer.text for answer in stream] == ["a", "owner"]
    assert failure(lambda *a, **o: list(stub.Watch(*a, **o)), pb.EchoRequest(text="a"))[0] is (
        grpc.StatusCode.UNAUTHENTICATED
    )
    code, _, _, fields, _ = failure(
        lambda *a, **o: list(stub.Watch(*a, **o)), pb.EchoRequest(), metadata=AUTH
    )
    assert (code, fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["text"])


def test_an_error_within_a_stream_is_typed(served):
    def behave(request, context):
        yield "first"
        raise NotFound.resource("things/2")

    served.echo.behave = behave
    stream = served.stub().Watch(pb.EchoRequest(text="a"), metadata=AUTH, timeout=WAIT)
    assert next(stream).text == "first"
    assert failure(lambda **_: next(stream))[0] is grpc.StatusCode.NOT_FOUND


def test_both_sides_may_stream(served):
    stub = served.stub()
    requests = [pb.EchoRequest(text="a"), pb.EchoRequest(text="b")]
    assert [answer.text for answer in stub.Chat(iter(requests), metadata=AUTH, timeout=WAIT)] == ["A", "B"]
    stream = stub.Chat(iter([*requests, pb.EchoRequest()]), metadata=AUTH, timeout=WAIT)
    assert failure(lambda **_: list(stream))[0] is grpc.StatusCode.INVALID_ARGUMENT


def test_streams_do_not_take_all_threads(tmp_path):
    with serve(tmp_path, threads=4, max_streams=2) as served:
        release = threading.Event()

        def behave(request, context):
            if request.text != "stream":
                return "unary"

            def answers():
                yield "begun"
                release.wait(WAIT)

            return answers()

        served.echo.behave = behave
        stub = served.stub()
        streams = [stub.Watch(pb.EchoRequest(text="stream"), metadata=AUTH, timeout=WAIT) for _ in range(2)]
        assert [next(stream).text for stream in streams] == ["begun", "begun"]
        third = stub.Watch(pb.EchoRequest(text="stream"), metadata=AUTH, timeout=WAIT)
        code, _, info, _, _ = failure(lambda **_: next(third))
        assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS")
        assert stub.Echo(pb.EchoRequest(text="x"), metadata=AUTH, timeout=WAIT).text == "unary"
        release.set()
        assert [list(stream) for stream in streams] == [[], []]
        again = stub.Watch(pb.EchoRequest(text="stream"), metadata=AUTH, timeout=WAIT)
        assert next(again).text == "begun"


def test_a_cancelled_stream_gives_its_place_back(tmp_path):
    with serve(tmp_path, threads=4, max_streams=1) as served:
        gone = threading.Event()

        def behave(request, context):
            context.add_callback(gone.set)
            yield "begun"
            gone.wait(WAIT)

        def begins(stream):
            try:
                return next(stream).text == "begun"
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
                return False

        served.echo.behave = behave
        stub = served.stub()
        for _ in range(3):
            gone.clear()
            stream = stub.Watch(pb.EchoRequest(text="x"), metadata=AUTH, timeout=WAIT)
            # The server notices a cancelled call a moment later, and refuses until then.
            while not begins(stream):
                stream = stub.Watch(pb.EchoRequest(text="x"), metadata=AUTH, timeout=WAIT)
            stream.cancel()
            assert gone.wait(WAIT)


def test_a_call_that_nobody_waits_for_any_more_is_not_begun(tmp_path):
    with serve(tmp_path, threads=1) as served:
        begun, release = threading.Event(), threading.Event()

        def behave(request, context):
            begun.set()
            release.wait(WAIT)
            return request.text

        served.echo.behave = behave
        stub = served.stub()
        with ThreadPoolExecutor() as pool:
            first = pool.submit(stub.Echo, pb.EchoRequest(text="first"), metadata=AUTH, timeout=WAIT)
            assert begun.wait(WAIT)
            code = failure(stub.Echo, pb.EchoRequest(text="late"), metadata=AUTH, timeout=0.05)[0]
            assert code is grpc.StatusCode.DEADLINE_EXCEEDED
            release.set()
            assert first.result(WAIT).text == "first"
        assert stub.Echo(pb.EchoRequest(text="next"), metadata=AUTH, timeout=WAIT).text == "next"
        assert [request.text for request in served.echo.calls] == ["first", "next"]


def test_more_calls_than_fit_are_refused_at_once(tmp_path):
    with serve(tmp_path, threads=1) as served:
        release = threading.Event()
        served.echo.behave = lambda request, context: "ok" if release.wait(WAIT) else "never"
        stub = served.stub()
        calls = [stub.Echo.future(pb.EchoRequest(text="x"), metadata=AUTH, timeout=WAIT) for _ in range(60)]
        # Which of them come first is not known; that one of them ends says that no more are taken.
        ended: queue.SimpleQueue[grpc.Future] = queue.SimpleQueue()
        for call in calls:
            call.add_done_callback(ended.put)
        assert ended.get(timeout=WAIT).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        release.set()
        codes = {call.code() for call in calls}
        assert codes == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}


def test_a_message_beyond_the_limit_is_refused(tmp_path):
    with serve(tmp_path, max_message_bytes=1 << 16) as served:
        code = failure(served.stub().Save, pb.SaveRequest(text="x" * (1 << 17)), metadata=AUTH)[0]
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        with pytest.raises(grpc.RpcError) as caught:
            served.stub().Save(pb.SaveRequest(text="x" * (1 << 17)), metadata=AUTH, timeout=WAIT)
        error = from_rpc_error(caught.value)
        assert error.reason == "MESSAGE_TOO_LARGE"
        assert "fewer items" in str(error)
        assert "RAPPORT_MAX_MESSAGE_BYTES" in str(error)
        assert served.echo.calls == []


def test_health_and_reflection_are_on(served):
    health = health_pb2_grpc.HealthStub(served.channel())
    for name in ("", "rapporttest.v1.EchoService"):
        answer = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=WAIT)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    reflection = reflection_pb2_grpc.ServerReflectionStub(served.channel())
    [answer] = reflection.ServerReflectionInfo(
        iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=WAIT
    )
    names = {item.name for item in answer.list_services_response.service}
    assert names >= {"rapporttest.v1.EchoService", "grpc.health.v1.Health"}


def test_draining_tells_balancers_but_still_answers(served):
    served.server.drain()
    health = health_pb2_grpc.HealthStub(served.channel())
    answer = health.Check(health_pb2.HealthCheckRequest(), timeout=WAIT)
    assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert served.stub().Echo(pb.EchoRequest(text="x"), metadata=AUTH, timeout=WAIT).text == "x"


def test_an_old_connection_is_ended_and_a_new_one_made_without_losing_a_call(tmp_path):
    begun, release = threading.Event(), threading.Event()
    peers = []
    with serve(tmp_path, connection_seconds=0.2) as served:

        def behave(request, context):
            peers.append(context.peer())
            if request.text == "slow":
                begun.set()
                assert release.wait(WAIT)
            return request.text

        def calls_on_another_connection() -> bool:
            echo = stub.Echo(pb.EchoRequest(text="quick"), metadata=AUTH, timeout=WAIT)
            return echo.text == "quick" and peers[-1] != peers[0]

        served.echo.behave = behave
        stub = stubs.EchoServiceStub(served.channel())
        slow = stub.Echo.future(pb.EchoRequest(text="slow"), metadata=AUTH, timeout=WAIT)
        assert begun.wait(WAIT)
        until(calls_on_another_connection, "a call goes over a new connection", timeout=WAIT)
        release.set()
        assert slow.result().text == "slow"


def test_a_stop_lets_calls_finish_and_takes_no_new_ones(served):
    begun, release = threading.Event(), threading.Event()

    def behave(request, context):
        begun.set()
        release.wait(WAIT)
        return "finished"

    served.echo.behave = behave
    stub, other = served.stub(), served.stub()
    with ThreadPoolExecutor() as pool:
        call = pool.submit(stub.Echo, pb.EchoRequest(text="x"), metadata=AUTH, timeout=WAIT)
        assert begun.wait(WAIT)
        stopping = pool.submit(served.server.stop, WAIT)
        while True:
            # New calls are refused as soon as the stop has begun.
            try:
                other.GetVersion(pb.EchoRequest(text=""), timeout=1)
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.UNAVAILABLE:
                    break
        assert not stopping.done()
        release.set()
        assert call.result(WAIT).text == "finished"
        stopping.result(WAIT)


def test_a_stop_cancels_what_outlasts_the_grace(served):
    begun, gone = threading.Event(), threading.Event()

    def behave(request, context):
        context.add_callback(gone.set)
        begun.set()
        gone.wait(WAIT)
        return "late"

    served.echo.behave = behave
    with ThreadPoolExecutor() as pool:
        call = pool.submit(failure, served.stub().Echo, pb.EchoRequest(text="x"), metadata=AUTH)
        assert begun.wait(WAIT)
        served.server.stop(0.05)
        assert call.result(WAIT)[0] in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)
        assert gone.wait(WAIT)


def test_calls_are_counted_by_method_and_code(served):
    method = "rapporttest.v1.EchoService/Save"

    def count(code):
        return (
            REGISTRY.get_sample_value("rapport_grpc_server_calls_total", {"method": method, "code": code})
            or 0
        )

    before = count("OK"), count("UNAUTHENTICATED")
    stub = served.stub()
    stub.Save(pb.SaveRequest(text="x"), metadata=AUTH, timeout=WAIT)
    failure(stub.Save, pb.SaveRequest(text="x"))
    assert (count("OK"), count("UNAUTHENTICATED")) == (before[0] + 1, before[1] + 1)
    assert REGISTRY.get_sample_value("rapport_grpc_server_calls_in_flight", {"method": method}) == 0
    assert REGISTRY.get_sample_value("rapport_grpc_server_call_seconds_count", {"method": method}) >= 2


def test_a_new_token_is_known_without_a_restart(served, monkeypatch):
    from services.kit import auth

    monkeypatch.setattr(auth, "_RECHECK_SECONDS", 0.0)
    add_tokens(served.tokens_file, [("late", ("echo.*",), "late-token")])
    metadata = (("authorization", "Bearer late-token"),)
    stub = served.stub()

    def known():
        try:
            return stub.Echo(pb.EchoRequest(text="x"), metadata=metadata, timeout=WAIT).text == "x"
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
                raise
            return False

    until(known, "the new token is known")


def test_a_method_without_a_permission_stops_the_start(tmp_path):
    add_tokens(tmp_path / "tokens.json", [("owner", ("*",), OWNER)])
    server = ApiServer("127.0.0.1:0", TokenStore(tmp_path / "tokens.json"))
    with pytest.raises(InvalidArgument, match="Naked") as caught:
        server.add(
            lambda registry: stubs.add_BareServiceServicer_to_server(stubs.BareServiceServicer(), registry)
        )
    assert caught.value.reason == "METHOD_WITHOUT_PERMISSION"


def test_handlers_cannot_slip_past_the_guard(tmp_path):
    add_tokens(tmp_path / "tokens.json", [("owner", ("*",), OWNER)])
    server = ApiServer("127.0.0.1:0", TokenStore(tmp_path / "tokens.json"))
    handler = grpc.method_handlers_generic_handler("rapporttest.v1.EchoService", {})
    server.add(lambda registry: registry.add_generic_rpc_handlers((handler,)))
    with pytest.raises(InvalidArgument) as caught:
        server.start()
    assert caught.value.reason == "UNGUARDED_HANDLER"


def test_a_port_in_use_is_named(served, tmp_path):
    second = ApiServer(served.address, TokenStore(served.tokens_file), name="contacts API")
    with pytest.raises(FailedPrecondition, match=r"contacts API\) is in use.*RAPPORT_BASE_PORT") as caught:
        second.start()
    assert caught.value.reason == "PORT_IN_USE"
    with socket.socket() as plain:
        plain.bind(("127.0.0.1", 0))
        plain.listen()
        third = ApiServer(f"127.0.0.1:{plain.getsockname()[1]}", TokenStore(served.tokens_file))
        with pytest.raises(FailedPrecondition, match="in use"):
            third.start()


def test_an_address_of_another_machine_is_named(served):
    server = ApiServer("192.0.2.1:7401", TokenStore(served.tokens_file))
    with pytest.raises(
        FailedPrecondition, match=r"cannot listen on 192\.0\.2\.1:7401.*RAPPORT_HOST"
    ) as caught:
        server.start()
    assert caught.value.reason == "CANNOT_LISTEN"


def test_an_unknown_method_is_unimplemented(served):
    call = served.channel().unary_unary("/rapporttest.v1.EchoService/Nothing")
    assert failure(call, b"", metadata=AUTH)[0] is grpc.StatusCode.UNIMPLEMENTED
