"""The servicer of rapport.operations.v1.OperationService."""

from __future__ import annotations

import threading
from uuid import UUID

import grpc
from rapport.operations.v1 import operations_pb2, operations_pb2_grpc

from services.kit import paging
from services.kit.db import Database
from services.kit.errors import InvalidArgument
from services.kit.names import parse_name
from services.kit.operations import store
from services.kit.operations.waiting import DoneWatch
from services.kit.signing import Signer
from services.kit.tables import KitTables

LONGEST_WAIT = 60.0
DEFAULT_PAGE, LARGEST_PAGE = 50, 1_000


class OperationService(operations_pb2_grpc.OperationServiceServicer):
    """Tell of the operations of one service.

    waiters: calls that may wait at once, as each holds a thread of the server; one more returns without
    waiting.
    """

    def __init__(self, db: Database, kit: KitTables, signer: Signer, *, waiters: int = 4) -> None:
        self._db = db
        self._kit = kit
        self._signer = signer
        self._watch = DoneWatch(db, kit)
        self._waiters = threading.BoundedSemaphore(waiters)

    def stop(self) -> None:
        """Let all waiting calls return."""
        self._watch.stop()

    def GetOperation(
        self, request: operations_pb2.GetOperationRequest, context: grpc.ServicerContext
    ) -> operations_pb2.GetOperationResponse:
        """Return an operation."""
        return operations_pb2.GetOperationResponse(
            operation=self._load(parse_name(request.name, "operations"))
        )

    def ListOperations(
        self, request: operations_pb2.ListOperationsRequest, context: grpc.ServicerContext
    ) -> operations_pb2.ListOperationsResponse:
        """Return a page of operations, newest first."""
        position = paging.decode(request.page_token, request, self._signer)
        before = (position["time"], position["id"]) if position is not None else None
        limit = paging.page_size(request.page_size, DEFAULT_PAGE, LARGEST_PAGE)
        with self._db.read() as connection:
            operations, last = store.list_page(connection, self._kit, before=before, limit=limit)
        token = ""
        if last is not None:
            token = paging.encode({"time": last[0], "id": last[1]}, request, self._signer)
        return operations_pb2.ListOperationsResponse(operations=operations, next_page_token=token)

    def WaitOperation(
        self, request: operations_pb2.WaitOperationRequest, context: grpc.ServicerContext
    ) -> operations_pb2.WaitOperationResponse:
        """Return an operation once it is done, or as it is when the time is up."""
        key = parse_name(request.name, "operations")
        operation = self._load(key)
        if not operation.done and self._waiters.acquire(blocking=False):
            try:
                self._watch.wait(key, _seconds_to_wait(request, context), context)
            finally:
                self._waiters.release()
            operation = self._load(key)
        return operations_pb2.WaitOperationResponse(operation=operation)

    def CancelOperation(
        self, request: operations_pb2.CancelOperationRequest, context: grpc.ServicerContext
    ) -> operations_pb2.CancelOperationResponse:
        """Ask for a stop."""
        key = parse_name(request.name, "operations")
        with self._db.transaction() as connection:
            store.request_cancel(connection, self._kit, key)
        return operations_pb2.CancelOperationResponse()

    def _load(self, key: UUID) -> operations_pb2.Operation:
        with self._db.read() as connection:
            return store.load(connection, self._kit, key)


def _seconds_to_wait(request: operations_pb2.WaitOperationRequest, context: grpc.ServicerContext) -> float:
    """Return how long a call may wait, leaving time to send the answer before its deadline."""
    left = context.time_remaining()
    longest = LONGEST_WAIT if left is None else min(LONGEST_WAIT, left - min(1.0, left * 0.1))
    if not request.HasField("timeout"):
        return longest
    asked = request.timeout.seconds + request.timeout.nanos / 1e9
    if asked < 0:
        raise InvalidArgument.field("timeout", f"must not be negative, got {asked:g} s")
    return min(asked, longest)
