"""Records of what a consumer has done, and their upkeep."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa
from google.protobuf.wrappers_pb2 import StringValue
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rapport.events.v1 import events_pb2

from services.kit.bus import consumer
from services.kit.bus.batch import EventBatch
from services.kit.clock import FixedClock
from services.kit.db import Database, make_engine
from services.kit.dead_letters import store as dead_letters
from services.kit.locks import Locks
from services.kit.operations import create, store
from services.kit.upkeep import Upkeep
from tests.support.postgres import DatabaseFactory
from tests.support.toy import rolled_back
from tests.support.toyconsumer import models

NOW = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
kit = models.kit


@pytest.fixture(scope="module")
def db(make_module_database: DatabaseFactory) -> Iterator[Database]:
    engine = make_engine(make_module_database("contacts"))
    models.metadata.create_all(engine)
    made = Database(engine)
    yield made
    made.close()


def event(position: int, *, days_old: int = 0) -> events_pb2.Event:
    made = events_pb2.Event(id=str(uuid4()), type="greeting.said", source="sales", position=position)
    made.record_time.FromDatetime(NOW - timedelta(days=days_old))
    made.data.Pack(StringValue(value=str(position)))
    return made


def claim(db: Database, name: str, events: list[events_pb2.Event]) -> list[int]:
    with db.transaction() as connection:
        return [found.position for found in EventBatch(name, events).claim(connection, kit)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), max_size=12), max_size=6))
def test_each_event_is_claimed_once_by_each_consumer_in_order(db: Database, batches: list[list[int]]) -> None:
    events = [event(number) for number in range(10)]
    name = f"toy.{uuid4()}"
    seen: set[int] = set()
    for batch in batches:
        fresh = [
            number for index, number in enumerate(batch) if number not in seen and number not in batch[:index]
        ]
        assert claim(db, name, [events[number] for number in batch]) == fresh
        seen |= set(batch)
    assert claim(db, f"{name}.other", events) == list(range(10))


def test_a_rolled_back_claim_is_none(db: Database) -> None:
    events, name = [event(1)], f"toy.{uuid4()}"
    with rolled_back(db) as connection:
        EventBatch(name, events).claim(connection, kit)
    assert claim(db, name, events) == [1]


def test_claims_at_once_share_the_events_between_them(db: Database) -> None:
    events, name = [event(number) for number in range(200)], f"toy.{uuid4()}"
    claimed: list[int] = []
    start = threading.Barrier(4)

    def take(part: list[events_pb2.Event]) -> None:
        start.wait()
        claimed.extend(claim(db, name, part))

    # Overlapping, and in opposite orders: without an order of its own the claim would deadlock.
    parts = [events, events[::-1], events[50:], events[:150][::-1]]
    threads = [threading.Thread(target=take, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == list(range(200))


def test_records_are_kept_until_their_event_cannot_come_again(db: Database) -> None:
    name = f"toy.{uuid4()}"
    old, unacknowledged, young = event(1, days_old=90), event(2, days_old=90), event(3, days_old=10)
    assert claim(db, name, [old, unacknowledged, young]) == [1, 2, 3]
    with db.transaction() as connection:
        before = NOW - timedelta(days=60)
        assert consumer.forget_processed(connection, kit, name, before=before, until=1) == 1
    assert claim(db, name, [old, unacknowledged, young]) == [1]


def test_a_dead_letter_keeps_the_latest_error_and_no_personal_data(db: Database) -> None:
    name, bad = f"toy.{uuid4()}", event(7)
    bad.contact = f"contacts/{uuid4()}"
    for message in ("first", "second \0 for jane@example.test"):
        with db.transaction() as connection:
            dead_letters.bury(connection, kit, name, bad, ValueError(message), NOW)
    table = kit.dead_letter
    with db.read() as connection:
        letter = connection.execute(sa.select(table).where(table.c.consumer == name)).one()
    assert f"contacts/{letter.contact_id}" == bad.contact
    assert events_pb2.Event.FromString(letter.event) == bad
    assert "second" in letter.error
    assert "first" not in letter.error
    assert "jane@" not in letter.error


def test_upkeep_deletes_what_is_past_its_retention(db: Database) -> None:
    clock = FixedClock(NOW)
    log = kit.request_log
    with db.transaction() as connection:
        operation = create(connection, kit, "count", StringValue(), clock)
        key = sa.select(kit.operation.c.id).where(kit.operation.c.kind == "count")
        claimed = store.claim(connection, kit, connection.execute(key).scalar_one())
        assert claimed is not None
        store.finish(connection, kit, claimed.id, claimed.attempt, StringValue(), NOW)
        create(connection, kit, "other", StringValue(), clock)
        row = {"request_type": "t", "request_hash": b"", "response_type": "t", "response": b""}
        for days, request_id in ((31, "old"), (1, "young")):
            time = NOW - timedelta(days=days)
            connection.execute(sa.insert(log).values(**row, request_id=request_id, create_time=time))
    locks = Locks(db.engine)
    upkeep = Upkeep(db, kit, clock, locks, retention_days=30)
    assert upkeep.run_once() == 1
    clock.instant = NOW + timedelta(days=31)
    assert upkeep.run_once() == 2
    assert upkeep.run_once() == 0
    locks.close()
    with db.read() as connection:
        kinds = connection.execute(sa.select(kit.operation.c.kind)).scalars().all()
    assert kinds == ["other"]
    assert operation.kind == "count"
