"""The bus with real worker processes, real gRPC and real PostgreSQL."""

from __future__ import annotations

import json
import signal
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from rapport.events.v1 import events_pb2

from services.kit import context
from services.kit.context import CallContext
from services.kit.events import unpack
from tests.support.postgres import DatabaseFactory
from tests.support.spans import trace_of
from tests.support.toy import Source, Toy, eventually


@pytest.fixture
def toy(tmp_path: Path, make_database: DatabaseFactory) -> Iterator[Toy]:
    made = Toy(tmp_path, make_database("sales"), make_database("contacts"))
    yield made
    made.close()


# What carries events must make no difference.
on_each_transport = pytest.mark.usefixtures("each_transport")


@on_each_transport
def test_events_reach_their_handlers(toy: Toy) -> None:
    toy.source.start_relay()
    toy.source.start_server()
    toy.source.say("before")
    worker = toy.worker().start()
    eventually(lambda: toy.effects() == ["before"])
    toy.source.say("one", "two")
    toy.source.say("other", type="farewell.said")
    eventually(lambda: toy.effects() == ["before", "one", "two"])
    types = [
        value.split()[0]
        for value in eventually(lambda: len(toy.effects("on_anything")) == 4 and toy.effects("on_anything"))
    ]
    assert types == ["greeting.said"] * 3 + ["farewell.said"]
    # Heartbeats move the cursor of a subscription over events of other types.
    eventually(lambda: toy.cursors() == {"contacts.on_greeting": 4, "contacts.on_anything": 4})
    worker.signal()
    assert worker.wait() == 0


def test_an_effect_happens_once_though_the_worker_is_killed_in_its_handler(toy: Toy) -> None:
    toy.source.start_relay()
    toy.source.start_server()
    worker = toy.worker().start()
    toy.source.say("first", "gate:deadly", "last")
    eventually(lambda: toy.reached("deadly"))
    worker.kill()
    assert toy.effects() == []
    toy.open_gate("deadly")
    toy.source.say("later")
    worker.start()
    eventually(lambda: toy.effects()[-1:] == ["later"])
    assert toy.effects() == ["first", "gate:deadly", "last", "later"]


def test_a_worker_killed_between_effect_and_acknowledgement_does_not_repeat_the_effect(toy: Toy) -> None:
    toy.source.start_relay()
    toy.source.start_server()
    worker = toy.worker().start()
    toy.source.say("once")
    eventually(lambda: toy.cursors().get("contacts.on_greeting") == 1 and toy.effects())
    worker.kill()
    # What a lost acknowledgement leaves behind: the cursor before the event.
    with toy.source.db.transaction() as connection:
        connection.execute(sa.update(toy.source.kit.subscription).values(position=0))
    toy.source.say("twice")
    worker.start()
    eventually(lambda: toy.effects()[-1:] == ["twice"])
    assert toy.effects() == ["once", "twice"]


@pytest.mark.usefixtures("on_streams")  # by RabbitMQ a consumer goes on while its source's API is away
def test_a_worker_outlives_its_source_and_catches_up(toy: Toy) -> None:
    worker = toy.worker().start()
    toy.source.start_relay()
    toy.source.start_server()
    toy.source.say("up")
    eventually(lambda: toy.effects() == ["up"])
    toy.source.stop_server()
    eventually(lambda: "UNAVAILABLE" in worker.health()["entrypoints"]["contacts.on_greeting"])
    toy.source.say(*(f"down {number}" for number in range(120)))
    assert worker.health()["ready"]
    toy.source.start_server()
    eventually(lambda: len(toy.effects()) == 121)
    assert toy.effects() == ["up", *(f"down {number}" for number in range(120))]


@on_each_transport
def test_a_poisonous_event_becomes_a_dead_letter_and_the_others_have_their_effect(toy: Toy) -> None:
    toy.source.start_relay()
    toy.source.start_server()
    texts = [f"fine {number}" for number in range(40)]
    toy.source.say(*texts[:23])
    with context.activate(CallContext("r1", traceparent=trace_of("a"))):
        toy.source.say("poison")
    toy.source.say(*texts[23:])
    worker = toy.worker().start()
    eventually(lambda: toy.cursors().get("contacts.on_greeting") == 41)
    assert toy.effects() == texts
    with toy.db.read() as connection:
        letter = connection.execute(sa.select(toy.models.kit.dead_letter)).one()
    assert letter.consumer == "contacts.on_greeting"
    event = events_pb2.Event.FromString(letter.event)
    assert str(letter.event_id) == event.id
    assert unpack(event).value == "poison"
    assert event.contact == f"contacts/{letter.contact_id}"
    assert "ValueError: a greeting that nobody can bear" in letter.error
    # Whoever reads of it finds its trace, and of each attempt that of its batch.
    lines = [json.loads(line) for line in worker.log.read_text().splitlines()]
    told = [
        line
        for line in lines
        if line["event"].startswith(("contacts.on_greeting failed", "contacts.on_greeting cannot"))
    ]
    assert told[-1]["event"].startswith(f"contacts.on_greeting cannot process event {event.id} ")
    assert told[-1]["trace_id"] == "a" * 32
    assert len(told) > 5
    assert all(len(line["trace_id"]) == 32 and line["request_id"] for line in told)
    toy.source.say("after")
    eventually(lambda: toy.effects()[-1:] == ["after"])


@on_each_transport
def test_sigterm_lets_the_handler_finish_and_acknowledges(toy: Toy) -> None:
    toy.source.start_relay()
    toy.source.start_server()
    worker = toy.worker().start()
    toy.source.say("gate:slow")
    eventually(lambda: toy.reached("slow"))
    worker.signal()
    eventually(
        lambda: worker.health() == {} or not worker.health()["ready"] or "finishing" in worker.log.read_text()
    )
    worker.signal()
    toy.source.say("too late")
    toy.open_gate("slow")
    assert worker.wait() == 0
    assert toy.effects() == ["gate:slow"]
    assert toy.cursors()["contacts.on_greeting"] == 1
    worker.start()
    eventually(lambda: toy.effects() == ["gate:slow", "too late"])


@on_each_transport
def test_two_workers_share_the_work_without_doing_it_twice(toy: Toy) -> None:
    toy.source.start_relay()
    toy.source.start_server()
    first = toy.worker().start()
    eventually(lambda: toy.effects("tick"))
    second = toy.worker(port_shift=1).start()
    eventually(lambda: second.health()["entrypoints"].get("contacts.on_greeting", "").startswith("standby"))
    toy.source.say(*(f"a {number}" for number in range(100)))
    eventually(lambda: len(toy.effects()) == 100)
    # The locks of a killed process are free at once, and the other one goes on.
    first.kill()
    toy.source.say(*(f"b {number}" for number in range(100)))
    eventually(lambda: len(toy.effects()) == 200)
    assert toy.effects() == [f"{letter} {number}" for letter in "ab" for number in range(100)]


def test_a_timer_never_runs_twice_at_a_time(toy: Toy) -> None:
    workers = [toy.worker(port_shift=number).start() for number in range(2)]
    eventually(lambda: len(toy.effects("tick")) >= 10)

    def roles() -> list[bool] | None:
        """Return which of the two stand by, once one of them does."""
        states = [worker.health()["entrypoints"]["contacts.tick"] for worker in workers]
        standing_by = [state.startswith("standby") for state in states]
        return standing_by if sorted(standing_by) == [False, True] else None

    # One of them may not have come to its first tick yet.
    standing_by = eventually(roles)
    active = workers[standing_by.index(False)]
    idle = workers[standing_by.index(True)]
    # Who looks for timers that hang must see those that have not run yet.
    for outcome in ("ok", "failed"):
        assert f'rapport_timer_runs_total{{outcome="{outcome}",timer="contacts.tick"}} 0.0' in idle.metrics()
    active.signal()
    assert active.wait() == 0
    ticks = len(toy.effects("tick"))
    eventually(lambda: len(toy.effects("tick")) >= ticks + 5)
    idle.signal()
    assert idle.wait() == 0
    table = toy.models.effect
    with toy.db.read() as connection:
        workers_seen = list(
            connection.execute(
                sa.select(table.c.worker).where(table.c.handler == "tick").order_by(table.c.id)
            ).scalars()
        )
    assert set(toy.effects("tick")) == {"tick"}
    switch = workers_seen.index(idle.pid)
    assert set(workers_seen[:switch]) == {active.pid}
    assert set(workers_seen[switch:]) == {idle.pid}


def test_a_worker_receives_its_own_services_events(toy: Toy) -> None:
    own = Source(
        "contacts", toy.environment["RAPPORT_CONTACTS_DATABASE_URL"], toy.settings, kit=toy.models.kit
    )
    try:
        own.start_server()
        # No relay here: the worker itself must give the positions.
        toy.worker().start()
        own.say("to myself", type="note.made")
        eventually(lambda: toy.effects("on_own_note") == ["to myself"])
    finally:
        own.close()


def test_a_handler_continues_the_trace_of_its_event(toy: Toy) -> None:
    toy.source.start_relay()
    toy.source.start_server()
    trace = "0af7651916cd43dd8448eb211c80319c"
    toy.source.say("traced")
    with toy.source.db.transaction() as connection:
        connection.execute(
            sa.update(toy.source.kit.outbox).values(traceparent=f"00-{trace}-b7ad6b7169203331-01")
        )
    toy.worker().start()
    assert eventually(lambda: toy.effects("on_anything")) == [f"greeting.said {trace}"]


def test_a_worker_without_a_database_says_so(toy: Toy) -> None:
    toy.environment["RAPPORT_CONTACTS_DATABASE_URL"] = ""
    worker = toy.worker().start(wait=False)
    assert worker.wait() == 1
    assert "RAPPORT_CONTACTS_DATABASE_URL" in worker.log.read_text()


def test_a_worker_whose_port_is_taken_says_so(toy: Toy) -> None:
    worker = toy.worker()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", toy.settings.metrics_port("contacts", "worker")))
        taken.listen()
        worker.start(wait=False)
        assert worker.wait() == 1
    assert "RAPPORT_BASE_PORT" in worker.log.read_text()


def test_a_package_without_a_worker_is_refused(toy: Toy) -> None:
    worker = toy.worker(package="tests.support.nobody").start(wait=False)
    assert worker.wait() == 1
    assert "tests.support.nobody has no worker to run" in worker.log.read_text()


def test_the_page_shows_metrics(toy: Toy) -> None:
    worker = toy.worker().start()
    url = f"http://127.0.0.1:{toy.settings.metrics_port('contacts', 'worker')}/metrics"
    with urllib.request.urlopen(url, timeout=5) as response:
        assert "python_info" in response.read().decode()
    assert worker.health()["entrypoints"].keys() >= {
        "contacts.on_greeting",
        "contacts.tick",
        "contacts.count",
    }


def test_a_worker_outlives_the_loss_of_its_database_connections(toy: Toy) -> None:
    toy.source.start_relay()
    toy.source.start_server()
    worker = toy.worker().start()
    toy.source.say("before")
    eventually(lambda: toy.effects() == ["before"])
    kill = sa.text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE '%worker%'"
    )
    with toy.db.read() as connection:
        assert connection.execute(kill).scalar_one() >= 2
    ticks = len(toy.effects("tick"))
    with toy.db.transaction() as connection:
        # A tick that was cut off in its middle has left its mark, which would stop the others.
        connection.execute(sa.delete(toy.models.ticking))
    toy.source.say("after")
    eventually(lambda: toy.effects() == ["before", "after"])
    eventually(lambda: len(toy.effects("tick")) > ticks)
    assert worker.health()["ready"]


def test_a_worker_stops_soon(toy: Toy) -> None:
    toy.source.start_relay()
    toy.source.start_server()
    worker = toy.worker().start()
    toy.source.say("one")
    eventually(lambda: toy.effects() == ["one"])
    worker.signal(signal.SIGINT)
    assert worker.wait(5) == 0
    assert "stopped" in worker.log.read_text()
