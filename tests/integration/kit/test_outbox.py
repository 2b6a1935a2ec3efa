"""Events are written with the trace of the request that caused them."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest
import sqlalchemy as sa
from google.protobuf.wrappers_pb2 import StringValue

from services.kit import context
from services.kit.context import CallContext
from services.kit.db import Database, make_engine, new_metadata
from services.kit.outbox import NewEvent, append
from services.kit.tables import kit_tables

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
metadata = new_metadata()
kit = kit_tables(metadata)


@pytest.fixture(scope="module")
def db(make_module_database):
    database = Database(make_engine(make_module_database("contacts")))
    metadata.create_all(database.engine)
    yield database
    database.close()


# A few rows go by INSERT, many by COPY.
@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize("trace", ["", TRACE])
def test_the_trace_is_kept(db, count, trace):
    subject = f"things/{uuid4()}"
    event = NewEvent(
        type="thing.made",
        subject=subject,
        contact=None,
        revision=1,
        occur_time=NOW,
        data=StringValue(value="x"),
    )
    with context.activate(CallContext("r", traceparent=trace)), db.transaction() as connection:
        assert append(connection, kit.outbox, [event] * count, record_time=NOW) == count
    with db.read() as connection:
        query = sa.select(kit.outbox.c.traceparent).where(kit.outbox.c.subject == subject)
        assert list(connection.execute(query).scalars()) == [trace] * count
