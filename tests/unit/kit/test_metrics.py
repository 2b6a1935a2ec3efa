"""The metrics page and the health page."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, Counter

from services.kit.errors import FailedPrecondition
from services.kit.metrics import MetricsServer


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
