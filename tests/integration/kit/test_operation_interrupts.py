"""Work of an operation that is to stop: what the database does for it ends, and nobody waits for a call that lasts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa
from google.protobuf.wrappers_pb2 import Int64Value
from sqlalchemy import Connection

from services.kit.clock import FixedClock
from services.kit.db import Database, make_engine, new_metadata
from services.kit.errors import Cancelled
from services.kit.names import parse_name
from services.kit.operations import OperationContext, OperationLost, OperationPaused, create, store
from services.kit.tables import kit_tables
from tests.support.postgres import DatabaseFactory
from tests.support.toy import NOW
from tests.support.waiting import until

FOR_EVER = "SELECT pg_sleep(1000)"


class Desk:
    """An operation at work, and what others do to it."""

    def __init__(self, url: str) -> None:
        metadata = new_metadata()
        self.kit = kit_tables(metadata)
        self.db = Database(make_engine(url))
        metadata.create_all(self.db.engine)
        with self.db.transaction() as connection:
            connection.exec_driver_sql("CREATE TABLE done (what text)")
            made = create(connection, self.kit, "count", Int64Value(value=1), FixedClock(NOW))
        self.key = parse_name(made.name, "operations")
        self.stopping = threading.Event()
        self.work = OperationContext(self.db, self.kit, self.claim(), self.stopping.is_set)

    def claim(self) -> store.Claimed:
        with self.db.transaction() as connection:
            claimed = store.claim(connection, self.kit, self.key)
        assert claimed is not None
        return claimed

    def cancel(self) -> None:
        with self.db.transaction() as connection:
            store.request_cancel(connection, self.kit, self.key)

    def sleeps(self) -> bool:
        query = "SELECT count(*) FROM pg_stat_activity WHERE query = :query AND state = 'active'"
        with self.db.read() as connection:
            return bool(connection.execute(sa.text(query), {"query": FOR_EVER}).scalar_one())

    def done(self) -> list[str]:
        with self.db.read() as connection:
            return list(connection.exec_driver_sql("SELECT what FROM done ORDER BY 1").scalars())

    def progress(self) -> tuple[int, int, str]:
        with self.db.read() as connection:
            found = store.load(connection, self.kit, self.key).progress
        return found.completed, found.total, found.stage


@pytest.fixture
def desk(make_database: DatabaseFactory) -> Iterator[Desk]:
    made = Desk(make_database("contacts"))
    yield made
    made.db.close()


def in_thread(action: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    """Run something beside the test; returns the thread and what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, raised


def write(connection: Connection, what: str) -> None:
    connection.exec_driver_sql("INSERT INTO done VALUES (%(what)s)", {"what": what})


STOPS: dict[str, tuple[Callable[[Desk], Any], type[Exception]]] = {
    "cancelled": (Desk.cancel, Cancelled),
    "paused": (lambda desk: desk.stopping.set(), OperationPaused),
    "lost": (Desk.claim, OperationLost),
}


@pytest.mark.parametrize("how", STOPS)
def test_a_statement_ends_when_a_stop_is_asked_for(desk: Desk, how: str) -> None:
    """However it is asked for; the transaction leaves nothing, and its connection serves others."""
    stop, wanted = STOPS[how]

    def work() -> None:
        with desk.db.transaction() as connection, desk.work.interruptible(connection):
            write(connection, "before")
            connection.exec_driver_sql(FOR_EVER)
            write(connection, "after")

    thread, raised = in_thread(work)
    until(desk.sleeps, "the statement runs")
    stop(desk)
    thread.join()
    assert [type(error) for error in raised] == [wanted]
    assert not desk.sleeps()
    assert desk.done() == []
    with desk.db.transaction() as connection:
        write(connection, "later")
    assert desk.done() == ["later"]


def test_a_stop_between_statements_ends_the_next_one_or_the_block(desk: Desk) -> None:
    """Nothing is committed after it, even where the work takes the failure for one of its own."""
    desk.cancel()

    def work() -> None:
        with desk.db.transaction() as connection, desk.work.interruptible(connection):
            write(connection, "before")
            with suppress(sa.exc.OperationalError):
                connection.exec_driver_sql(FOR_EVER)

    with pytest.raises(Cancelled):
        work()
    assert desk.done() == []


def test_a_statement_that_fails_by_itself_says_so(desk: Desk) -> None:
    with (
        pytest.raises(sa.exc.ProgrammingError, match="nowhere"),
        desk.db.transaction() as connection,
        desk.work.interruptible(connection),
    ):
        connection.exec_driver_sql("SELECT * FROM nowhere")


def test_work_that_nobody_stops_is_committed(desk: Desk) -> None:
    with desk.db.transaction() as connection, desk.work.interruptible(connection):
        write(connection, "all")
        assert desk.work.unless_stopped(lambda: 7) == 7
        with pytest.raises(KeyError):
            desk.work.unless_stopped(lambda: {}["none"])
    assert desk.done() == ["all"]
    assert not [item for item in threading.enumerate() if item.name == "operation-watcher"]


@pytest.mark.parametrize("how", STOPS)
def test_nobody_waits_for_a_call_when_a_stop_is_asked_for(desk: Desk, how: str) -> None:
    stop, wanted = STOPS[how]
    begun, go, over = threading.Event(), threading.Event(), threading.Event()

    def call() -> None:
        begun.set()
        assert go.wait(120)
        over.set()

    thread, raised = in_thread(lambda: desk.work.unless_stopped(call))
    assert begun.wait(60)
    stop(desk)
    thread.join()
    assert [type(error) for error in raised] == [wanted]
    assert not over.is_set()
    go.set()
    assert over.wait(60)


def test_what_is_told_is_seen_before_the_work_is_committed(desk: Desk) -> None:
    with desk.db.transaction() as connection:
        write(connection, "half")
        desk.work.tell(3, 9, "in the midst")
        # Of one stage at most twice a second.
        desk.work.tell(4, 9, "in the midst")
        assert desk.progress() == (3, 9, "in the midst")
        desk.work.tell(5, 9, "near the end")
        assert desk.progress() == (5, 9, "near the end")
        desk.work.checkpoint(connection, {"at": 9}, 9, 9, "done")
    assert desk.progress() == (9, 9, "done")
    # An attempt that told something and stored nothing has had no fruit.
    with desk.db.read() as connection:
        column = desk.kit.operation.c.fruitless
        assert connection.execute(sa.select(column)).scalar_one() == 0
    again = OperationContext(desk.db, desk.kit, desk.claim())
    again.tell(1, 9, "once more")
    with desk.db.read() as connection:
        assert connection.execute(sa.select(column)).scalar_one() == 1
    with pytest.raises(OperationLost):
        desk.work.raise_if_cancelled()
    desk.cancel()
    other = OperationContext(desk.db, desk.kit, desk.claim())
    with pytest.raises(Cancelled):
        other.tell(1, 9, "too late")
