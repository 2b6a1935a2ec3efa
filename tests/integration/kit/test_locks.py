from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from services.kit.db import make_engine
from services.kit.locks import Locks
from tests.support.postgres import DatabaseFactory
from tests.support.toy import eventually


@pytest.fixture
def engine(make_database: DatabaseFactory) -> Iterator[Engine]:
    made = make_engine(make_database("contacts"))
    yield made
    made.dispose()


@pytest.fixture
def pair(engine: Engine) -> Iterator[tuple[Locks, Locks]]:
    one, other = Locks(engine, check_seconds=0.05), Locks(engine, check_seconds=0.05)
    yield one, other
    one.close()
    other.close()


def test_one_holder_at_a_time(pair: tuple[Locks, Locks]) -> None:
    one, other = pair
    assert one.acquire("tick")
    assert one.acquire("tick")
    assert not other.acquire("tick")
    assert other.acquire("tock")
    assert (one.held("tick"), other.held("tick"), one.held("tock")) == (True, False, False)
    one.release("tick")
    assert not one.held("tick")
    assert other.acquire("tick")


def test_release_of_what_is_not_held_does_nothing(pair: tuple[Locks, Locks]) -> None:
    one, other = pair
    assert one.acquire("tick")
    other.release("tick")
    assert not other.acquire("tick")


def test_closing_frees_all(engine: Engine) -> None:
    one, other = Locks(engine), Locks(engine)
    assert one.acquire("a")
    assert one.acquire("b")
    one.close()
    assert other.acquire("a")
    assert other.acquire("b")
    other.close()


def test_a_lost_connection_loses_the_locks_and_a_new_one_is_made(
    engine: Engine, pair: tuple[Locks, Locks]
) -> None:
    one, other = pair
    assert one.acquire("tick")
    kill = """
        SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
        WHERE l.locktype = 'advisory' AND d.datname = current_database()
    """
    with engine.connect() as connection:
        connection.execute(sa.text(kill))
    eventually(lambda: not one.held("tick"))
    assert other.acquire("tick")
    assert not one.acquire("tick")
    assert one.acquire("tock")


def test_many_threads_share_the_connection(engine: Engine, pair: tuple[Locks, Locks]) -> None:
    one, other = pair
    won: list[tuple[int, str]] = []

    def take(number: int) -> None:
        for name in range(20):
            if (one, other)[number % 2].acquire(f"lock {name}"):
                won.append((number % 2, f"lock {name}"))

    threads = [threading.Thread(target=take, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    holders = {name: {side for side, taken in won if taken == name} for _, name in won}
    assert len(holders) == 20
    assert all(len(sides) == 1 for sides in holders.values())
