"""Figures that Prometheus reads from a service's database."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from prometheus_client import CollectorRegistry
from rapport.events.v1 import events_pb2

from services.kit.clock import FixedClock
from services.kit.db import Database, make_engine, new_metadata
from services.kit.dead_letters import store as dead_letters
from services.kit.events import store
from services.kit.outbox import NewEvent, append
from services.kit.tables import kit_tables
from services.kit.telemetry.figures import Figures, event_figures
from services.kit.telemetry.pools import Pools
from tests.support.toy import NOW

METADATA = new_metadata()
KIT = kit_tables(METADATA)
OF_EVENTS = event_figures(KIT)


@pytest.fixture
def db(make_database):
    made = Database(make_engine(make_database("toy"), pool_size=3))
    METADATA.create_all(made.engine)
    yield made
    made.close()


def read(db, *, now=NOW, reads=(OF_EVENTS,)):
    """Return the figures of a database by name and labels."""
    registry = CollectorRegistry()
    url = db.engine.url.render_as_string(hide_password=False)
    figures = Figures(url, FixedClock(now), reads, name="test")
    figures.start(registry)
    try:
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in registry.collect()
            for sample in family.samples
        }
    finally:
        figures.stop()
        assert list(registry.collect()) == []


def write(db, count, time):
    """Write events that wait for their positions."""
    with db.transaction() as connection:
        event = NewEvent(
            type="thing.done",
            subject="things/1",
            contact=None,
            revision=1,
            occur_time=time,
            data=StringValue(),
        )
        append(connection, KIT.outbox, [event] * count, record_time=time)


def position(db):
    with db.transaction() as connection:
        store.ensure_stream(connection, KIT)
        store.assign_positions(connection, KIT, 100)


def subscribe(db, name, at, *, timeline=None):
    with db.transaction() as connection:
        head = store.read_head(connection, KIT)
        store.save_cursor(connection, KIT, name, timeline or head.timeline, at, rewind=True, time=NOW)


def test_an_empty_service_waits_for_nothing(db):
    nothing = {("rapport_outbox_waiting_events",): 0, ("rapport_outbox_waiting_seconds",): 0}
    assert read(db) == {**nothing, ("rapport_figures_readable",): 1}


def test_events_wait_for_their_places_and_then_for_their_consumers(db):
    write(db, 7, NOW - timedelta(seconds=90))
    write(db, 3, NOW - timedelta(seconds=30))
    waiting = read(db)
    assert waiting[("rapport_outbox_waiting_events",)] == 10
    assert waiting[("rapport_outbox_waiting_seconds",)] == 90

    position(db)
    for name, at in [("care.on_all", 0), ("campaign.on_all", 7), ("segmentation.on_all", 10)]:
        subscribe(db, name, at)
    subscribe(db, "care.restored", 9, timeline=uuid4())
    found = read(db)
    assert found[("rapport_outbox_waiting_events",)] == 0
    assert {key[1]: value for key, value in found.items() if key[0] == "rapport_consumer_lag_events"} == {
        "care.on_all": 10,
        "campaign.on_all": 3,
        "segmentation.on_all": 0,
        "care.restored": 10,  # its cursor is of a timeline that is no more
    }
    assert {key[1]: value for key, value in found.items() if key[0] == "rapport_consumer_lag_seconds"} == {
        "care.on_all": 90,
        "campaign.on_all": 30,
        "segmentation.on_all": 0,
        "care.restored": 90,
    }
    # A clock that was set back makes no negative ages.
    assert read(db, now=NOW - timedelta(days=1))[("rapport_consumer_lag_seconds", "care.on_all")] == 0


def test_no_number_of_consumers_is_too_many(db):
    write(db, 60, NOW)
    position(db)
    for number in range(150):
        subscribe(db, f"shop.reader-{number}", number % 60)
    shown = [key for key in read(db) if key[0] == "rapport_consumer_lag_events"]
    assert len(shown) == 100
    assert ("rapport_consumer_lag_events", "shop.reader-0") in shown


def test_events_that_were_given_up_are_shown_while_they_are_kept(db):
    with db.transaction() as connection:
        for _ in range(2):
            event = events_pb2.Event(id=str(uuid4()), source="sales", type="order.placed")
            dead_letters.bury(connection, KIT, "toy.on_sales", event, ValueError("no"), NOW)
    assert read(db)[("rapport_dead_letters_kept", "toy.on_sales")] == 2


def test_what_cannot_be_read_is_missing_and_said(db):
    def broken(connection, now):
        connection.exec_driver_sql("SELECT * FROM no_such_table")

    found = read(db, reads=(OF_EVENTS, broken))
    assert found[("rapport_figures_readable",)] == 0
    assert found[("rapport_outbox_waiting_events",)] == 0


def test_the_pool_is_shown(db):
    pools = Pools()
    pools.watch(db.engine)

    def shown():
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in pools.collect()
            for sample in family.samples
        }

    with db.read(), db.read():
        assert shown()[("rapport_database_pool_connections", "in_use")] == 2
    after = shown()
    assert after[("rapport_database_pool_connections", "in_use")] == 0
    assert after[("rapport_database_pool_connections", "idle")] >= 2
    assert after[("rapport_database_pool_size",)] == 3
