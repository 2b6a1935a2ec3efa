"""The parts of the chaos run of a whole stack: what is drawn, what the network does, what is made of what was seen."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import pytest

from tests.chaos.checks import differences, exactly, show
from tests.chaos.stack import monitor
from tests.chaos.stack.faults import KINDS, Fault, draw_faults, kills
from tests.chaos.stack.load import Call
from tests.chaos.stack.monitor import Standing
from tests.chaos.stack.proxy import Link, Network
from tests.chaos.stack.report import availability, recovery
from tests.chaos.stack.verify import consumers


def test_the_same_seed_brings_the_same_faults_and_each_kind_comes():
    faults = draw_faults(1, 120, 2)
    assert faults == draw_faults(1, 120, 2) != draw_faults(2, 120, 2)
    assert {fault.kind for fault in faults} == set(KINDS)
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
    assert all(0 < fault.at < 120 for fault in faults)
    assert 0 < kills(faults) < len(faults)
    assert len({fault.line() for fault in faults}) == len(faults)


def test_every_consumer_of_the_services_is_known():
    found = {f"{service}.{method}": (source, types) for service, method, source, types in consumers()}
    assert found["segmentation.on_sales"] == ("sales", ("order.placed", "order.returned", "payment.received"))
    assert {name.partition(".")[0] for name in found} == {
        "contacts",
        "sales",
        "segmentation",
        "campaign",
        "care",
    }


@pytest.fixture
def link() -> Iterator[Link]:
    """A link to a server that answers with what it is told."""
    with socket.create_server(("127.0.0.1", 0)) as server, Network() as network:

        def serve() -> None:
            while True:
                try:
                    taken, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(taken,), daemon=True).start()

        def answer(taken: socket.socket) -> None:
            with taken:
                try:
                    while data := taken.recv(1000):
                        taken.sendall(data)
                except OSError:
                    pass

        threading.Thread(target=serve, daemon=True).start()
        yield network.link("echo", server.getsockname())
        server.shutdown(socket.SHUT_RDWR)


@contextmanager
def connected(link: Link) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", link.port), timeout=30) as client:
        yield client


def echoed(client: socket.socket, text: bytes) -> bool:
    client.sendall(text)
    return client.recv(1000) == text


def ended(client: socket.socket) -> bool:
    """Wait for the end of a connection; fails when anything comes instead."""
    try:
        return client.recv(1000) == b""
    except ConnectionError:
        return True


def test_a_silent_link_holds_everything_back_until_it_heals(link: Link):
    with connected(link) as old:
        assert echoed(old, b"before")
        link.silence()
        old.settimeout(0.3)
        with pytest.raises(TimeoutError):
            echoed(old, b"meanwhile")
        with connected(link) as new:
            new.settimeout(0.3)
            with pytest.raises(TimeoutError):
                echoed(new, b"mine")
            link.heal()
            for client, text in ((old, b"meanwhile"), (new, b"mine")):
                client.settimeout(30)
                assert client.recv(1000) == text


def test_a_broken_link_ends_connections_and_new_ones_until_it_heals(link: Link):
    with connected(link) as old:
        assert echoed(old, b"before")
        link.break_()
        assert ended(old)
    with suppress(ConnectionError), connected(link) as new:
        assert ended(new)
    link.heal()
    with connected(link) as again:
        assert echoed(again, b"again")


def test_what_callers_saw_is_counted():
    calls = [
        Call("read", "sales", 0.0, 1.0, 1),
        Call("read", "sales", 1.0, 3.0, 2),
        Call("read", "sales", 5.0, 10.0, 0),
        Call("read", "care", 5.0, 1.0, 1),
        Call("read", "sales", 20.0, 1.0, 1),
        Call("write", "sales", 6.0, 2.0, 1),
    ]
    reads, writes = availability(calls)
    assert (reads.calls, reads.first_attempt, reads.within_deadline, reads.longest) == (5, 0.6, 0.8, 3.0)
    assert (writes.calls, writes.first_attempt) == (1, 1.0)
    (found,) = recovery([Fault(4.0, "kill api", "sales-api-2", 1.0)], calls, lambda at: 7.5)
    # Nothing counts that had begun before, that failed, or that another service answered.
    assert (found.read_max, found.write_max) == (17.0, 4.0)
    assert (found.level_p50, found.level_max) == (7.5, 7.5)
    (found,) = recovery([Fault(4.0, "kill worker", "care-worker", 1.0)], calls, lambda at: 7.5)
    assert (found.read_max, found.write_max) == (2.0, None)
    # What all use is back when the last of them answers.
    (found,) = recovery([Fault(4.0, "kill PostgreSQL", "PostgreSQL", 1.0)], calls, lambda at: 7.5)
    assert (found.read_max, found.write_max) == (17.0, 4.0)
    (found,) = recovery([Fault(5.5, "kill PostgreSQL", "PostgreSQL", 1.0)], calls, lambda at: 7.5)
    assert (found.read_max, found.write_max) == (None, 2.5)
    (unseen,) = recovery([Fault(4.0, "kill PostgreSQL", "PostgreSQL", 1.0)], [], lambda at: None)
    assert (unseen.read_max, unseen.write_max, unseen.level_max) == (None, None, None)


def test_what_was_level_before_is_not_taken_for_level_now(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(monitor, "LOOK_SECONDS", 0.0)
    level, behind = Standing(3, 0, 3, 3, 0), Standing(4, 1, 3, 3, 0)
    watch = monitor.Monitor(None)  # type: ignore[arg-type]
    watch._looks = [(at, {"sales": level}) for at in (0.0, 0.5)]
    assert not watch.await_level(0.05)
    coming = iter([level, behind, level, behind, level, level])

    def look(seconds: float) -> bool:
        watch._looks.append((1.0, {"sales": next(coming)}))
        return False

    monkeypatch.setattr(watch, "_stop", SimpleNamespace(wait=look))
    assert watch.await_level(30)
    assert next(coming, None) is None


def test_a_difference_is_noticed_and_shown():
    assert differences([1, 2, 2], [1, 2, 3]) == (1, 1, "missing: 3; too much: 2")
    assert differences([2, 1], [1, 2]) == (0, 0, "")
    assert show([exactly("fine", 1, 1)])
    assert not show([exactly("fine", 1, 1), exactly("doubled", 0, 1)])
