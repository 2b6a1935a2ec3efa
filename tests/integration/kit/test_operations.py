"""Long-running operations: the table, the servicer over a real port, and a worker's side of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
import sqlalchemy as sa
from google.protobuf.wrappers_pb2 import Int64Value, StringValue
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status
from rapport.operations.v1 import operations_pb2, operations_pb2_grpc

from services.kit import context
from services.kit.auth import TokenStore, create_tokens
from services.kit.clock import FixedClock
from services.kit.context import CallContext
from services.kit.db import Database, make_engine, new_metadata
from services.kit.errors import Cancelled, FailedPrecondition, InvalidArgument, NotFound
from services.kit.grpc.server import ApiServer
from services.kit.operations import (
    OperationContext,
    OperationLost,
    OperationPaused,
    OperationService,
    create,
    store,
)
from services.kit.signing import Signer
from services.kit.tables import kit_tables
from tests.support.postgres import DatabaseFactory
from tests.support.toy import NOW, eventually, rolled_back


class Desk:
    """Operations of one database."""

    def __init__(self, url: str) -> None:
        metadata = new_metadata()
        self.kit = kit_tables(metadata)
        engine = make_engine(url, pool_size=20)
        metadata.create_all(engine)
        self.db = Database(engine)
        self.clock = FixedClock(NOW)

    def create(self, kind: str = "count", value: int = 3, **options: Any) -> operations_pb2.Operation:
        with self.db.transaction() as connection:
            return create(connection, self.kit, kind, Int64Value(value=value), self.clock, **options)

    def key(self, operation: operations_pb2.Operation) -> UUID:
        return UUID(operation.name.removeprefix("operations/"))

    def load(self, operation: operations_pb2.Operation) -> operations_pb2.Operation:
        with self.db.read() as connection:
            return store.load(connection, self.kit, self.key(operation))

    def claim(self, operation: operations_pb2.Operation) -> store.Claimed:
        with self.db.transaction() as connection:
            claimed = store.claim(connection, self.kit, self.key(operation))
        assert claimed is not None
        return claimed

    def context(self, operation: operations_pb2.Operation, stopping: bool = False) -> OperationContext:
        return OperationContext(self.db, self.kit, self.claim(operation), lambda: stopping)

    def cancel(self, operation: operations_pb2.Operation) -> None:
        with self.db.transaction() as connection:
            store.request_cancel(connection, self.kit, self.key(operation))

    def finish(self, operation: operations_pb2.Operation, outcome: Any, attempt: int | None = None) -> bool:
        with self.db.transaction() as connection:
            number = self.claim(operation).attempt if attempt is None else attempt
            return store.finish(connection, self.kit, self.key(operation), number, outcome, self.clock.now())


@pytest.fixture
def desk(make_database: DatabaseFactory) -> Iterator[Desk]:
    made = Desk(make_database("contacts"))
    yield made
    made.db.close()


def test_a_new_operation_waits_to_be_done(desk: Desk) -> None:
    with context.activate(CallContext("1", principal="owner")):
        operation = desk.create(unit="rows", total=7)
    assert not operation.done
    assert operation.kind == "count"
    assert operation.create_time.ToDatetime(NOW.tzinfo) == NOW
    assert (operation.progress.total, operation.progress.unit) == (7, "rows")
    assert desk.load(operation) == operation
    work = desk.context(operation)
    assert (work.request, work.state, work.name, work.principal) == (
        Int64Value(value=3),
        {},
        operation.name,
        "owner",
    )


def test_work_that_rolls_back_leaves_no_operation(desk: Desk) -> None:
    with rolled_back(desk.db) as connection:
        create(connection, desk.kit, "count", Int64Value(value=1), desk.clock)
    with desk.db.read() as connection:
        assert connection.execute(store.pending(desk.kit, ["count"], 10)).all() == []


@pytest.mark.parametrize(
    "sizes", [[], [0], [1], [3, 5], [store.CHUNK_BYTES], [store.CHUNK_BYTES * 2 + 17, 1, 0, 5]]
)
def test_uploaded_content_comes_back_in_pieces(desk: Desk, sizes: list[int]) -> None:
    pieces = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    operation = desk.create(chunks=iter(pieces))
    found = list(desk.context(operation).chunks())
    assert b"".join(found) == b"".join(pieces)
    assert all(len(piece) == store.CHUNK_BYTES for piece in found[:-1])
    assert list(desk.context(operation).chunks(start=1)) == found[1:]


def test_operations_are_made_again_and_again_by_one_connection(desk: Desk) -> None:
    """After some executions a statement is prepared, and after some more its plan is made for any parameters."""
    assert len({desk.create(request_id=f"r{number}").name for number in range(30)}) == 30


def test_the_same_request_id_returns_the_same_operation(desk: Desk) -> None:
    first = desk.create(request_id="r1", chunks=[b"abc", b"def"])
    # How the content was cut on its way does not matter.
    assert desk.create(request_id="r1", chunks=[b"abcdef"]).name == first.name
    assert b"".join(desk.context(first).chunks()) == b"abcdef"
    for other in ({"value": 4}, {"chunks": [b"abcdeF"]}, {}):
        with pytest.raises(InvalidArgument) as caught:
            desk.create(request_id="r1", **({"chunks": [b"abcdef"]} | other if "value" in other else other))
        assert caught.value.reason == "REQUEST_ID_REUSED"
    assert desk.create("rebuild", request_id="r1").name != first.name
    assert desk.create().name != desk.create().name


def test_two_requests_at_once_with_one_id_make_one_operation(desk: Desk) -> None:
    names: list[str] = []
    start = threading.Barrier(6)

    def ask() -> None:
        start.wait()
        names.append(desk.create(request_id="r1", chunks=[b"abc"]).name)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 6
    assert len(set(names)) == 1


def test_a_checkpoint_is_part_of_the_works_transaction(desk: Desk) -> None:
    operation = desk.create()
    work = desk.context(operation)
    with desk.db.transaction() as connection:
        work.checkpoint(connection, {"next": 1}, 1, 3, "counting")
    with rolled_back(desk.db) as connection:
        work.checkpoint(connection, {"next": 2}, 2)
    assert desk.load(operation).progress == operations_pb2.Progress(completed=1, total=3, stage="counting")
    resumed = desk.context(operation)
    assert (resumed.state, resumed.resumed) == ({"next": 1}, True)


def test_a_process_that_was_overtaken_cannot_write(desk: Desk) -> None:
    operation = desk.create()
    slow, quick = desk.context(operation), desk.context(operation)
    with pytest.raises(OperationLost), desk.db.transaction() as connection:
        slow.checkpoint(connection, {"next": 99})
    with pytest.raises(OperationLost):
        slow.raise_if_cancelled()
    quick.raise_if_cancelled()
    with desk.db.transaction() as connection:
        quick.checkpoint(connection, {"next": 1})
    assert not desk.finish(operation, Int64Value(value=99), attempt=1)
    assert desk.finish(operation, Int64Value(value=3), attempt=2)
    assert not desk.finish(operation, Int64Value(value=4), attempt=2)
    done = desk.load(operation)
    assert done.done
    assert done.end_time.ToDatetime(NOW.tzinfo) == NOW
    result = Int64Value()
    assert done.response.Unpack(result)
    assert result.value == 3


def test_the_content_goes_when_the_operation_ends(desk: Desk) -> None:
    operation = desk.create(chunks=[b"personal data"])
    assert desk.finish(operation, Status(code=9, message="no"))
    with desk.db.read() as connection:
        assert (
            connection.execute(sa.select(sa.func.count()).select_from(desk.kit.operation_chunk)).scalar() == 0
        )
    assert desk.load(operation).error == Status(code=9, message="no")


def test_a_cancellation_stops_between_batches(desk: Desk) -> None:
    operation = desk.create()
    work = desk.context(operation)
    with desk.db.transaction() as connection:
        work.checkpoint(connection, {"next": 1})
    desk.cancel(operation)
    assert desk.load(operation).cancel_requested
    # This checkpoint learns of it and still counts, as its work is done.
    with desk.db.transaction() as connection:
        work.checkpoint(connection, {"next": 2})
    with pytest.raises(Cancelled):
        work.raise_if_cancelled()
    # Who never asks is stopped at the following checkpoint.
    with pytest.raises(Cancelled), desk.db.transaction() as connection:
        work.checkpoint(connection, {"next": 3})
    assert desk.context(operation).state == {"next": 2}


def test_a_stopping_process_pauses_its_operations(desk: Desk) -> None:
    work = desk.context(desk.create(), stopping=True)
    with pytest.raises(OperationPaused):
        work.raise_if_cancelled()


def test_an_operation_that_has_ended_cannot_be_cancelled_nor_claimed(desk: Desk) -> None:
    operation = desk.create()
    desk.finish(operation, Int64Value())
    with pytest.raises(FailedPrecondition) as caught:
        desk.cancel(operation)
    assert caught.value.reason == "OPERATION_DONE"
    with desk.db.transaction() as connection:
        assert store.claim(connection, desk.kit, desk.key(operation)) is None
        assert connection.execute(store.pending(desk.kit, ["count"], 10)).all() == []


def test_old_operations_are_forgotten_and_pending_ones_never(desk: Desk) -> None:
    done, pending = desk.create(), desk.create()
    desk.finish(done, Int64Value())
    with desk.db.transaction() as connection:
        assert store.forget(connection, desk.kit, NOW) == 0
        assert store.forget(connection, desk.kit, NOW + timedelta(days=31)) == 1
    with pytest.raises(NotFound):
        desk.load(done)
    desk.load(pending)


class Api:
    """OperationService on a port."""

    def __init__(self, desk: Desk, folder: Path) -> None:
        tokens = create_tokens(folder / "tokens.json", owner_token="o" * 40)
        self.owner = [("authorization", f"Bearer {'o' * 40}")]
        self.limited = [("authorization", f"Bearer {tokens['contacts']}")]
        self.service = OperationService(desk.db, desk.kit, Signer("a secret of the tests only"), waiters=2)
        self.server = ApiServer("127.0.0.1:0", TokenStore(folder / "tokens.json"), threads=8)
        self.server.add(
            lambda server: operations_pb2_grpc.add_OperationServiceServicer_to_server(self.service, server)
        )
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.server.start()}")
        self.stub = operations_pb2_grpc.OperationServiceStub(self.channel)

    def call(self, method: str, request: Any, **options: Any) -> Any:
        return getattr(self.stub, method)(request, **({"metadata": self.owner, "timeout": 20} | options))

    def close(self) -> None:
        self.channel.close()
        self.service.stop()
        self.server.stop(1.0)


@pytest.fixture
def api(desk: Desk, tmp_path: Path) -> Iterator[Api]:
    made = Api(desk, tmp_path)
    yield made
    made.close()


def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    status = rpc_status.from_call(caught.value)
    assert status is not None, caught.value
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    return caught.value.code(), info.reason


def test_get_operation(desk: Desk, api: Api) -> None:
    operation = desk.create()
    request = operations_pb2.GetOperationRequest(name=operation.name)
    assert api.call("GetOperation", request).operation == operation
    missing = operations_pb2.GetOperationRequest(name=f"operations/{uuid4()}")
    assert refusal(lambda: api.call("GetOperation", missing)) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    bad = operations_pb2.GetOperationRequest(name="contacts/1")
    assert refusal(lambda: api.call("GetOperation", bad))[0] is grpc.StatusCode.INVALID_ARGUMENT
    code, _ = refusal(lambda: api.call("GetOperation", request, metadata=api.limited))
    assert code is grpc.StatusCode.PERMISSION_DENIED


def test_list_operations_pages_from_the_newest_on(desk: Desk, api: Api) -> None:
    names = []
    for number in range(7):
        # Some at the same instant.
        desk.clock.instant = NOW + timedelta(seconds=number // 2)
        names.append(desk.create().name)
    found: list[str] = []
    token = ""
    sizes = []
    while True:
        request = operations_pb2.ListOperationsRequest(page_size=3, page_token=token)
        page = api.call("ListOperations", request)
        found += [operation.name for operation in page.operations]
        sizes.append(len(page.operations))
        token = page.next_page_token
        if not token:
            break
    assert sizes == [3, 3, 1]
    assert found == names[::-1]
    forged = operations_pb2.ListOperationsRequest(page_token="forged")
    assert refusal(lambda: api.call("ListOperations", forged))[0] is grpc.StatusCode.INVALID_ARGUMENT


def test_wait_operation_returns_when_it_is_done(desk: Desk, api: Api) -> None:
    operations = [desk.create() for _ in range(2)]
    answers: dict[str, operations_pb2.Operation] = {}

    def wait(name: str) -> None:
        request = operations_pb2.WaitOperationRequest(name=name)
        answers[name] = api.call("WaitOperation", request).operation

    threads = [threading.Thread(target=wait, args=(operation.name,)) for operation in operations]
    for thread in threads:
        thread.start()
    eventually(lambda: len(api.service._watch._wanted) == 2)
    desk.finish(operations[0], StringValue(value="first"))
    threads[0].join(10)
    assert answers.keys() == {operations[0].name}
    assert answers[operations[0].name].done
    desk.finish(operations[1], StringValue(value="second"))
    threads[1].join(10)
    assert answers[operations[1].name].done


def test_wait_operation_returns_what_there_is_when_time_is_up(desk: Desk, api: Api) -> None:
    operation = desk.create()
    request = operations_pb2.WaitOperationRequest(name=operation.name)
    request.timeout.FromMilliseconds(300)
    started = time.monotonic()
    assert not api.call("WaitOperation", request).operation.done
    assert time.monotonic() - started >= 0.3
    # Without a timeout the call's deadline counts, and the answer comes before it.
    request.ClearField("timeout")
    assert not api.call("WaitOperation", request, timeout=2).operation.done
    request.timeout.seconds = -1
    assert refusal(lambda: api.call("WaitOperation", request))[0] is grpc.StatusCode.INVALID_ARGUMENT


def test_those_who_wait_do_not_take_all_threads(desk: Desk, api: Api) -> None:
    operation = desk.create()
    request = operations_pb2.WaitOperationRequest(name=operation.name)
    request.timeout.seconds = 15
    pending = [api.stub.WaitOperation.future(request, metadata=api.owner, timeout=20) for _ in range(2)]
    eventually(lambda: api.service._watch._wanted.total() == 2)
    assert not api.call("WaitOperation", request, timeout=5).operation.done
    pending[0].cancel()
    # A caller that goes gives its place back.
    eventually(lambda: api.service._watch._wanted.total() == 1)
    pending[1].cancel()


def test_cancel_operation(desk: Desk, api: Api) -> None:
    operation = desk.create()
    request = operations_pb2.CancelOperationRequest(name=operation.name)
    api.call("CancelOperation", request)
    api.call("CancelOperation", request)
    assert desk.load(operation).cancel_requested
    desk.finish(operation, Status(code=1))
    code, reason = refusal(lambda: api.call("CancelOperation", request))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "OPERATION_DONE")
    missing = operations_pb2.CancelOperationRequest(name=f"operations/{uuid4()}")
    assert refusal(lambda: api.call("CancelOperation", missing))[0] is grpc.StatusCode.NOT_FOUND
