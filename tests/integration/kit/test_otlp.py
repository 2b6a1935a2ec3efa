"""Spans on their way to a collector: the true protocol, on a real port."""

from __future__ import annotations

import socket
import time

import grpc
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from rapport_client.tracing import trace_metadata

from services.kit import context
from services.kit.config import load_settings
from services.kit.errors import InvalidArgument, NotFound
from services.kit.telemetry import spans
from services.kit.telemetry.export import recording
from services.kit.telemetry.otlp import TellingExporter
from services.kit.telemetry.spans import Kind, Span
from tests.support.collector import collecting
from tests.support.echo import OWNER, pb, serve

AUTH = (("authorization", f"Bearer {OWNER}"),)
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def call(stub, *metadata, text="x"):
    return stub.Echo(pb.EchoRequest(text=text), metadata=(*AUTH, *metadata), timeout=20)


def test_calls_become_spans_of_their_callers_traces(tmp_path):
    with collecting() as collector:
        settings = load_settings(otlp_endpoint=collector.url, trace_ratio=1.0)
        with serve(tmp_path) as served, recording(settings, "toy", "api"):
            call(served.stub(), ("traceparent", PARENT))
            served.echo.behave = lambda request, context: (_ for _ in ()).throw(NotFound("no such thing"))
            with pytest.raises(grpc.RpcError):
                call(served.stub(), ("traceparent", PARENT))
            served.echo.behave = lambda request, context: (_ for _ in ()).throw(RuntimeError("secret"))
            with pytest.raises(grpc.RpcError):
                call(served.stub())
            call_not_sampled = PARENT[:-2] + "00"
            served.echo.behave = lambda request, context: "ok"
            call(served.stub(), ("traceparent", call_not_sampled))
        assert spans.sink is None
    assert collector.problems == []
    fine, unknown, broken = collector.spans
    assert (fine.process, fine.name, fine.kind) == (
        "rapport-toy-api",
        "rapporttest.v1.EchoService/Echo",
        "server",
    )
    assert (fine.trace, fine.parent) == (PARENT[3:35], PARENT[36:52])
    assert fine.attributes == {
        "rpc.system": "grpc",
        "rpc.method": "rapporttest.v1.EchoService/Echo",
        "rpc.grpc.status_code": 0,
        "rapport.caller": "owner",
    }
    assert fine.start < fine.end
    # A caller's mistake is no failure of the server.
    assert (unknown.attributes["rpc.grpc.status_code"], unknown.error) == (5, "")
    assert (broken.attributes["rpc.grpc.status_code"], broken.error, broken.parent) == (13, "INTERNAL", "")
    assert broken.trace != PARENT[3:35]


def test_links_and_kinds_arrive(tmp_path):
    with (
        collecting() as collector,
        recording(load_settings(otlp_endpoint=collector.url, trace_ratio=1.0), "toy", "worker"),
    ):
        spans.add(
            Span(
                name="a",
                traceparent=PARENT,
                kind=Kind.CONSUMER,
                start=1,
                end=2,
                links=[PARENT.replace("a", "b")],
            )
        )
        spans.sink.stop()  # type: ignore[union-attr]
    [span] = collector.spans
    assert (span.kind, span.parent, span.links) == (
        "consumer",
        "",
        [(PARENT[3:35].replace("a", "b"), "b7bd6b7169203331")],
    )


@pytest.mark.parametrize(("ratio", "recorded"), [(0.0, 0), (1.0, 50)])
def test_the_ratio_holds_for_traces_that_begin_here(ratio: float, recorded: int):
    with collecting() as collector:
        with recording(
            load_settings(otlp_endpoint=f"{collector.url}/v1/traces", trace_ratio=ratio), "toy", "api"
        ):
            for _ in range(50):
                spans.add(Span(name="a", traceparent=context.child_traceparent(), start=1, end=2))
    assert len(collector.spans) == recorded


def test_a_collector_that_is_away_holds_up_nobody():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    begun = time.monotonic()
    with recording(load_settings(otlp_endpoint=f"http://127.0.0.1:{port}"), "toy", "api"):
        for _ in range(5_000):
            spans.add(Span(name="a", traceparent=PARENT, start=1, end=2))
    assert time.monotonic() - begun < 20  # not the minutes for which it would be tried


def test_a_collector_that_takes_no_spans_is_told_once_and_why(caplog):
    """As one that speaks another protocol, whose port was named."""
    with collecting() as collector, caplog.at_level("INFO"):
        exporter = TellingExporter(f"{collector.url}/v1/nothing")
        collector.refuse = True
        for _ in range(3):
            assert exporter.export([]) is SpanExportResult.FAILURE
        collector.refuse = False
        for _ in range(2):
            assert exporter.export([]) is SpanExportResult.SUCCESS
        exporter.shutdown()
    # Exporters of other tests may still be ending.
    refused, again = [message for message in caplog.messages if "/v1/nothing" in message]
    assert refused.startswith(f"spans do not reach the collector at {collector.url}/v1/nothing ")
    assert "404" in refused
    assert "port 4318" in refused
    assert again == f"spans reach the collector at {collector.url}/v1/nothing again"


def test_the_standard_variable_names_the_collector_too(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    assert load_settings().otlp_endpoint == "http://collector:4318"
    monkeypatch.setenv("RAPPORT_OTLP_ENDPOINT", "http://nearer:4318")
    assert load_settings().otlp_endpoint == "http://nearer:4318"
    monkeypatch.setenv("RAPPORT_OTLP_ENDPOINT", "collector:4317")
    with pytest.raises(InvalidArgument, match=r"RAPPORT_OTLP_ENDPOINT.*http://collector:4318"):
        load_settings()


def test_the_client_continues_its_callers_trace():
    assert trace_metadata() == ()
    with TracerProvider().get_tracer("shop").start_as_current_span("checkout") as span:
        own = span.get_span_context()
        [(key, value)] = trace_metadata()
        assert key == "traceparent"
        assert value[:52] == f"00-{own.trace_id:032x}-{own.span_id:016x}"
        assert context.is_sampled(value)
        assert context.child_traceparent(value)[:36] == value[:36]
