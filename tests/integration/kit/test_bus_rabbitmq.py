"""What is special to RabbitMQ: new consumers, lost queues, changes of the transport, and what comes back too often."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import amqp
import pytest
import sqlalchemy as sa
from rapport.events.v1 import events_pb2

from services.kit.bus.amqp.broker import close_quietly, parse_url
from services.kit.bus.amqp.messages import message_of
from services.kit.bus.amqp.stream import LAST_TRIES, SCATTER_AFTER
from services.kit.bus.amqp.topology import PUBLISHER, delete_queues
from services.kit.bus.transport import make_transport
from services.kit.events import timelines, unpack
from tests.support import rabbit
from tests.support.postgres import DatabaseFactory
from tests.support.toy import NOW, Toy, eventually

pytestmark = pytest.mark.usefixtures("on_rabbit")
GREETER = "contacts.on_greeting"


@pytest.fixture
def toy(tmp_path: Path, make_database: DatabaseFactory, on_rabbit: str) -> Iterator[Toy]:
    made = Toy(tmp_path, make_database("sales"), make_database("contacts"))
    yield made
    made.close()


class Desk:
    """Look at the broker, as an operator does."""

    def __init__(self, toy: Toy) -> None:
        self._url = toy.environment[rabbit.URL_VARIABLE]
        self._prefix = toy.environment[rabbit.PREFIX_VARIABLE]

    def queue(self, name: str = GREETER) -> str:
        return f"{self._prefix}.{name}"

    def count(self, name: str = GREETER) -> int:
        """Return how many messages wait in a queue, those in hand not counted."""
        connection = parse_url(self._url).connect("desk")
        try:
            return int(connection.channel().queue_declare(self.queue(name), passive=True).message_count)
        finally:
            close_quietly(connection)

    def has(self, name: str) -> bool:
        """Tell whether there is a queue."""
        try:
            return self.count(name) >= 0
        except amqp.NotFound:
            return False

    def delete(self, name: str = GREETER) -> None:
        connection = parse_url(self._url).connect("desk")
        connection.channel().queue_delete(self.queue(name))
        close_quietly(connection)

    def delete_exchange(self, name: str) -> None:
        connection = parse_url(self._url).connect("desk")
        connection.channel().exchange_delete(self.queue(name))
        close_quietly(connection)

    def declare(self, name: str) -> None:
        """Make a queue of a kind that is not ours."""
        connection = parse_url(self._url).connect("desk")
        connection.channel().queue_declare(self.queue(name), durable=True, auto_delete=False)
        close_quietly(connection)

    def put(self, body: bytes, name: str = GREETER) -> None:
        connection = parse_url(self._url).connect("desk")
        connection.channel().basic_publish_confirm(message_of(body), "", self.queue(name), mandatory=True)
        close_quietly(connection)


def published(toy: Toy) -> int | None:
    """Return how far the publisher has come, or None before there was one."""
    table = toy.source.kit.subscription
    with toy.source.db.read() as connection:
        query = sa.select(table.c.position).where(table.c.name == PUBLISHER)
        position: int | None = connection.execute(query).scalar_one_or_none()
        return position


def test_a_new_consumer_gets_what_was_published_before_it_came_and_a_lost_queue_is_made_good(
    toy: Toy,
) -> None:
    toy.source.start_relay()
    toy.source.start_server()
    before = toy.source.say(*(f"before {number}" for number in range(120)))
    eventually(lambda: published(toy) == 120)
    worker = toy.worker().start()
    eventually(lambda: len(toy.effects()) == 120)
    now = toy.source.say("now")
    eventually(lambda: toy.effects() == before + now)
    eventually(lambda: toy.cursors().get(GREETER) == 121)
    # An operator's mistake, or a broker that lost its disk: what was in the queue is gone.
    worker.signal()
    assert worker.wait() == 0
    missed = toy.source.say("missed")
    eventually(lambda: published(toy) == 122)
    desk = Desk(toy)
    eventually(lambda: desk.count() >= 1)
    desk.delete()
    worker.start()
    eventually(lambda: toy.effects() == before + now + missed)
    # While it reads: the consumer is told that its queue has gone, and does the same.
    eventually(toy.worker_receives)
    desk.delete()
    again = toy.source.say("again")
    eventually(lambda: toy.effects() == before + now + missed + again)


def test_a_lost_exchange_is_made_good_with_the_bindings_that_went_with_it(toy: Toy) -> None:
    toy.source.start_relay()
    toy.source.start_server()
    toy.worker().start()
    said = toy.source.say("before")
    eventually(lambda: toy.effects() == said and len(toy.effects("on_anything")) == 1)
    eventually(toy.worker_receives)
    eventually(lambda: [toy.cursors().get(name) for name in (GREETER, "contacts.on_anything")] == [1, 1])
    desk = Desk(toy)
    # The queues stand, and nothing would ever come to them again.
    desk.delete_exchange("sales")
    said += toy.source.say("after", "and after")
    eventually(lambda: toy.effects() == said)
    eventually(lambda: len(toy.effects("on_anything")) == 3)
    eventually(toy.worker_receives)
    said += toy.source.say("by queue")
    eventually(lambda: toy.effects() == said and len(toy.effects("on_anything")) == 4)


def test_a_queue_with_other_arguments_says_what_to_do_and_that_helps(toy: Toy) -> None:
    toy.source.start_relay()
    toy.source.start_server()
    desk = Desk(toy)
    desk.declare(GREETER)
    said = toy.source.say("before")
    worker = toy.worker().start()
    told = eventually(
        lambda: "inequivalent arg" in (text := worker.health()["entrypoints"][GREETER]) and text
    )
    assert desk.queue() in told
    assert "delete the queue" in told
    desk.delete()
    eventually(lambda: toy.effects() == said, 60)


def test_what_a_restore_undid_does_not_come_out_of_a_queue(toy: Toy) -> None:
    toy.source.start_relay()
    toy.source.start_server()
    worker = toy.worker().start()
    kept = toy.source.say("kept")
    eventually(lambda: toy.cursors().get(GREETER) == 1)
    worker.signal()
    assert worker.wait() == 0
    toy.source.say("undone")
    desk = Desk(toy)
    eventually(lambda: published(toy) == 2 and desk.count() >= 1)
    # As a restore leaves it: the log ends where the backup ended, and a new timeline begins there.
    kit = toy.source.kit
    with toy.source.db.transaction() as connection:
        connection.execute(sa.delete(kit.outbox).where(kit.outbox.c.position > 1))
        connection.execute(sa.update(kit.stream).values(last_position=1))
        connection.execute(sa.update(kit.subscription).values(position=1))
        timelines.fork(connection, kit, NOW)
    connection = parse_url(toy.environment[rabbit.URL_VARIABLE]).connect("restore")
    delete_queues(connection, toy.environment[rabbit.PREFIX_VARIABLE], GREETER)
    close_quietly(connection)
    assert not desk.has(GREETER)
    new = toy.source.say("new")
    worker.start()
    eventually(lambda: toy.effects() == kept + new)
    last = toy.source.say("last")
    eventually(lambda: toy.effects() == kept + new + last)
    assert published(toy) == 3


def test_the_transport_can_be_changed_and_changed_back(toy: Toy) -> None:
    with_rabbit = dict(toy.environment)
    del toy.environment[rabbit.URL_VARIABLE]
    toy.source.start_server()
    # On the streams: no publisher.
    publisher, toy.source.start_publisher = toy.source.start_publisher, lambda: None
    toy.source.start_relay()
    toy.source.say("by stream")
    worker = toy.worker().start()
    eventually(lambda: toy.effects() == ["by stream"])

    # Its consumer changes first: with nobody to publish, it goes on reading the stream.
    worker.signal()
    assert worker.wait() == 0
    toy.source.say("while it was away")
    toy.environment.update(with_rabbit)
    changed = toy.worker().start()
    eventually(lambda: toy.effects()[-1] == "while it was away")
    toy.source.say("still by stream")
    eventually(lambda: toy.effects()[-1] == "still by stream")

    # Then the source does.
    publisher()
    toy.source.say("on the way")
    eventually(lambda: toy.effects()[-1] == "on the way")
    eventually(toy.worker_receives)
    toy.source.say("by queue")
    eventually(lambda: toy.effects()[-1] == "by queue")
    toy.source.stop_server()  # nothing but the queue can have brought this one
    toy.source.say("by queue alone")
    eventually(lambda: toy.effects()[-1] == "by queue alone")

    # And back, with something left in the queue.
    changed.signal()
    assert changed.wait() == 0
    toy.source.say("left in the queue")
    eventually(lambda: Desk(toy).count() >= 1)
    toy.source.start_server()
    del toy.environment[rabbit.URL_VARIABLE]
    toy.worker().start()
    eventually(lambda: toy.effects()[-1] == "left in the queue")
    assert toy.effects() == [
        "by stream", "while it was away", "still by stream", "on the way", "by queue", "by queue alone",
        "left in the queue",
    ]  # fmt: skip


@pytest.mark.parametrize("innocent", [False, True])
def test_an_event_that_kills_its_consumer_each_time_becomes_a_dead_letter_and_its_neighbours_do_not(
    toy: Toy, innocent: bool
) -> None:
    """The deaths are of connections, which are all that the broker sees of a process that dies."""
    toy.source.start_relay()
    toy.source.start_server()
    transport = make_transport(toy.settings.model_copy(update={"token": toy.tokens["contacts"]}))
    taken: list[str] = []

    def live() -> bool:
        """Read until there is nothing more, or until it kills; tell whether it did."""
        stream = transport.open("sales", GREETER, ["greeting.said"], 500)
        try:
            while (delivery := stream.next()) is not None:
                texts = [unpack(event).value for event in delivery.events]
                if "deadly" in texts and not delivery.exhausted:
                    return True
                if delivery.exhausted:
                    assert texts == ["deadly"]
                    return False
                taken.extend(texts)
                stream.acknowledge(delivery)
        finally:
            stream.close()
            stream.close()
            stream.join()
        raise AssertionError("closed by itself")

    # The first life is for the queue: what is there before it is read from the stream.
    eventually(lambda: published(toy) is not None)
    opening = transport.open("sales", GREETER, ["greeting.said"], 500)
    opening.next()
    desk = Desk(toy)
    eventually(lambda: desk.has(f"{GREETER}.ready"))
    opening.close()
    opening.join()
    texts = [f"fine {number}" for number in range(9)]
    toy.source.say(*texts[:4], "deadly", *texts[4:])
    later = [f"later {number}" for number in range(30)]
    for text in later:
        toy.source.say(text)
    eventually(lambda: published(toy) == 40)
    deaths = 0
    while live():
        deaths += 1
    transport.close()
    # Each is one of the whole process, with all its consumers and its relay: after so many it is over.
    assert deaths == SCATTER_AFTER + LAST_TRIES == 6
    if innocent:
        # Its effect was written before the process ended, of another consumer's event.
        with toy.source.db.read() as connection:
            rows = connection.execute(sa.select(toy.source.kit.outbox))
            (row,) = [one for one in rows if b"deadly" in one.data]
        with toy.db.transaction() as connection:
            done = {"consumer": GREETER, "event_id": row.id, "position": row.position, "record_time": NOW}
            connection.execute(sa.insert(toy.models.kit.processed_event).values(done))
    toy.worker().start()
    if innocent:
        eventually(lambda: {*toy.effects(), *taken} == {*texts, *later})
        assert letters(toy) == []
        return
    eventually(lambda: letters(toy))
    ((consumer, text, error),) = letters(toy)
    assert (consumer, text) == (GREETER, "deadly")
    assert "the process ended each time" in error
    # What only the dead have seen had no effect; the rest came to the worker or to them, and nothing is missing.
    eventually(lambda: {*toy.effects(), *taken} == {*texts, *later})
    assert len(toy.effects()) == len({*toy.effects()})


def test_a_worker_that_an_event_ends_each_time_gets_over_it(toy: Toy) -> None:
    toy.source.start_relay()
    toy.source.start_server()
    worker = toy.worker().start()
    eventually(toy.worker_receives)
    (toy.folder / "gates" / "deadly").touch()
    toy.source.say("one", "deadly", "two")
    deaths = 0

    def over() -> bool:
        nonlocal deaths
        if worker.process is not None and worker.process.poll() is not None:
            deaths += 1
            worker.start(wait=False)
        return bool(of_greeter())

    def of_greeter() -> list[str]:
        # What else the process had in hand each time might be why it ended, unless it had its effect once.
        return [text for consumer, text, _ in letters(toy) if consumer == GREETER]

    eventually(over, 120)
    assert deaths == SCATTER_AFTER + LAST_TRIES
    assert of_greeter() == ["deadly"]
    said = toy.source.say("three")
    eventually(lambda: sorted(toy.effects()) == sorted(["one", "two", *said]))
    assert worker.process is not None
    assert worker.process.poll() is None


def letters(toy: Toy) -> list[tuple[str, str, str]]:
    """Return the dead letters as (consumer, text, error)."""
    with toy.db.read() as connection:
        rows = list(connection.execute(sa.select(toy.models.kit.dead_letter)))
    return [(row.consumer, unpack(events_pb2.Event.FromString(row.event)).value, row.error) for row in rows]


def test_a_message_that_is_none_of_ours_is_put_aside_and_stops_nobody(toy: Toy) -> None:
    toy.source.start_relay()
    toy.source.start_server()
    toy.worker().start()
    eventually(toy.worker_receives)
    desk = Desk(toy)
    desk.put(b"\xff not a message")
    toy.source.say("after")
    eventually(lambda: toy.effects() == ["after"])
    eventually(lambda: desk.count(f"{GREETER}.unreadable") == 1)
    assert "put aside" in toy.workers[0].log.read_text()


def test_what_was_not_started_goes_back_when_the_worker_stops(toy: Toy) -> None:
    toy.source.start_relay()
    toy.source.start_server()
    worker = toy.worker().start()
    eventually(toy.worker_receives)
    toy.source.say("gate:slow")
    eventually(lambda: toy.reached("slow"))
    for number in range(3):
        toy.source.say(f"waiting {number}")
        eventually(lambda number=number: published(toy) == 2 + number)
    worker.signal()
    desk = Desk(toy)
    # They are there for another worker before the one in hand has ended.
    eventually(lambda: desk.count() >= 3)
    assert toy.effects() == []
    worker.signal()
    toy.open_gate("slow")
    assert worker.wait() == 0
    assert toy.effects() == ["gate:slow"]
    worker.start()
    eventually(lambda: len(toy.effects()) == 4)
    assert toy.effects() == ["gate:slow", "waiting 0", "waiting 1", "waiting 2"]


def test_nobody_is_told_the_password(toy: Toy) -> None:
    url = toy.environment[rabbit.URL_VARIABLE].replace("guest:guest", "guest:dontreadme")
    toy.environment[rabbit.URL_VARIABLE] = url
    worker = toy.worker().start()
    eventually(lambda: "access refused" in worker.health()["entrypoints"][GREETER])
    eventually(lambda: "access refused" in worker.health()["entrypoints"]["publisher"])
    worker.signal()
    assert worker.wait() == 0
    assert "dontreadme" not in worker.log.read_text()
    assert "ACCESS_REFUSED" in worker.log.read_text()
