"""Brokers, workers and publishers die amid a stream of events: each event has its effect once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.kit.bus.amqp.publisher import UNCONFIRMED, Unconfirmed
from services.kit.bus.amqp.topology import PUBLISHER
from tests.support import rabbit
from tests.support.postgres import DatabaseFactory
from tests.support.programs import end, read_until, start_program
from tests.support.toy import Toy, eventually


@pytest.fixture
def make_toy(tmp_path: Path, make_database: DatabaseFactory) -> Iterator[Callable[[], Toy]]:
    made: list[Toy] = []

    def build() -> Toy:
        made.append(Toy(tmp_path, make_database("sales"), make_database("contacts")))
        return made[-1]

    yield build
    for toy in made:
        toy.close()


@contextmanager
def speaking(toy: Toy, said: list[str]) -> Iterator[None]:
    """Let the source say something all the time, a few at once and now and then many."""
    stop = threading.Event()

    def speak() -> None:
        number = 0
        while not stop.wait(0.05):
            count = 60 if number % 20 == 19 else 1 + number % 3
            said.extend(toy.source.say(*(f"{number}.{part}" for part in range(count))))
            number += 1

    thread = threading.Thread(target=speak, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def more(toy: Toy, count: int = 60) -> None:
    """Wait until the consumer has had so many more effects."""
    wanted = len(toy.effects()) + count
    # As long as the publisher needs, at the worst, to send again what a broker that starts has lost.
    eventually(lambda: len(toy.effects()) >= wanted, 90)


def all_once(toy: Toy, said: list[str]) -> None:
    try:
        eventually(lambda: len(toy.effects()) >= len(said), 90)
    finally:
        effects, wanted = Counter(toy.effects()), Counter(said)
        missing = list((wanted - effects).elements())
        assert not missing, (len(missing), missing[:5], toy.cursors(), toy.source.publisher.status)
    assert effects == wanted


def test_broker_and_worker_are_killed_amid_a_stream_of_events(
    make_toy: Callable[[], Toy], monkeypatch: pytest.MonkeyPatch, rabbit_url: str
) -> None:
    said: list[str] = []
    with rabbit.own_node() as node:
        for name, value in rabbit.variables(node.url).items():
            monkeypatch.setenv(name, value)
        toy = make_toy()
        toy.source.start_relay()
        toy.source.start_server()
        worker = toy.worker().start()
        with speaking(toy, said):
            more(toy)
            node.kill()
            eventually(lambda: "RabbitMQ" in worker.health()["entrypoints"]["contacts.on_greeting"])
            eventually(lambda: toy.source.publisher.status.startswith("waiting"))
            assert worker.health()["ready"]
            node.start()
            more(toy)
            worker.kill()  # with messages in flight
            worker.start()
            more(toy)
        all_once(toy, said)
        assert toy.effects("on_anything") != []


def test_a_publisher_killed_between_publishing_and_marking_its_place_repeats_no_effect(
    make_toy: Callable[[], Toy], on_rabbit: str
) -> None:
    toy = make_toy()
    toy.source.start_server()
    toy.source.start_relay()
    toy.worker().start()
    eventually(toy.worker_receives)
    toy.source.publisher.stop()
    said = toy.source.say(*(f"event {number}" for number in range(1200)))
    publisher = start_program(
        """
        import sys, threading
        from services.kit.bus.amqp import publisher
        from services.kit.bus.transport import make_publisher
        from services.kit.clock import SystemClock
        from services.kit.config import Settings
        from services.kit.db import make_engine
        from tests.support.toyconsumer.models import kit

        real = publisher.store.save_cursor

        def save_cursor(connection, kit, name, timeline, position, **options):
            if position >= 1200:
                print("confirmed", flush=True)
                threading.Event().wait()
            return real(connection, kit, name, timeline, position, **options)

        publisher.store.save_cursor = save_cursor
        publisher.SAVE_SECONDS = 3600.0  # what is saved on the way is no less, and this test is about the end
        made = make_publisher("sales", make_engine(sys.argv[1]), kit, SystemClock(), Settings())
        made.start()
        threading.Event().wait()
        """,
        toy.environment["RAPPORT_SALES_DATABASE_URL"],
    )
    try:
        read_until(publisher, "confirmed")
    finally:
        end(publisher)
    all_once(toy, said)
    assert (place_of_publisher(toy) or 0) < 1200
    toy.source.start_publisher()
    said += toy.source.say("after")
    toy.source.publisher.wake()
    eventually(lambda: toy.effects()[-1:] == ["after"])
    all_once(toy, said)


def place_of_publisher(toy: Toy) -> int | None:
    table = toy.source.kit.subscription
    with toy.source.db.read() as connection:
        query = sa.select(table.c.position).where(table.c.name == PUBLISHER)
        place: int | None = connection.execute(query).scalar_one_or_none()
        return place


def test_a_publisher_whose_confirmations_are_lost_sends_again(
    make_toy: Callable[[], Toy], on_rabbit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As happens to what a starting broker takes before the replicas of a queue have chosen their leader."""
    monkeypatch.setattr("services.kit.bus.amqp.publisher.CONFIRM_SECONDS", 0.2)
    confirm, deaf = Unconfirmed.confirm, []

    def lose(self: Unconfirmed, tag: int, multiple: bool) -> None:
        if not deaf:
            deaf.append(self)
        if self is not deaf[0]:
            confirm(self, tag, multiple)

    monkeypatch.setattr(Unconfirmed, "confirm", lose)
    toy = make_toy()
    toy.source.start_relay()
    eventually(lambda: place_of_publisher(toy) is not None)
    toy.source.say("one", "two")
    eventually(lambda: place_of_publisher(toy) == 2)
    assert len(deaf[0]) >= 1


def test_a_publisher_whose_broker_confirms_nothing_sends_no_more_than_its_limit(
    make_toy: Callable[[], Toy], on_rabbit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.kit.bus.amqp.publisher.BATCH", 1)
    confirms: list[object] = []
    monkeypatch.setattr(
        "services.kit.bus.amqp.publisher.Unconfirmed.confirm", lambda self, *args: confirms.append(args)
    )
    sent: list[int] = []
    monkeypatch.setattr(
        "services.kit.bus.amqp.publisher.Unconfirmed.add",
        lambda self, position: (sent.append(position), self._sent.append((len(sent), position))),
    )
    toy = make_toy()
    toy.source.start_relay()
    eventually(lambda: toy.source.publisher.status == "publishing")
    monkeypatch.setattr("services.kit.bus.amqp.publisher.MARK_SECONDS", 3600.0)
    toy.source.say(*(f"event {number}" for number in range(100)))
    eventually(lambda: len(sent) >= UNCONFIRMED)
    eventually(lambda: len(confirms) >= UNCONFIRMED - 1)
    assert len(sent) == UNCONFIRMED
