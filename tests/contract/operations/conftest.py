"""The long-running operations of sales over a real port, with a worker's side at hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import Int64Value
from google.rpc.status_pb2 import Status
from rapport.operations.v1 import operations_pb2

from services.kit.operations import create, store
from services.sales import models
from tests.support.postgres import DatabaseFactory
from tests.support.stack import Served, serve


@dataclass
class Work:
    """A served API with operations that the test starts and ends as a worker would."""

    served: Served

    @property
    def api(self) -> Any:
        """The client with the owner's token."""
        return self.served.client

    def start(self) -> operations_pb2.Operation:
        """Record an operation."""
        with self.served.runtime.db.transaction() as connection:
            return create(
                connection, models.kit, "count", Int64Value(value=3), self.served.clock, unit="rows", total=3
            )

    def end(self, operation: operations_pb2.Operation, outcome: Message | Status) -> None:
        """End an operation with a result or an error."""
        key = UUID(operation.name.removeprefix("operations/"))
        with self.served.runtime.db.transaction() as connection:
            claimed = store.claim(connection, models.kit, key)
            assert claimed is not None
            assert store.finish(
                connection, models.kit, key, claimed.attempt, outcome, self.served.clock.now()
            )


@pytest.fixture(scope="module")
def work(make_module_database: DatabaseFactory) -> Iterator[Work]:
    """The API that the tests of a module share."""
    url = make_module_database.with_tables("sales")
    with serve("sales", url) as served:
        yield Work(served)
