"""The ways to ask whether a process is ready."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.kit.supervise import probes
from tests.support.servers import free_port


def test_the_probe_for_tcp() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        ready = probes.tcp("127.0.0.1", server.getsockname()[1])
        assert not ready()
        server.listen()
        assert ready()


def test_the_probe_for_a_pid_file(tmp_path: Path) -> None:
    file = tmp_path / "ready"
    ready = probes.pid_file(file)
    assert not ready()
    for text in ("", "junk", "0", "-1"):
        file.write_text(text)
        assert not ready()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        file.write_text(f"{process.pid}\n")
        assert ready()
        process.kill()
        process.wait()
    assert not ready()


@pytest.mark.parametrize(("status", "expected"), [(200, True), (503, False)])
def test_the_probe_for_http(status: int, expected: bool) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    assert not probes.http_ok("127.0.0.1", free_port())()
    assert not probes.http_answers("127.0.0.1", free_port())()
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            assert probes.http_ok("127.0.0.1", server.server_port, "/healthz")() is expected
            assert not probes.http_ok("127.0.0.1", server.server_port, "/other")()
            assert probes.http_answers("127.0.0.1", server.server_port, "/healthz")()
        finally:
            server.shutdown()
            thread.join()


def test_the_probe_for_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not probes.grpc_health("127.0.0.1", free_port())()
    assert not probes.grpc_answers("127.0.0.1", free_port())()
    busy = threading.Event()
    busy.set()

    class Waiting(futures.ThreadPoolExecutor):
        def submit(self, *arguments: Any, **options: Any) -> Any:
            return super().submit(lambda: (busy.wait(), arguments[0](*arguments[1:], **options)))

    server = grpc.server(Waiting(2))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        ready = probes.grpc_health("127.0.0.1", port)
        servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        assert not ready()
        assert probes.grpc_answers("127.0.0.1", port)()
        servicer.set("", health_pb2.HealthCheckResponse.SERVING)
        assert ready()
        assert probes.all_of(ready, probes.tcp("127.0.0.1", port))()
        assert not probes.all_of(ready, probes.grpc_health("127.0.0.1", port, "unknown.Service"))()
        monkeypatch.setattr(probes, "TIMEOUT_SECONDS", 0.2)
        busy.clear()
        assert not probes.grpc_answers("127.0.0.1", port)()
    finally:
        busy.set()
        server.stop(None)
