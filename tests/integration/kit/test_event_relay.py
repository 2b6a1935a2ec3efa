"""The relay against concurrent writers, other relays and broken connections."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa
from google.protobuf.wrappers_pb2 import StringValue

from services.kit.config import Settings
from services.kit.events import store
from services.kit.events.payload import unpack
from services.kit.outbox import NewEvent, append
from tests.support.postgres import DatabaseFactory
from tests.support.toy import NOW, Source, eventually, rolled_back


@pytest.fixture
def source(tmp_path: Path, make_database: DatabaseFactory) -> Iterator[Source]:
    made = Source("sales", make_database("sales"), Settings(data_dir=tmp_path))
    with made.db.transaction() as connection:
        store.ensure_stream(connection, made.kit)
    yield made
    made.close()


def add(connection: sa.Connection, source: Source, text: str) -> None:
    """Write an event in a transaction."""
    event = NewEvent(
        type="greeting.said",
        subject=f"greetings/{uuid4()}",
        contact=None,
        revision=1,
        occur_time=NOW,
        data=StringValue(value=text),
    )
    append(connection, source.kit.outbox, [event], record_time=source.clock.now())


def write(source: Source, texts: list[str], hold: float = 0.0) -> None:
    """Write events one statement each, keeping the transaction open for a while."""
    with source.db.transaction() as connection:
        for text in texts:
            add(connection, source, text)
            if hold:
                threading.Event().wait(hold)


def read_all(source: Source, after: int) -> list[tuple[int, str]]:
    """Return position and text of the events that a reader sees now."""
    with source.db.read() as connection:
        head = store.read_head(connection, source.kit)
        events = store.read_events(
            connection, source.kit, "sales", after=after, until=head.position, types=[], limit=100_000
        )
    return [(event.position, unpack(event).value) for event in events]


def test_a_reader_that_only_moves_forward_sees_every_event_once_and_in_order(source: Source) -> None:
    """Rows commit out of the order of their ids; a cursor over positions must still miss none."""
    writers, rounds = 8, 25
    chance = random.Random(1)
    holds = [0, 0, 0.002, 0.02]
    plans = [[(chance.randrange(1, 8), chance.choice(holds)) for _ in range(rounds)] for _ in range(writers)]
    source.start_relay()

    def work(number: int) -> None:
        for turn, (size, hold) in enumerate(plans[number]):
            write(source, [f"{number}:{turn}:{index}" for index in range(size)], hold)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    expected = sum(size for plan in plans for size, _ in plan)
    seen: list[tuple[int, str]] = []

    def read() -> bool:
        seen.extend(read_all(source, seen[-1][0] if seen else 0))
        return len(seen) >= expected

    eventually(read, 60)
    for thread in threads:
        thread.join()
    seen.extend(read_all(source, seen[-1][0]))
    assert [position for position, _ in seen] == list(range(1, expected + 1))
    texts = [text for _, text in seen]
    assert len(set(texts)) == expected
    # Within one transaction the order of writing is kept.
    for number in range(writers):
        mine = [tuple(map(int, text.split(":"))) for text in texts if text.startswith(f"{number}:")]
        assert mine == sorted(mine)


def test_a_long_transaction_holds_nobody_up(source: Source) -> None:
    source.start_relay()
    with source.db.transaction() as connection:
        add(connection, source, "slow")
        write(source, ["quick"])
        eventually(lambda: read_all(source, 0) == [(1, "quick")])
    eventually(lambda: read_all(source, 0) == [(1, "quick"), (2, "slow")])


def test_a_rolled_back_event_never_appears(source: Source) -> None:
    with rolled_back(source.db) as connection:
        add(connection, source, "lost")
    source.start_relay()
    write(source, ["kept"])
    eventually(lambda: read_all(source, 0) == [(1, "kept")])


def test_a_second_relay_stands_by_and_takes_over(source: Source) -> None:
    other = Source(
        "sales", str(source.engine.url.render_as_string(hide_password=False)), source.settings, kit=source.kit
    )
    try:
        source.start_relay()
        write(source, ["one"])
        eventually(lambda: len(read_all(source, 0)) == 1)
        other.start_relay()
        source.relay.stop()
        source.relay = None
        write(source, ["two"])
        eventually(lambda: read_all(source, 0) == [(1, "one"), (2, "two")])
    finally:
        other.close()


def test_two_relays_without_a_lock_would_still_not_clash(source: Source) -> None:
    """The lock saves work; the stream's row keeps positions unique."""
    write(source, [str(number) for number in range(200)])

    def assign() -> None:
        for _ in range(20):
            with source.db.transaction() as connection:
                store.assign_positions(connection, source.kit, 7)

    threads = [threading.Thread(target=assign) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [position for position, _ in read_all(source, 0)] == list(range(1, 201))


def test_the_relay_outlives_its_connection(source: Source) -> None:
    source.start_relay()
    write(source, ["before"])
    eventually(lambda: len(read_all(source, 0)) == 1)
    kill = sa.text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with source.db.read() as connection:
        connection.execute(kill)
    # The other pooled connections died too; this one write may meet one of them and is then tried again.
    source.engine.dispose()
    write(source, ["after"])
    eventually(lambda: read_all(source, 0) == [(1, "before"), (2, "after")])


def span(source: Source) -> tuple[int, int]:
    """Return the newest position that was purged, and the newest of all."""
    with source.db.read() as connection:
        head = store.read_head(connection, source.kit)
    return head.purged, head.position


def subscribe(source: Source, name: str, position: int) -> None:
    with source.db.transaction() as connection:
        timeline = store.read_head(connection, source.kit).timeline
        store.save_cursor(
            connection, source.kit, name, timeline, position, rewind=False, time=source.clock.now()
        )


def test_old_events_go_once_everybody_has_passed_them(source: Source) -> None:
    source.say(*(f"old {number}" for number in range(10)))
    source.start_relay(purge_seconds=0.05)
    eventually(lambda: span(source) == (0, 10))
    subscribe(source, "a.fast", 10)
    subscribe(source, "a.slow", 4)
    source.clock.instant = NOW + timedelta(days=29)
    source.say("new")
    eventually(lambda: span(source) == (0, 11))
    # Both move before the old events may go: the slow one is alive then, and what it has not passed is kept.
    subscribe(source, "a.slow", 5)
    subscribe(source, "a.fast", 11)
    source.clock.instant = NOW + timedelta(days=31)
    eventually(lambda: span(source) == (5, 11))
    subscribe(source, "a.slow", 11)
    eventually(lambda: span(source) == (10, 11))
    assert read_all(source, 0) == [(11, "new")]


def test_an_abandoned_subscription_holds_nothing_back(source: Source) -> None:
    source.say("old")
    source.start_relay(purge_seconds=0.05)
    eventually(lambda: span(source) == (0, 1))
    subscribe(source, "a.gone", 0)
    source.clock.instant = NOW + timedelta(days=31)
    eventually(lambda: span(source) == (1, 1))
