"""Messages that end whoever makes them ready: found among the others, which are sent, and given up."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pluggy
import pytest
import sqlalchemy as sa
from rapport.campaign.v1 import events_pb2
from rapport_sdk import OutboundMessage

from services.campaign.domain.deaths import ALONE, ENDED, FAULT, GIVEN_UP, MOST_DEATHS, SHARES
from services.campaign.domain.ledger import MAX_ATTEMPTS
from services.campaign.domain.resolutions import AS_RETRY
from services.campaign.models import channel, kit, message
from services.campaign.store import ledger, recovering
from services.campaign.store.claims import Claim
from services.campaign.usecases import resolving, sending
from services.campaign.usecases.recording import Recorder
from services.campaign.usecases.sending import Sender
from services.kit.clock import FixedClock
from services.kit.locks import Locks
from services.kit.names import new_id
from services.kit.plugins import PluginManager, PluginSource
from tests.support.campaign import NOW
from tests.support.campaign_limits import SURE, Hall, drain, open_hall, tape_plugin
from tests.support.postgres import DatabaseFactory
from tests.support.schema import create_schema


class Died(BaseException):
    """End a sender as kill -9 does: nothing of it is written down any more."""


@pytest.fixture(scope="module")
def open_one(make_module_database: DatabaseFactory) -> Iterator[Hall]:
    url = make_module_database("campaign")
    create_schema("campaign", url)
    with open_hall(url, FixedClock(NOW)) as made:
        yield made


@pytest.fixture
def hall(open_one: Hall, monkeypatch: pytest.MonkeyPatch) -> Hall:
    open_one.empty()
    release = Recorder.release

    def unless_dead(self: Recorder, *given: object) -> None:
        if not isinstance(sys.exception(), Died):
            release(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Recorder, "release", unless_dead)
    return open_one


def with_killer(hall: Hall, killer: str) -> PluginManager:
    """Return the channels of the hall, and a plugin that ends its process when it is shown a message to somebody."""

    class Plugin:
        @pluggy.HookimplMarker("rapport")
        def rapport_send_veto(self, message: OutboundMessage) -> None:
            if message.to == killer:
                raise Died

    sources = [tape_plugin(hall.tape), PluginSource("killer", Plugin)]
    made = PluginManager(("tape", "killer"), ("tape", "killer"), {}, sources=sources)
    made.load()
    return made


def lives(hall: Hall, manager: PluginManager) -> bool:
    """Let a sender work until nothing is due, and say whether it lives."""
    locks = Locks(hall.runtime.db.engine)
    sender = Sender(hall.runtime, manager, locks, call_seconds=60)
    try:
        drain(sender)
    except Died:
        return False
    finally:
        locks.close()
        sender.close()
    return True


def test_a_message_that_kills_its_senders_is_found_and_all_others_are_sent(hall: Hall) -> None:
    people = hall.world.add(600)
    hall.campaign(people)
    killer = people[7]
    manager = with_killer(hall, hall.world.people[killer].address)
    in_hand: list[int] = []
    assert isinstance(hall.runtime.clock, FixedClock)
    for _ in range(MOST_DEATHS + 40):
        if lives(hall, manager) and all(row.state != "planned" for row in hall.rows()):
            break
        if held := [row for row in hall.rows() if row.state == "claimed"]:
            in_hand.append(len(held))
        hall.runtime.clock.instant += timedelta(minutes=10)
    assert len(in_hand) == MOST_DEATHS
    assert all(count <= share for count, share in zip(in_hand, SHARES, strict=False))
    assert in_hand[ALONE:] == [1, 1, 1]
    by_contact = {row.contact_id: row for row in hall.rows()}
    failed = by_contact.pop(UUID(killer.partition("/")[2]))
    assert (failed.state, failed.reason, failed.death_count) == ("failed", GIVEN_UP, MOST_DEATHS)
    assert {row.state for row in by_contact.values()} == {"sent"}
    assert set(Counter(item.to for _, item in hall.tape.taken).values()) == {1}
    assert len(hall.tape.taken) == 599
    with hall.runtime.db.read() as connection:
        told = connection.execute(sa.select(kit.outbox.c.data).where(kit.outbox.c.type == "message.failed"))
        [event] = [events_pb2.MessageFinished.FromString(bytes(row.data)) for row in told]
    assert (event.message, event.reason) == (f"messages/{failed.id}", GIVEN_UP)


def test_a_message_that_cannot_be_made_ready_is_found_and_all_others_are_sent(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = hall.world.add(120)
    hall.campaign(people)
    bad = people[7]
    original = sending.prepare
    together: list[int] = []

    def breaks(runtime: Any, manager: Any, several: Sequence[Claim], *rest: Any) -> Any:
        if any(f"contacts/{claim.contact_id}" == bad for claim in several):
            together.append(len(several))
            raise KeyError("anna@example.test")
        return original(runtime, manager, several, *rest)

    monkeypatch.setattr(sending, "prepare", breaks)
    assert isinstance(hall.runtime.clock, FixedClock)
    sender = hall.sender()
    for _ in range(MOST_DEATHS + 40):
        try:
            drain(sender)
        except KeyError:
            # As the sender's thread goes on after any error.
            hall.runtime.clock.instant += timedelta(minutes=10)
        if all(row.state != "planned" for row in hall.rows()):
            break
        hall.runtime.clock.instant += timedelta(minutes=10)
    assert len(together) == MOST_DEATHS
    assert together[ALONE:] == [1, 1, 1]
    by_contact = {row.contact_id: row for row in hall.rows()}
    failed = by_contact.pop(UUID(bad.partition("/")[2]))
    assert (failed.state, failed.death_count) == ("failed", MOST_DEATHS)
    assert failed.reason.startswith(f"{FAULT}: KeyError")
    assert "anna" not in failed.reason
    assert {row.state for row in by_contact.values()} == {"sent"}
    assert set(Counter(item.to for _, item in hall.tape.taken).values()) == {1}
    with hall.runtime.db.read() as connection:
        told = connection.execute(sa.select(kit.outbox.c.data).where(kit.outbox.c.type == "message.failed"))
        [event] = [events_pb2.MessageFinished.FromString(bytes(row.data)) for row in told]
    assert (event.message, event.reason) == (f"messages/{failed.id}", failed.reason)


def test_a_message_that_is_to_be_alone_waits_and_says_why(hall: Hall) -> None:
    hall.campaign(hall.world.add())
    dead = new_id()
    with hall.runtime.db.transaction() as connection:
        connection.execute(sa.update(message).values(state="claimed", sender_id=dead, death_count=ALONE))
        assert recovering.try_recover(connection, dead, NOW).planned == 1
        counts = ledger.counts(connection, ["campaigns/spring"])["campaigns/spring"]
    assert counts.waiting_by_reason == {ENDED: 1}
    [row] = hall.rows()
    assert row.reason == f"{ENDED}: its sender ended {ALONE + 1} times while it was in hand"
    assert timedelta(minutes=1.5) <= row.due_time - NOW <= timedelta(minutes=2.5)
    drain(hall.sender())
    assert hall.rows()[0].state == "planned"
    assert isinstance(hall.runtime.clock, FixedClock)
    hall.runtime.clock.instant += timedelta(minutes=3)
    drain(hall.sender())
    assert (hall.rows()[0].state, hall.rows()[0].reason) == ("sent", "")


def test_what_was_on_the_wire_never_fails_by_itself_and_goes_alone_when_somebody_wants_it_again(
    hall: Hall,
) -> None:
    hall.campaign(hall.world.add(), channel=SURE, unknown_policy="retry")
    dead = new_id()
    with hall.runtime.db.transaction() as connection:
        values = {"name": SURE, "address_kind": "email", "idempotent": True, "when_gone": "hold"}
        connection.execute(sa.insert(channel).values(values))
        on_the_wire = {"state": "sending", "sender_id": dead, "death_count": MOST_DEATHS}
        connection.execute(sa.update(message).values(**on_the_wire, attempt_count=MOST_DEATHS))
        assert recovering.try_recover(connection, dead, NOW) == recovering.Recovered(planned=1)
        connection.execute(sa.update(message).values(**on_the_wire, attempt_count=MAX_ATTEMPTS))
        assert recovering.try_recover(connection, dead, NOW) == recovering.Recovered(unknown=1)
    [row] = hall.rows()
    resolving.resolve_message(hall.runtime, row.id, AS_RETRY)
    [row] = hall.rows()
    assert (row.state, row.death_count) == ("planned", ALONE)
