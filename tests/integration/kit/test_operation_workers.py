"""Operations done by real worker processes: death, stop, cancellation, failure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import grpc
import pytest
import sqlalchemy as sa
from google.protobuf.wrappers_pb2 import Int64Value
from rapport.operations.v1 import operations_pb2

from services.kit.bus.operations import FRUITLESS_ATTEMPTS
from services.kit.clock import FixedClock
from services.kit.operations import create, store
from tests.support.postgres import DatabaseFactory
from tests.support.toy import NOW, Toy, eventually


@pytest.fixture
def toy(tmp_path: Path, make_database: DatabaseFactory) -> Iterator[Toy]:
    made = Toy(tmp_path, make_database("sales"), make_database("contacts"))
    yield made
    made.close()


def start(toy: Toy, value: int, chunks: list[bytes] | None = None, kind: str = "count") -> str:
    with toy.db.transaction() as connection:
        request = Int64Value(value=value)
        return create(connection, toy.models.kit, kind, request, FixedClock(NOW), chunks=chunks).name


def load(toy: Toy, name: str) -> operations_pb2.Operation:
    with toy.db.read() as connection:
        return store.load(connection, toy.models.kit, UUID(name.removeprefix("operations/")))


def done(toy: Toy, name: str) -> operations_pb2.Operation:
    return eventually(lambda: load(toy, name).done and load(toy, name))


def test_an_operation_is_done(toy: Toy) -> None:
    toy.worker().start()
    name = start(toy, 2, [b"x" * 1000, b"y" * 2000])
    operation = done(toy, name)
    result = Int64Value()
    assert operation.response.Unpack(result)
    assert result.value == 3000
    assert operation.progress == operations_pb2.Progress(completed=2, total=2, stage="counting")
    assert toy.effects("count") == ["0", "1"]


def test_it_goes_on_where_it_was_when_its_worker_is_killed(toy: Toy) -> None:
    worker = toy.worker().start()
    name = start(toy, 5)
    eventually(lambda: toy.reached("count"))
    worker.kill()
    assert load(toy, name).progress.completed == 2
    other = toy.worker(port_shift=1).start()
    toy.open_gate("count")
    assert done(toy, name).HasField("response")
    assert toy.effects("count") == ["0", "1", "2", "3", "4"]
    table = toy.models.effect
    with toy.db.read() as connection:
        query = sa.select(table.c.worker).where(table.c.handler == "count").order_by(table.c.id)
        assert list(connection.execute(query).scalars()) == [worker.pid] * 2 + [other.pid] * 3


def test_another_worker_takes_over_while_it_stands_by(toy: Toy) -> None:
    worker = toy.worker().start()
    name = start(toy, 4)
    eventually(lambda: toy.reached("count"))
    toy.worker(port_shift=1).start()
    toy.open_gate("count")
    worker.kill()
    assert done(toy, name).HasField("response")
    assert toy.effects("count") == ["0", "1", "2", "3"]


def test_sigterm_pauses_it_and_counts_as_no_failure(toy: Toy) -> None:
    worker = toy.worker().start()
    name = start(toy, 5)
    eventually(lambda: toy.reached("count"))
    worker.signal()
    eventually(lambda: "finishing" in worker.log.read_text())
    toy.open_gate("count")
    assert worker.wait() == 0
    assert not load(toy, name).done
    assert load(toy, name).progress.completed == 3
    with toy.db.read() as connection:
        assert connection.execute(sa.select(toy.models.kit.operation.c.fruitless)).scalar_one() == 0
    worker.start()
    assert done(toy, name).HasField("response")
    assert toy.effects("count") == ["0", "1", "2", "3", "4"]


def test_a_cancellation_ends_it_with_what_it_has_done(toy: Toy) -> None:
    toy.worker().start()
    name = start(toy, 1000)
    eventually(lambda: toy.reached("count"))
    with toy.db.transaction() as connection:
        store.request_cancel(connection, toy.models.kit, UUID(name.removeprefix("operations/")))
    toy.open_gate("count")
    operation = done(toy, name)
    assert operation.error.code == grpc.StatusCode.CANCELLED.value[0]
    # The checkpoint that learns of it still counts.
    assert toy.effects("count") == ["0", "1", "2"]


def test_one_that_was_cancelled_while_no_worker_did_it_ends_in_its_method(toy: Toy) -> None:
    """What it leaves behind when it is cancelled is known to nobody else."""
    name = start(toy, 1000)
    with toy.db.transaction() as connection:
        store.request_cancel(connection, toy.models.kit, UUID(name.removeprefix("operations/")))
    toy.worker().start()
    assert done(toy, name).error.code == grpc.StatusCode.CANCELLED.value[0]
    assert toy.effects("count") == []
    assert toy.effects("count cancelled") == [name]


def test_those_that_wait_take_no_place_of_others(toy: Toy) -> None:
    """One at a time is done; the second worker must not take what the first one only rests from."""
    waiting = [start(toy, 1, kind="rest") for _ in range(3)]
    toy.worker().start()
    toy.worker(port_shift=1).start()
    assert done(toy, start(toy, 0, kind="rest")).HasField("response")
    table = toy.models.kit.operation

    def attempts() -> list[tuple[int, int]]:
        with toy.db.read() as connection:
            query = sa.select(table.c.attempt, table.c.fruitless).where(~table.c.done)
            return [tuple(row) for row in connection.execute(query)]

    # Each goes on again and again, and none of it counts as a failure.
    eventually(lambda: all(attempt > FRUITLESS_ATTEMPTS + 2 for attempt, _ in attempts()))
    assert len(attempts()) == 3
    assert not any(load(toy, name).done for name in waiting)
    toy.open_gate("rest")
    for name in waiting:
        result = Int64Value()
        assert done(toy, name).response.Unpack(result)
        assert result.value > FRUITLESS_ATTEMPTS


def test_a_typed_error_is_the_result(toy: Toy) -> None:
    toy.worker().start()
    operation = done(toy, start(toy, -1))
    assert operation.error.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    assert operation.error.message == "cannot count to -1"
    # Another one is not held up by it.
    assert done(toy, start(toy, 1)).HasField("response")


def test_an_unexpected_error_is_tried_again_and_then_told_without_details(toy: Toy) -> None:
    name = start(toy, 666)
    with toy.db.transaction() as connection:
        connection.execute(sa.update(toy.models.kit.operation).values(fruitless=FRUITLESS_ATTEMPTS - 2))
    worker = toy.worker().start()
    operation = done(toy, name)
    assert operation.error.code == grpc.StatusCode.INTERNAL.value[0]
    assert "unexpected" not in operation.error.message
    assert operation.name in operation.error.message
    with toy.db.read() as connection:
        assert connection.execute(sa.select(toy.models.kit.operation.c.attempt)).scalar_one() == 2
    assert worker.log.read_text().count("RuntimeError: unexpected") >= 2


def test_an_operation_that_kills_its_workers_ends(toy: Toy) -> None:
    name = start(toy, 5)
    with toy.db.transaction() as connection:
        connection.execute(sa.update(toy.models.kit.operation).values(fruitless=FRUITLESS_ATTEMPTS))
    toy.worker().start()
    operation = done(toy, name)
    assert operation.error.code == grpc.StatusCode.INTERNAL.value[0]
    assert "without a checkpoint" in operation.error.message
    assert toy.effects("count") == []
