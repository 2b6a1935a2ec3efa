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
    eventually(lambda: toy.effects() == ["fine", "well"])

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


def test_a_replay_that_ends_its_process_is_given_up(toy: Toy) -> None:
    toy.source.start_relay()
    toy.source.start_server()
    worker = toy.worker().start()
    # What a worker catches up with may come by the queue too, and end it then in place of the replay.
    eventually(toy.worker_receives)
    toy.source.say("deadly")
    eventually(lambda: letters(toy) and toy.cursors().get(GREETER) == 1)
    (toy.folder / "gates" / "deadly").touch()
    replay(toy)
    for begun in range(1, store.MOST_BEGUN + 1):
        eventually(lambda: worker.process.poll() is not None)
        (letter,) = letters(toy)
        assert letter.replay_time is not None
        assert letter.error.endswith(f"have not ended, as when the process ends of them: {begun}")
        worker.start(wait=False)
    (letter,) = eventually(lambda: letters(toy)[0].replay_time is None and letters(toy))
    assert "a greeting that nobody can bear" in letter.error
    assert letter.error.endswith("ends of them: 3")
    said = toy.source.say("well")
    eventually(lambda: toy.effects() == said)

    # Once what killed it is mended, it is put back like any other.
    (toy.folder / "gates" / "deadly").unlink()
    (toy.folder / "gates" / "antidote").touch()
    assert replay(toy) == 1
    eventually(lambda: letters(toy) == [])
    assert toy.effects() == ["well", "deadly"]


def test_what_is_dropped_while_it_waits_has_no_effect_and_does_not_come_back(toy: Toy) -> None:
    toy.source.start_relay()
    toy.source.start_server()
    toy.worker().start()
    toy.source.say("poison:gate", "poison", "poison")
    every = eventually(lambda: len(letters(toy)) == 3 and letters(toy))
    in_hand, waiting, _ = sorted(every, key=lambda row: row.event_id)  # in the order in which they were said
    (toy.folder / "gates" / "gated").touch()
    assert replay(toy) == 3
    eventually(lambda: toy.reached("poison"))
    with toy.db.transaction() as connection:
        keys = [in_hand.event_id, waiting.event_id]
        assert store.drop(connection, toy.models.kit, GREETER, keys).changed == 2
    (toy.folder / "gates" / "antidote").touch()
    toy.open_gate("poison")
    eventually(lambda: toy.effects() == ["poison"])
    eventually(lambda: letters(toy) == [])
    assert toy.effects() == ["poison"]


def test_a_replay_asked_for_as_the_one_before_fails_is_not_forgotten(toy: Toy) -> None:
    toy.source.start_relay()
    toy.source.start_server()
    worker = toy.worker().start()
    toy.source.say("poison")
    (letter,) = eventually(lambda: letters(toy))
    worker.signal()
    assert worker.wait() == 0
    kit = toy.models.kit
    replay(toy)
    event = store.events_pb2.Event.FromString(letter.event)
    with toy.db.transaction() as connection:
        assert store.begin_replay(connection, kit, GREETER, letter.event_id)
        store.fail_again(connection, kit, GREETER, event, ValueError("once more"), LATER)
    # Before the worker is back from it, somebody else asks for it.
    replay(toy)
    with toy.db.transaction() as connection:
        assert store.begin_replay(connection, kit, GREETER, letter.event_id)
        store.put_off_replay(connection, kit, GREETER, letter.event_id)
    assert letters(toy)[0].error.endswith("ValueError: once more")
    (toy.folder / "gates" / "antidote").touch()
    worker.start()
    eventually(lambda: toy.effects() == ["poison"])
    eventually(lambda: letters(toy) == [])
