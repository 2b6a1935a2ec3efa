"""Dead letters that are put back: real workers, on each transport."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import Row

from services.kit.dead_letters import store
from tests.support.postgres import DatabaseFactory
from tests.support.toy import Toy, eventually

GREETER = "contacts.on_greeting"
LATER = datetime(2026, 3, 1, 11, 0, tzinfo=UTC)


@pytest.fixture
def toy(tmp_path: Path, make_database: DatabaseFactory) -> Iterator[Toy]:
    made = Toy(tmp_path, make_database("sales"), make_database("contacts"))
    yield made
    made.close()


def letters(toy: Toy) -> list[Row[tuple[object, ...]]]:
    table = toy.models.kit.dead_letter
    with toy.db.read() as connection:
        return list(connection.execute(sa.select(table).order_by(table.c.event_id)))


def replay(toy: Toy, keys: list[UUID] | None = None) -> int:
    with toy.db.transaction() as connection:
        return store.ask_for_replay(connection, toy.models.kit, GREETER, keys, LATER).changed


def test_a_replay_has_its_effect_once_or_tells_the_new_error(toy: Toy) -> None:
    toy.source.start_relay()
    toy.source.start_server()
    toy.worker().start()
    toy.source.say("fine", "poison", "poison", "well")
    first, second = eventually(lambda: len(letters(toy)) == 2 and letters(toy))
    assert toy.effects() == ["fine", "well"]

    # Nothing has been mended: it fails again, says so, and waits for nobody.
    assert replay(toy, [first.event_id]) == 1
    eventually(lambda: letters(toy)[0].replay_time is None)
    again = letters(toy)
    assert [row.event_id for row in again] == [first.event_id, second.event_id]
    assert "a greeting that nobody can bear" in again[0].error
    assert toy.effects() == ["fine", "well"]

    (toy.folder / "gates" / "antidote").touch()
    assert replay(toy) == 2
    eventually(lambda: letters(toy) == [])
    assert toy.effects() == ["fine", "well", "poison", "poison"]
    # And those that had their effect in some other way have none again.
    with toy.db.transaction() as connection:
        event = store.events_pb2.Event.FromString(first.event)
        store.bury(connection, toy.models.kit, GREETER, event, ValueError("by mistake"), LATER)
    assert replay(toy) == 1
    eventually(lambda: letters(toy) == [])
    assert toy.effects() == ["fine", "well", "poison", "poison"]
