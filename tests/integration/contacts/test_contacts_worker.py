"""The worker of contacts as a process of its own: imports that outlive it, and wishes that reach care."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from google.protobuf.message import Message
from rapport.care.v1 import events_pb2 as care
from rapport.contacts.v1 import contacts_pb2 as pb
from rapport.operations.v1 import operations_pb2

from services.contacts.models import contact, kit
from services.contacts.usecases import consents
from services.contacts.usecases.upsert import upsert_contact
from services.kit.auth import create_tokens
from services.kit.config import Settings
from services.kit.names import parse_name
from services.kit.operations import store as operations
from services.kit.outbox import NewEvent, append
from services.kit.runtime import make_runtime
from tests.support.contacts_data import count, counts, draft, email, every, start_import, written_events
from tests.support.postgres import DatabaseFactory
from tests.support.rabbit import clean_environment
from tests.support.toy import NOW, ROOT, Source, ToyWorker, eventually, free_base_port


class Workplace:
    """A database of contacts, care's events, and worker processes."""

    def __init__(self, folder: Path, contacts_url: str, care_url: str) -> None:
        tokens = create_tokens(folder / "tokens.json")
        self.environment = {
            **clean_environment(),
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos'}{os.pathsep}{ROOT / 'protos' / 'gen'}",
            "RAPPORT_DATA_DIR": str(folder),
            "RAPPORT_BASE_PORT": str(free_base_port()),
            "RAPPORT_CONTACTS_DATABASE_URL": contacts_url,
            "RAPPORT_CLOCK": f"fixed:{NOW.isoformat()}",
            "RAPPORT_SECRET_KEY": "a secret of the tests only",
            "RAPPORT_TOKEN": tokens["contacts"],
        }
        self.settings = Settings(
            data_dir=folder,
            base_port=int(self.environment["RAPPORT_BASE_PORT"]),
            contacts_database_url=contacts_url,
            secret_key="a secret of the tests only",
            clock=self.environment["RAPPORT_CLOCK"],
        )
        self.runtime = make_runtime("contacts", "api", self.settings)
        self.care = Source("care", care_url, self.settings)
        self.worker = ToyWorker(self.environment, self.settings, folder / "worker.log", "services.contacts")

    def load(self, name: str) -> operations_pb2.Operation:
        """The operation as it is now."""
        with self.runtime.db.read() as connection:
            return operations.load(connection, kit, parse_name(name, "operations"))

    def done(self, name: str, result: Message) -> None:
        """Wait for the end of an operation and unpack its result."""
        operation = eventually(lambda: self.load(name).done and self.load(name), 120)
        assert operation.response.Unpack(result), operation.error

    def wish(self, key: UUID | str, topic: str = "marketing") -> None:
        """Let care say that a contact wants to be left alone."""
        event = NewEvent(
            type="unsubscribe.requested",
            subject=f"contacts/{key}",
            contact=UUID(str(key)),
            revision=1,
            occur_time=NOW,
            data=care.UnsubscribeRequested(channel="email", topic=topic),
        )
        with self.care.db.transaction() as connection:
            append(connection, self.care.kit.outbox, [event], record_time=NOW)

    def close(self) -> None:
        """End all processes."""
        if self.worker.process is not None and self.worker.process.poll() is None:
            self.worker.kill()
        self.care.close()
        self.runtime.close()


@pytest.fixture
def place(tmp_path: Path, make_database: DatabaseFactory) -> Iterator[Workplace]:
    made = Workplace(tmp_path, make_database.with_tables("contacts"), make_database("care"))
    yield made
    made.close()


def test_an_import_survives_the_death_of_its_worker_with_nothing_lost_or_doubled(place: Workplace) -> None:
    rows = 40_000
    data = b"email,given_name,phone\n" + b"".join(
        b"bad,row,\n" if n % 1000 == 999 else b"p%d@example.test,P%d,+8490%07d\n" % (n, n, n)
        for n in range(rows)
    )
    name = start_import(place.runtime, data)
    killed = 0
    for least in (1, 10_001, 20_001):
        place.worker.start(wait=False)
        eventually(lambda least=least: place.load(name).progress.completed >= least, 120)
        place.worker.kill()
        killed += not place.load(name).done
    assert killed, "the import was faster than the test: give it more rows"
    # What is committed is a whole number of batches, and says so itself.
    progress = place.load(name).progress
    assert count(place.runtime.db) == progress.completed - progress.completed // 1000
    place.worker.start(wait=False)
    result = pb.ImportContactsResult()
    place.done(name, result)
    assert counts(result) == (rows, rows - 40, 0, 0, 40)
    found = every(place.runtime)
    assert len(found) == rows - 40
    assert {one.revision for one in found} == {1}
    created = [key for kind, key, *_ in written_events(place.runtime.db) if kind == "contact.created"]
    assert len(created) == len(set(created)) == rows - 40


def test_a_wish_that_reached_care_becomes_a_refusal_once(place: Workplace) -> None:
    place.care.start_relay()
    place.care.start_server()
    made, _ = upsert_contact(place.runtime, draft(email("a")))
    place.wish(made.id)
    place.wish(made.id)
    place.wish(uuid4())
    place.wish(made.id, topic="news")
    place.worker.start()

    def topics() -> set[str]:
        (one,) = every(place.runtime)
        return set(one.consents)

    eventually(lambda: topics() == {"email_marketing", "email_news"})
    (after,) = every(place.runtime)
    refusal = after.consents["email_marketing"]
    assert (refusal.granted, refusal.source, refusal.decide_time) == (False, "unsubscribe mail", NOW)
    history, _ = consents.page(place.runtime, made.id, None, 100)
    assert len(history) == 2
    assert after.update_time.tzinfo == UTC
    assert written_events(place.runtime.db)[-1][0] == "contact.updated"
    with place.runtime.db.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(kit.dead_letter)).scalar_one() == 0
        assert connection.execute(sa.select(contact.c.revision)).scalar_one() == after.revision


def test_the_worker_tells_that_it_is_ready_without_care(place: Workplace) -> None:
    place.worker.start()
    assert place.worker.health()["ready"]
    place.worker.signal()
    assert place.worker.wait() == 0
