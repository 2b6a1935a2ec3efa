"""A collector that takes spans as a real one does: OTLP over HTTP, in JSON."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
_ERROR = 2


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
    """What has come so far; refuse: answer that there is nothing of that name."""

    url: str = ""
    spans: list[Received] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    refuse: bool = False

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
            if collector.refuse:
                self.send_error(404)
                return
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if (self.path, self.headers["Content-Type"]) != ("/v1/traces", "application/json"):
                collector.problems.append(f"{self.path} {self.headers['Content-Type']}")
            collector.spans.extend(_received(json.loads(body)))
            answer = b"{}"
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
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


def _received(request: dict[str, Any]) -> Iterator[Received]:
    """Read what the protocol's JSON says: ids in hexadecimal digits, 64 bits as text, what is empty left out."""
    for group in request.get("resourceSpans", ()):
        resource = _attributes(group["resource"])
        for scope in group["scopeSpans"]:
            for span in scope["spans"]:
                status = span.get("status", {})
                yield Received(
                    process=resource["service.name"],
                    name=span["name"],
                    trace=span["traceId"],
                    span=span["spanId"],
                    parent=span.get("parentSpanId", ""),
                    kind=_KINDS[span["kind"]],
                    attributes=_attributes(span),
                    links=[(link["traceId"], link["spanId"]) for link in span.get("links", ())],
                    error=status.get("message", "") if status.get("code") == _ERROR else "",
                    start=int(span["startTimeUnixNano"]),
                    end=int(span["endTimeUnixNano"]),
                )


def _attributes(owner: dict[str, Any]) -> dict[str, Any]:
    return {item["key"]: _value(item["value"]) for item in owner.get("attributes", ())}


def _value(value: dict[str, Any]) -> Any:
    ((kind, found),) = value.items()
    return int(found) if kind == "intValue" else found
