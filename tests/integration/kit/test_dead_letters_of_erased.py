"""What a consumer gives up of a contact that was erased before is not kept, as nobody would erase it any more."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from rapport.events.v1 import events_pb2

from services.kit.config import SERVICES
from services.kit.db import make_engine
from services.kit.dead_letters import store
from tests.support.postgres import DatabaseFactory

NOW = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)


def event_of(contact: UUID, type: str) -> events_pb2.Event:
    return events_pb2.Event(id=str(uuid4()), type=type, source="contacts", contact=f"contacts/{contact}")


@pytest.mark.parametrize("service", SERVICES)
def test_an_event_of_an_erased_contact_is_not_kept(service: str, make_database: DatabaseFactory) -> None:
    engine = make_engine(make_database.with_tables(service))
    models = importlib.import_module(f"services.{service}.models")
    known, erased, merged = uuid4(), uuid4(), uuid4()
    events = {
        "of one who is here": event_of(known, "activity.recorded"),
        "of one who was erased": event_of(erased, "activity.recorded"),
        "of one who was merged": event_of(merged, "activity.recorded"),
        # Its effect is the erasure, or part of it.
        "of the erasure": event_of(erased, "contact.erased"),
        "of nobody": events_pb2.Event(id=str(uuid4()), type="product.updated", source="sales"),
    }
    with engine.begin() as connection:
        gone = [
            {"contact_id": erased, "into": None, "time": NOW},
            {"contact_id": merged, "into": known, "time": NOW},
        ]
        connection.execute(sa.insert(models.contact_gone), gone)
        for event in events.values():
            store.bury(connection, models.kit, f"{service}.handler", event, ValueError("no"), NOW)
        kept = {str(key) for key in connection.scalars(sa.select(models.kit.dead_letter.c.event_id))}
    engine.dispose()
    assert {what for what, event in events.items() if event.id not in kept} == {"of one who was erased"}
