"""Who opens connections and says nothing, or next to nothing, keeps nobody out of the pages for long."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from services.campaign import web, web_connections
from services.campaign.web import WebProcess
from services.kit.plugins import PluginManager
from tests.support.campaign_tracking import Tracked
from tests.support.waiting import until

CONNECTIONS = 20
PIXEL = b"GET /o/x.gif HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
def process(module_tracked: Tracked, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebProcess]:
    monkeypatch.setattr(web, "_CONNECTIONS", CONNECTIONS)
    monkeypatch.setattr(web_connections, "HEADER_SECONDS", 1.0)
    manager = PluginManager((), (), {})
    manager.load()
    found = WebProcess(module_tracked.runtime, manager, port=0, metrics_port=0)
    found.start()
    yield found
    found.stop()


def is_closed(connection: socket.socket) -> bool:
    connection.settimeout(20)
    try:
        while connection.recv(1 << 16):
            pass
    except ConnectionResetError:
        pass
    return True


@pytest.mark.parametrize("said", [b"", PIXEL, b"GET /o/"])
def test_connections_without_a_request_end_and_leave_room_for_others(process: WebProcess, said: bytes):
    held = [socket.create_connection(("127.0.0.1", process.port)) for _ in range(CONNECTIONS)]
    try:
        for one in held:
            one.sendall(said)
        url = f"http://127.0.0.1:{process.port}/o/x.gif"
        assert httpx.get(url).status_code == 503
        assert all(is_closed(one) for one in held)
        until(lambda: httpx.get(url).status_code == 200, "others are answered")
    finally:
        for one in held:
            one.close()


def ends_while_it_drips(slow: socket.socket) -> bool:
    """Send a little every tenth of a second until the other side ends, for 20 s at the most."""
    began = time.monotonic()
    slow.settimeout(0.1)
    while time.monotonic() - began < 20:
        try:
            slow.sendall(b"X-More: x\r\n")
            if not slow.recv(1 << 16):
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


@pytest.mark.parametrize("before", [b"", PIXEL + b"\r\n"])
def test_a_little_now_and_then_buys_no_time(process: WebProcess, before: bytes):
    with socket.create_connection(("127.0.0.1", process.port)) as slow:
        slow.sendall(before + PIXEL)
        assert ends_while_it_drips(slow)


def test_a_connection_that_is_used_stays(process: WebProcess):
    with httpx.Client(base_url=f"http://127.0.0.1:{process.port}") as client:
        began = time.monotonic()
        first = client.get("/o/x.gif").extensions["network_stream"].get_extra_info("client_addr")
        while time.monotonic() - began < 2.5:
            stream = client.get("/o/x.gif").extensions["network_stream"]
            assert stream.get_extra_info("client_addr") == first


def test_the_page_of_metrics_holds_no_thread_for_the_silent(
    process: WebProcess, monkeypatch: pytest.MonkeyPatch
):
    handler = process._metrics._server.RequestHandlerClass
    assert handler.timeout == 10.0
    monkeypatch.setattr(handler, "timeout", 0.3)
    with socket.create_connection(("127.0.0.1", process.metrics_port)) as silent:
        assert is_closed(silent)
