"""A collector that takes spans as a real one does: OTLP over HTTP, in protobuf."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent


@dataclass(frozen=True)
class Received:
    """A span as it came: ids in hexadecimal digits, the process that sent it."""

    process: str
    name: str
    trace: str
    span: str
    parent: str
    kind: str
    attributes: dict[str, Any]
    links: list[tuple[str, str]]
    error: str
    start: int
    end: int


@dataclass
class Collector:
    """What has come so far."""

    url: str = ""
    spans: list[Received] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def of_trace(self, trace: str) -> list[Received]:
        """Return the spans of a trace in the order of their starts."""
        return sorted((span for span in list(self.spans) if span.trace == trace), key=lambda span: span.start)


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector on a free port until the block ends."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if (self.path, self.headers["Content-Type"]) != ("/v1/traces", "application/x-protobuf"):
                collector.problems.append(f"{self.path} {self.headers['Content-Type']}")
            collector.spans.extend(_received(ExportTraceServiceRequest.FromString(body)))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _received(request: ExportTraceServiceRequest) -> Iterator[Received]:
    for group in request.resource_spans:
        resource = {item.key: item.value.string_value for item in group.resource.attributes}
        for scope in group.scope_spans:
            for span in scope.spans:
                yield Received(
                    process=resource["service.name"],
                    name=span.name,
                    trace=span.trace_id.hex(),
                    span=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    kind=Sent.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
                    attributes={item.key: _value(item.value) for item in span.attributes},
                    links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                    error=span.status.message if span.status.code == 2 else "",
                    start=span.start_time_unix_nano,
                    end=span.end_time_unix_nano,
                )


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))
