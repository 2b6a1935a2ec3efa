"""`rapport events dead-letters` against a served contacts service with its worker."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from uuid import uuid4

import pytest
import sqlalchemy as sa
from google.protobuf.wrappers_pb2 import StringValue
from rapport.care.v1 import events_pb2 as care
from rapport.events.v1 import events_pb2

from services.contacts.models import kit
from services.kit.dead_letters import store
from tests.integration.cli.conftest import Office
from tests.support.cli import run_cli
from tests.support.stack import NOW

CONSUMER = "contacts.on_unsubscribe"
NOBODY = "contacts.nobody_listens"
COMMAND = ("events", "dead-letters")

dead_letters = importlib.import_module("services.cli.events.dead_letters")


@pytest.fixture(autouse=True)
def none_before(contacts: Office) -> Iterator[None]:
    yield
    with contacts.served.runtime.db.transaction() as connection:
        connection.execute(sa.delete(kit.dead_letter))


def bury(contacts: Office, consumer: str = NOBODY, *, usable: bool = True) -> str:
    event = events_pb2.Event(id=str(uuid4()), type="unsubscribe.requested", source="care")
    event.subject = event.contact = f"contacts/{uuid4()}"
    event.record_time.FromDatetime(NOW)
    event.occur_time.FromDatetime(NOW)
    wish = care.UnsubscribeRequested(channel="email", topic="news")
    event.data.Pack(wish if usable else StringValue(value="what is this"))
    with contacts.served.runtime.db.transaction() as connection:
        store.bury(connection, kit, consumer, event, ValueError("the file of wishes is full"), NOW)
    return event.id


def left(contacts: Office) -> set[str]:
    with contacts.served.runtime.db.read() as connection:
        return {str(key) for key in connection.execute(sa.select(kit.dead_letter.c.event_id)).scalars()}


def test_they_are_listed(contacts: Office) -> None:
    key, other = bury(contacts), bury(contacts)
    ran = contacts.rapport(*COMMAND, "list", "--consumer", NOBODY)
    assert (ran.code, ran.err) == (0, "")
    assert key in ran.out
    assert "unsubscribe.requested of care" in ran.out
    assert "ValueError: the file of wishes is full" in ran.out
    assert "Traceback" not in ran.out
    assert "Traceback" in contacts.rapport(*COMMAND, "list", "--consumer", NOBODY, "--errors").out
    cut = contacts.rapport(*COMMAND, "list", "--consumer", NOBODY, "--limit", "1")
    assert (key in cut.out) != (other in cut.out)
    assert "there are more of contacts; raise --limit" in cut.err
    told = json.loads(contacts.rapport(*COMMAND, "list", "--consumer", NOBODY, "--json").out)
    assert {letter["event"]["id"] for letter in told["dead_letters"]} == {key, other}
    assert told["services_with_more"] == []
    empty = contacts.rapport(*COMMAND, "list", "--consumer", "contacts.another")
    assert (empty.code, empty.out.strip()) == (0, "no dead letters")


def test_a_replay_reaches_its_consumer_and_says_what_came_of_it(
    contacts: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = bury(contacts, CONSUMER), bury(contacts, CONSUMER, usable=False)
    ran = contacts.rapport(*COMMAND, "replay", CONSUMER, good, bad, "--wait")
    assert f"2 dead letters put back to {CONSUMER}" in ran.out
    assert "1 of them had their effect, 1 failed again" in ran.out
    assert ran.code == 1
    assert left(contacts) == {bad}
    # What is given up while one waits is no failure of what was put back.
    listed = dead_letters._all

    looks: list[int] = []

    def meanwhile(*arguments: object) -> Iterator[object]:
        looks.append(1)
        if len(looks) == 2:
            bury(contacts, CONSUMER, usable=False)
        yield from listed(*arguments)

    monkeypatch.setattr(dead_letters, "_all", meanwhile)
    again = contacts.rapport(*COMMAND, "replay", CONSUMER, "--all", "--wait", "--json")
    assert json.loads(again.out) == {
        "replayed": 1, "waiting_before": 0, "missing": [], "failed_again": [bad]
    }  # fmt: skip


def test_a_replay_whose_worker_does_not_run_waits(contacts: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    key, absent = bury(contacts), str(uuid4())
    ran = contacts.rapport(*COMMAND, "replay", NOBODY, key, absent)
    assert ran.code == 1
    assert f"1 dead letter put back to {NOBODY}" in ran.out
    assert ran.err.strip() == f"{NOBODY} has no dead letter {absent}"
    again = contacts.rapport(*COMMAND, "replay", NOBODY, key)
    assert again.code == 0
    assert f"0 dead letters put back to {NOBODY}\n1 had been put back before" in again.out
    monkeypatch.setattr(dead_letters, "_PATIENCE_SECONDS", 0.0)
    unheard = contacts.rapport(*COMMAND, "replay", NOBODY, "--all", "--wait")
    assert unheard.code == 1
    assert f"1 dead letter put back to {NOBODY} still waiting: does the worker of contacts run" in unheard.err
    assert "put back, waits for its worker" in contacts.rapport(*COMMAND, "list", "--consumer", NOBODY).out


def test_a_drop_is_asked_about_and_exact(contacts: Office) -> None:
    key, other, absent = bury(contacts), bury(contacts), str(uuid4())
    refused = contacts.rapport(*COMMAND, "drop", NOBODY, key)
    assert refused.code == 1
    assert left(contacts) == {key, other}
    ran = contacts.rapport(*COMMAND, "drop", NOBODY, key, absent, "--yes", "--json")
    assert (ran.code, json.loads(ran.out)) == (1, {"dropped": 1, "missing": [absent]})
    assert left(contacts) == {other}
    assert "1 dead letter of" in contacts.rapport(*COMMAND, "drop", NOBODY, "--all", "--yes").out
    assert left(contacts) == set()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("replay", "nobody.at_all", "--all"), 1, "no consumer can be called 'nobody.at_all'"),
        (("replay", "contacts", "--all"), 1, "write <service>.<handler>"),
        (("replay", NOBODY), 2, "name events by their ids, or give --all"),
        (("drop", NOBODY, str(uuid4()), "--all", "--yes"), 2, "and not both"),
        (("drop", NOBODY, "--all", "--json"), 2, "add --yes"),
        (("replay", NOBODY, "no-uuid"), 1, "event_ids[0]: expected the id of an event"),
    ],
)
def test_what_makes_no_sense_is_refused(
    contacts: Office, arguments: tuple[str, ...], code: int, said: str
) -> None:
    ran = contacts.rapport(*COMMAND, *arguments)
    assert ran.code == code
    assert said in " ".join(ran.err.split())


def test_without_an_installation_it_says_how_to_name_one() -> None:
    ran = run_cli(*COMMAND, "list", environment={"RAPPORT_DATA_DIR": "/nowhere"})
    assert ran.code == 1
    assert "RAPPORT_ADDRESS" in ran.err
