"""The metrics page and the health page."""

from __future__ import annotations

import socket
import struct
import threading
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.registry import Collector

from services.kit.errors import FailedPrecondition
from services.kit.metrics import MetricsServer
from tests.support.waiting import until


def get(server, path):
    """Return status and body."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=20) as page:
            return page.status, page.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_pages():
    registry = CollectorRegistry()
    Counter("things", "Things.", registry=registry).inc(3)
    ready = [False]
    server = MetricsServer("127.0.0.1", 0, lambda: ready[0], registry=registry)
    server.start()
    try:
        assert get(server, "/healthz") == (503, "not ready\n")
        ready[0] = True
        assert get(server, "/healthz") == (200, "ok\n")
        status, text = get(server, "/metrics?name=things")
        assert status == 200
        assert "things_total 3.0" in text
        assert get(server, "/other")[0] == 404
        with pytest.raises(FailedPrecondition, match="RAPPORT_BASE_PORT") as caught:
            MetricsServer("127.0.0.1", server.port, lambda: True)
        assert caught.value.reason == "PORT_IN_USE"
    finally:
        server.stop()
    MetricsServer("127.0.0.1", server.port, lambda: True).stop()


def test_who_hangs_up_leaves_one_line_in_the_log_and_nothing_beside_it(caplog, capfd):
    """As a scraper does whose time is over; Python's server would print a traceback."""
    asked, gone = threading.Event(), threading.Event()

    class Slow(Collector):
        def collect(self):
            asked.set()
            gone.wait(20)
            return iter(())

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Slow())
    asked.clear()
    server = MetricsServer("127.0.0.1", 0, lambda: True, registry=registry)
    server.start()
    try:
        with caplog.at_level("INFO"), socket.create_connection(("127.0.0.1", server.port)) as client:
            # Closing it is a reset, which the answer finds.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert asked.wait(20)
            client.close()
            gone.set()
            until(lambda: caplog.messages, "the answer fails")
    finally:
        gone.set()
        server.stop()
    (message,) = caplog.messages
    assert message.startswith("an answer for Prometheus failed: ")
    assert capfd.readouterr().err == ""
