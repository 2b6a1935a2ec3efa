"""The client library against a real server: calls, typed errors, retries, pages, streams, operations."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from rapport.operations.v1 import operations_pb2, operations_pb2_grpc
from rapport_client import Rapport, RetryPolicy, errors

from services.kit import context as call_context
from services.kit.errors import Aborted, InvalidArgument, NotFound, Unavailable
from services.kit.grpc.status import classify, status_message
from tests.support.echo import OWNER, READER, make_client, pb, serve
from tests.support.waiting import until


@pytest.fixture
def served(tmp_path):
    with serve(tmp_path) as running:
        yield running


def failing(times, error):
    """Return a behaviour that raises so many times and then answers; and the list of requests seen."""
    seen = []

    def behave(request, context):
        seen.append(request)
        if len(seen) <= times:
            raise error
        return "at last"

    return behave, seen


def test_calls_take_fields_or_a_message(served):
    client = served.client()
    assert client.echo(text="a").text == "a"
    request = pb.EchoRequest(text="b")
    assert client.echo(request).text == "b"
    with pytest.raises(TypeError, match="not both"):
        client.echo(request, text="c")
    with pytest.raises(TypeError, match="takes rapporttest"):
        client.echo(pb.SaveRequest())
    with pytest.raises(TypeError, match="no field txt"):
        client.echo(txt="c")


def test_methods_tell_of_themselves(served):
    client = served.client()
    assert {"echo", "save", "list_words", "upload", "watch", "chat", "get_version"} <= set(dir(client))
    assert "text" in client.echo.__doc__
    assert "EchoService/Echo(text)" in repr(client.echo)
    with pytest.raises(AttributeError, match=r"EchoService has no RPC 'eecho': did you mean echo\?"):
        client.eecho(text="x")


def test_errors_are_typed(served):
    def behave(request, context):
        raise NotFound("no such thing", reason="NO_THING", metadata={"a": "b"})

    served.echo.behave = behave
    with pytest.raises(errors.NotFound) as caught:
        served.client().echo(text="x")
    error = caught.value
    assert (error.reason, error.domain, error.metadata, error.message) == (
        "NO_THING",
        "rapport",
        {"a": "b"},
        "no such thing",
    )
    assert error.code is grpc.StatusCode.NOT_FOUND
    assert len(error.request_id) == 32
    assert str(error) == "rapporttest.v1.EchoService/Echo: NO_THING: no such thing"
    assert isinstance(error, errors.RapportError)


def test_violations_are_listed(served):
    with pytest.raises(errors.InvalidArgument) as caught:
        served.client().echo(text="")
    assert caught.value.violations == (errors.Violation("text", "is required"),)


def test_tokens(served):
    with pytest.raises(errors.Unauthenticated) as missing:
        served.client(token="").echo(text="x")
    assert missing.value.reason == "MISSING_TOKEN"
    with pytest.raises(errors.PermissionDenied) as denied:
        served.client(token=READER).save(text="x")
    assert denied.value.metadata["permission"] == "echo.write"


def test_a_read_is_tried_again(served):
    served.echo.behave, seen = failing(2, Unavailable("soon"))
    assert served.client().echo(text="x").text == "at last"
    assert len(seen) == 3


def test_a_write_with_a_request_id_is_tried_again_under_the_same_id(served):
    served.echo.behave, seen = failing(2, Unavailable("soon"))
    assert served.client().save(text="x").text == "at last"
    ids = {request.request_id for request in seen}
    assert len(seen) == 3
    assert len(ids) == 1
    assert len(ids.pop()) == 36
    served.client().save(text="x")
    assert seen[-1].request_id != seen[0].request_id


def test_a_given_request_id_is_kept_and_the_callers_message_left_alone(served):
    request = pb.SaveRequest(text="x")
    served.client().save(request)
    assert request.request_id == ""
    served.client().save(text="x", request_id="mine")
    assert served.echo.calls[-1].request_id == "mine"


def test_a_write_that_might_happen_twice_is_not_tried_again(served):
    served.echo.behave, seen = failing(1, Unavailable("perhaps done"))
    with pytest.raises(errors.Unavailable):
        served.client().charge(text="x")
    assert len(seen) == 1


@pytest.mark.parametrize("error", [InvalidArgument("x"), NotFound("x"), Aborted("x"), ValueError("x")])
def test_what_would_fail_again_is_not_tried_again(served, error):
    served.echo.behave, seen = failing(1, error)
    with pytest.raises(errors.RapportError):
        served.client().echo(text="x")
    assert len(seen) == 1


def test_attempts_have_an_end(served):
    served.echo.behave, seen = failing(99, Unavailable("never"))
    waits = []
    client = served.client(sleep=waits.append, retry=RetryPolicy(attempts=4))
    with pytest.raises(errors.Unavailable):
        client.echo(text="x")
    assert len(seen) == 4
    assert len(waits) == 3


def test_retries_stay_within_the_deadline(served):
    served.echo.behave, seen = failing(99, Unavailable("never"))
    client = served.client(retry=RetryPolicy(attempts=99, first_seconds=60, most_seconds=60), timeout=5)
    with pytest.raises(errors.Unavailable):
        client.echo(text="x")
    assert len(seen) == 1


def test_the_deadline_is_the_calls(served):
    release = threading.Event()
    served.echo.behave = lambda request, context: "x" if release.wait(20) else ""
    try:
        with pytest.raises(errors.DeadlineExceeded):
            served.client().echo(text="x", _timeout=0.1)
    finally:
        release.set()


def test_the_handler_sees_the_deadline(served):
    served.echo.behave = lambda request, context: str(call_context.remaining())
    assert 5 < float(served.client(timeout=9.0).echo(text="x").text) <= 10
    assert 50 < float(served.client().echo(text="x", _timeout=60).text) <= 70


def test_a_full_server_is_tried_again_even_for_unsafe_calls(tmp_path):
    with serve(tmp_path, threads=1) as served:
        release, waited = threading.Event(), []
        served.echo.behave = lambda request, context: "ok" if release.wait(20) else ""

        def pause(seconds):
            waited.append(seconds)
            release.set()
            threading.Event().wait(0.05)

        client = served.client(sleep=pause, retry=RetryPolicy(attempts=50, first_seconds=0.01))
        with ThreadPoolExecutor(40) as pool:
            calls = [pool.submit(client.charge, text="x") for _ in range(40)]
            assert {call.result(30).text for call in calls} == {"ok"}
        assert waited


def test_a_service_that_is_down_is_unavailable_or_waited_for(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with grpc.insecure_channel(address) as channel:
        client = make_client(channel, retry=RetryPolicy(attempts=2, first_seconds=0.01))
        with pytest.raises(errors.Unavailable):
            client.echo(text="x")
        with pytest.raises(errors.DeadlineExceeded):
            client.echo(text="x", _wait_for_ready=True, _timeout=0.2)


def test_pages_and_items(served):
    client = served.client()
    assert [list(page.words) for page in client.list_words.pages(page_size=3)] == [
        ["w0", "w1", "w2"],
        ["w3", "w4", "w5"],
        ["w6"],
    ]
    words = [f"w{number}" for number in range(7)]
    assert list(client.list_words.iterate(page_size=2)) == words
    assert list(client.list_words.iterate(pb.ListWordsRequest(page_size=7), _timeout=5)) == words
    assert list(client.list_words.iterate(page_token="5")) == ["w5", "w6"]
    with pytest.raises(TypeError, match="no pages"):
        next(client.echo.pages(text="x"))


def test_a_server_that_repeats_a_page_is_caught(served, monkeypatch):
    def same(request, context):
        return pb.ListWordsResponse(words=["a"], next_page_token="again")

    monkeypatch.setattr(served.echo, "behave", same)
    monkeypatch.setattr(type(served.echo), "ListWords", type(served.echo)._answer)
    with serve_again(served) as client, pytest.raises(RuntimeError, match="same page twice"):
        list(client.list_words.iterate())


def serve_again(served):
    """Serve the same servicer anew, with the methods that it has now."""
    from contextlib import contextmanager

    from services.kit.auth import TokenStore
    from services.kit.grpc.server import ApiServer
    from tests.support.echo import OWNER, stubs

    @contextmanager
    def running():
        server = ApiServer("127.0.0.1:0", TokenStore(served.tokens_file))
        server.add(lambda registry: stubs.add_EchoServiceServicer_to_server(served.echo, registry))
        port = server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield make_client(channel, metadata=lambda: (("authorization", f"Bearer {OWNER}"),))
        server.stop(0)

    return running()


def test_uploads(served):
    client = served.client()
    assert client.upload(pb.EchoRequest(text=text) for text in "ab").text == "a+b"
    with pytest.raises(errors.InvalidArgument):
        client.upload([pb.EchoRequest()])
    with pytest.raises(TypeError, match="iterable"):
        client.upload(text="x")


def test_streams_end_errors_are_typed_and_leaving_cancels(served):
    client = served.client()
    gone = threading.Event()

    def behave(request, context):
        context.add_callback(gone.set)
        yield "one"
        if request.text == "fail":
            raise NotFound("no more")
        if request.text == "hang":
            gone.wait(20)

    served.echo.behave = behave
    assert [answer.text for answer in client.watch(text="x")] == ["one"]
    stream = client.watch(text="fail")
    assert next(stream).text == "one"
    with pytest.raises(errors.NotFound, match="no more"):
        next(stream)
    gone.clear()
    with client.watch(text="hang") as stream:
        assert next(stream).text == "one"
    assert gone.wait(20)
    assert list(stream) == []
    assert [answer.text for answer in client.chat(iter([pb.EchoRequest(text="a")]))] == ["A"]


def test_metadata_goes_along(served):
    seen = []
    served.echo.behave = lambda request, context: seen.append(dict(context.invocation_metadata())) or "x"
    served.client().echo(text="x", _metadata=(("x-request-id", "abc"), ("x-more", "1")))
    assert (seen[0]["x-request-id"], seen[0]["x-more"]) == ("abc", "1")


class Operations(operations_pb2_grpc.OperationServiceServicer):
    """Report progress, then an end."""

    def __init__(self, end):
        self.end = end
        self.asked = 0

    def WaitOperation(self, request, context):
        self.asked += 1
        operation = operations_pb2.Operation(name=request.name)
        operation.progress.completed = self.asked
        if self.asked >= 3:
            operation.done = True
            self.end(operation)
        return operations_pb2.WaitOperationResponse(operation=operation)


NAME = "operations/0190a5dc-ac96-774b-bcce-b302099a8057"


@pytest.fixture
def operations(tmp_path):
    """Serve an OperationService, and return a function that makes its client for a given end."""
    from services.kit.auth import TokenStore, add_tokens
    from services.kit.grpc.server import ApiServer

    add_tokens(tmp_path / "tokens.json", [("owner", ("*",), "t")])
    undo = []

    def make(end):
        server = ApiServer("127.0.0.1:0", TokenStore(tmp_path / "tokens.json"))
        servicer = Operations(end)
        server.add(
            lambda registry: operations_pb2_grpc.add_OperationServiceServicer_to_server(servicer, registry)
        )
        rapport = Rapport(address=f"127.0.0.1:{server.start()}", token="t")
        undo.extend([rapport.close, lambda: server.stop(0)])
        return rapport.operations("contacts"), servicer

    yield make
    for action in undo:
        action()


def test_waiting_for_an_operation_reports_progress_and_returns_its_typed_result(operations):
    service, _ = operations(lambda operation: operation.response.Pack(StringValue(value="done")))
    seen = []
    result = service.wait_operation(
        NAME, progress=lambda operation: seen.append(operation.progress.completed)
    )
    assert (result.value, seen) == ("done", [1, 2, 3])
    operation = operations_pb2.Operation(name=NAME)
    assert service.wait_operation(operation).value == "done"
    assert service.wait_operation(operations_pb2.GetOperationResponse(operation=operation)).value == "done"


def test_a_failed_operation_raises_its_own_error(operations):
    status = status_message(classify(InvalidArgument.field("rows[3]", "is odd", reason="ODD"), "r"))
    service, _ = operations(lambda operation: operation.error.CopyFrom(status))
    with pytest.raises(errors.InvalidArgument) as caught:
        service.wait_operation(NAME)
    assert (caught.value.reason, caught.value.violations[0].field) == ("ODD", "rows[3]")


def test_waiting_has_an_end(operations):
    service, servicer = operations(lambda operation: setattr(operation, "done", False))
    with pytest.raises(errors.DeadlineExceeded) as caught:
        service.wait_operation(NAME, timeout=0.6)
    assert caught.value.reason == "OPERATION_RUNNING"
    assert 1 <= servicer.asked < 10


def test_one_client_serves_many_threads(served):
    client = served.client()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: client.echo(text=f"n{number}").text, range(100)))
    assert answers == [f"n{number}" for number in range(100)]


def test_a_service_that_comes_back_is_found_again(tmp_path):
    with serve(tmp_path / "a") as first:
        port = first.server.port
        rapport = first.client()
        assert rapport.echo(text="x").text == "x"
        first.server.stop(0)
        with pytest.raises(errors.Unavailable):
            rapport.echo(text="x", _retry=RetryPolicy(attempts=1))
        from services.kit.auth import TokenStore
        from services.kit.grpc.server import ApiServer
        from tests.support.echo import stubs

        second = ApiServer(f"127.0.0.1:{port}", TokenStore(first.tokens_file))
        second.add(lambda registry: stubs.add_EchoServiceServicer_to_server(first.echo, registry))
        second.start()
        try:
            until(
                lambda: rapport.echo(text="back", _wait_for_ready=True).text == "back",
                "the service answers again",
            )
        finally:
            second.stop(0)


def test_tls_checks_the_server():
    folder = Path(__file__).parent / "tls"
    certificate, other = folder / "localhost.pem", folder / "other.pem"
    server = grpc.server(ThreadPoolExecutor(2))
    servicer = Operations(lambda operation: None)
    operations_pb2_grpc.add_OperationServiceServicer_to_server(servicer, server)
    pair = ((folder / "localhost.key").read_bytes(), certificate.read_bytes())
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    server.start()
    address = f"localhost:{port}"
    try:
        with Rapport(address=address, token="t", root_certificates=certificate) as rapport:
            assert rapport.operations("contacts").wait_operation(NAME, timeout=20) is None
        once = RetryPolicy(attempts=1)
        for options in ({"root_certificates": other.read_bytes()}, {"tls": True}, {}):
            with Rapport(address=address, token="t", retry=once, **options) as rapport:
                with pytest.raises(errors.Unavailable):
                    rapport.operations("contacts").get_operation(name=NAME)
    finally:
        server.stop(0)


def test_calls_are_spread_over_the_processes_behind_a_name(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with serve(tmp_path / "one") as one, serve(tmp_path / "two") as two:
        name = f"ipv4:{one.address},{two.address}"  # as a name with two addresses is resolved
        with Rapport(address=name, token=OWNER) as rapport:
            metadata = (("authorization", f"Bearer {OWNER}"),)
            client = make_client(rapport._channel(name), metadata=lambda: metadata, wait_for_ready=True)

            def both_were_called() -> bool:
                client.echo(text="a")
                return bool(one.echo.calls and two.echo.calls)

            until(both_were_called, "both processes are called")
            one.server.stop(0)
            assert [client.echo(text="b").text for _ in range(4)] == ["b"] * 4
