"""Metrics of a process, served for Prometheus beside a health page."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from services.kit.errors import FailedPrecondition

_log = logging.getLogger(__name__)

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

GRPC_CALLS = Counter(
    "rapport_grpc_server_calls", "Calls that ended, by method and status code.", ["method", "code"]
)
GRPC_SECONDS = Histogram(
    "rapport_grpc_server_call_seconds",
    "Time from a call's arrival at a thread to its end.",
    ["method"],
    buckets=_BUCKETS,
)
GRPC_IN_FLIGHT = Gauge(
    "rapport_grpc_server_calls_in_flight", "Calls that a thread is working on.", ["method"]
)

ACCESS_DENIED = Counter(
    "rapport_access_denied",
    "Calls refused for want of a good token, a permission or a place within limits.",
    ["reason"],
)

SILENCE_SECONDS = 10.0
"""How long a connection to the page of health and metrics may be silent."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Log one line; the default is a traceback on standard error for each scraper that hangs up."""
        _log.info("an answer for Prometheus failed: %r", sys.exc_info()[1])


class MetricsServer:
    """Serve `/metrics`, and `/healthz` that answers 200 while `ready()` holds and 503 otherwise."""

    def __init__(
        self, host: str, port: int, ready: Callable[[], bool], *, registry: CollectorRegistry = REGISTRY
    ) -> None:
        """Bind the port; raises FailedPrecondition (PORT_IN_USE) when that is not possible.

        Port 0 picks a free one.
        """

        class Handler(BaseHTTPRequestHandler):
            # Each connection has a thread, which one that says nothing would hold for ever.
            timeout = SILENCE_SECONDS

            def do_GET(self) -> None:
                if self.path.partition("?")[0] == "/metrics":
                    self._answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)
                elif self.path == "/healthz":
                    healthy = ready()
                    self._answer(
                        200 if healthy else 503, b"ok\n" if healthy else b"not ready\n", "text/plain"
                    )
                else:
                    self._answer(404, b"see /metrics and /healthz\n", "text/plain")

            def _answer(self, code: int, body: bytes, content_type: str) -> None:
                self.send_response(code)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass  # A scrape every few seconds is no news.

        try:
            self._server = _Server((host, port), Handler)
        except OSError as error:
            raise FailedPrecondition(
                f"cannot serve metrics on {host}:{port}: {error.strerror}; "
                "stop the process that uses the port, or set RAPPORT_BASE_PORT or RAPPORT_HOST",
                reason="PORT_IN_USE",
            ) from error
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)

    def start(self) -> None:
        """Start to serve in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Stop and free the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
