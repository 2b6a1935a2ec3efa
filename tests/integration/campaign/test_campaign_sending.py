"""Sending: who gets a message, who does not, what is tried again, and what is written down."""

from __future__ import annotations

import threading
from datetime import timedelta
from email import message_from_bytes, policy
from uuid import UUID

import pytest
import sqlalchemy as sa
from rapport.campaign.v1 import events_pb2
from rapport_testing.smtp import SmtpServer

from services.campaign.domain.campaigns import DONE
from services.campaign.domain.resolutions import AS_RETRY, AS_SENT
from services.campaign.models import coupon, kit, message, suppression
from services.campaign.store import claims
from services.campaign.usecases import (
    campaigns,
    launching,
    messages,
    rechecking,
    resolving,
    sending,
    suppressions,
    unsubscribing,
    upkeep,
)
from services.campaign.usecases.messages import SingleMessage
from services.campaign.usecases.sending import HAND_OVER, Sender
from services.kit.locks import Locks
from services.kit.names import new_id, parse_name
from services.kit.plugins import PluginManager
from services.kit.runtime import Runtime
from services.kit.signing import CONTACT, MESSAGE
from tests.support.campaign import (
    DENIED,
    World,
    clock_of,
    counts,
    make_campaign,
    make_pool,
    make_template,
    plan,
)


def drain(sender: Sender) -> int:
    total = 0
    while sent := sender.run_once():
        total += sent
    return total


def events(runtime: Runtime, kind: str) -> list[events_pb2.MessageFinished]:
    with runtime.db.read() as connection:
        rows = connection.execute(sa.select(kit.outbox.c.data).where(kit.outbox.c.type == kind)).scalars()
        return [events_pb2.MessageFinished.FromString(bytes(data)) for data in rows]


def rows(runtime: Runtime, key: str = "") -> list[sa.Row]:
    """Return the ledger, or what it has of a campaign."""
    query = sa.select(message).order_by(message.c.id)
    with runtime.db.read() as connection:
        return list(connection.execute(query.where(message.c.origin == f"campaigns/{key}") if key else query))


def test_a_campaign_reaches_each_member_once(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    people = world.add(620)
    world.page = 250
    make_template(runtime, html="<p>{{ contact.display_name }} {{ coupon }}</p>")
    make_pool(runtime)
    make_campaign(runtime, coupon_pool_id="gift")
    op = plan(runtime)
    assert counts(runtime).of("planned") == 620
    assert drain(sender) == 620
    assert launching.launch(runtime, op).of("sent") == 620
    received = smtp.received()
    assert sorted(mail.to for mail in received) == sorted(world.people[name].address for name in people)
    assert len({mail.message_id for mail in received}) == 620
    campaign, done = campaigns.get_campaign(runtime, "spring")
    assert (campaign.state, done.audience, done.of("sent"), done.duplicates) == (DONE, 620, 620, 0)
    told = events(runtime, "message.sent")
    assert {event.origin for event in told} == {"campaigns/spring"}
    assert len({event.message for event in told}) == 620
    with runtime.db.read() as connection:
        codes = set(connection.scalars(sa.select(coupon.c.code)))
    assert len(codes) == 620
    assert {mail.text.strip().removeprefix("Text ") for mail in received} == codes
    assert {row.coupon_code for row in rows(runtime)} == codes
    # The address is nowhere in the ledger, only its keyed hash.
    assert not any("@mail.test" in str(row) for row in rows(runtime))
    assert len({row.recipient_hash for row in rows(runtime)}) == 620


def test_who_must_not_be_written_to_is_told_apart_by_reason(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    make_template(runtime)
    make_campaign(runtime)
    [good] = world.add()
    [withdrawn] = world.add()
    world.add(consent=0)
    world.add(address="")
    world.add(address="Blocked@Mail.test")
    world.add(address="someone@example.com")
    [gone] = world.add()
    suppressions.add_suppressions(runtime, [("email", "bLOCKED@mail.TEST", "hard bounce")])
    plan(runtime)
    # Between the launch and the sending: what counts is this moment.
    world.people[withdrawn].consent = DENIED
    del world.people[gone]
    drain(sender)
    assert [mail.to for mail in smtp.received()] == [world.people[good].address]
    found = counts(runtime)
    assert found.by_reason == {
        "CONSENT_DENIED": 1,
        "NO_CONSENT": 1,
        "NO_ADDRESS": 1,
        "SUPPRESSED": 1,
        "VETOED": 1,
        "CONTACT_GONE": 1,
    }
    assert (found.of("sent"), found.of("suppressed"), found.audience) == (1, 6, 7)
    assert len(events(runtime, "message.suppressed")) == 6


def test_what_changes_while_messages_are_made_ready_still_counts(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_template(runtime)
    make_campaign(runtime)
    good, withdrawn, gone, moved, listed, leaves, other = world.add(7)
    plan(runtime)
    real = sending.prepare
    ready: list[int] = []

    def prepare(*given: object, **options: object) -> sending.Prepared:
        made = real(*given, **options)  # type: ignore[arg-type]
        if not ready:
            world.people[withdrawn].consent = DENIED
            del world.people[gone]
            world.people[moved].address = "new@mail.test"
            suppressions.add_suppressions(
                runtime, [("email", world.people[listed].address.upper(), "bounced")]
            )
            with runtime.db.transaction() as connection:
                for name, topic in ((leaves, "marketing"), (other, "news")):
                    key = parse_name(name, "contacts")
                    unsubscribing.request(connection, key, "email", topic, None, "page", runtime.clock.now())
        ready.append(len(made.ready))
        return made

    monkeypatch.setattr(sending, "prepare", prepare)
    monkeypatch.setattr(rechecking, "FRESH_SECONDS", 0)
    drain(sender)
    assert ready == [7, 1]
    assert counts(runtime).by_reason == {"CONSENT_DENIED": 2, "CONTACT_GONE": 1, "SUPPRESSED": 1}
    assert counts(runtime).of("sent") == 3
    assert {event.reason for event in events(runtime, "message.suppressed")} == counts(
        runtime
    ).by_reason.keys()
    to = [world.people[name].address for name in (good, other, moved)]
    assert sorted(mail.to for mail in smtp.received()) == sorted(to)
    # What is written here holds for a while, whatever contacts answers; a wish that contacts knows is its own.
    assert len(world.asked) == 4


def test_contacts_is_asked_again_only_when_making_ready_took_long(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_template(runtime)
    make_campaign(runtime)
    world.add(3)
    plan(runtime)
    monkeypatch.setattr(rechecking, "FRESH_SECONDS", 3600)
    real = sending.prepare

    def prepare(*given: object, **options: object) -> sending.Prepared:
        made = real(*given, **options)  # type: ignore[arg-type]
        made.asked -= slow
        world.down = bool(slow)
        return made

    monkeypatch.setattr(sending, "prepare", prepare)
    slow = 3601.0
    sender.run_once()
    assert {(row.state, row.reason.partition(":")[0]) for row in rows(runtime)} == {
        ("planned", "CONTACTS_UNAVAILABLE")
    }
    slow, world.down = 0.0, False
    sender.throttle.forget()
    asked = len(world.asked)
    drain(sender)
    assert (counts(runtime).of("sent"), len(world.asked) - asked) == (3, 1)


def test_headers_let_people_answer_and_leave(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    [name] = world.add(display_name='Eve\r\nBcc: all@mail.test "x"', given_name="A\r\nX-Evil: 1")
    make_template(runtime)
    make_campaign(runtime)
    plan(runtime)
    drain(sender)
    [mail] = smtp.received()
    parsed = message_from_bytes(mail.raw, policy=policy.default)
    [row] = rows(runtime)
    assert parsed["Message-ID"] == f"<{row.id}@shop.test>"
    assert parsed["From"] == "care@shop.test"
    assert parsed["Subject"] == row.subject == "Hi A X-Evil: 1"
    assert parsed["Bcc"] is None
    assert parsed["X-Evil"] is None
    reply = str(parsed["Reply-To"]).partition("@")[0].removeprefix("reply+")
    assert runtime.signer.verify(reply) == (MESSAGE, row.id.bytes)
    leave = str(parsed["List-Unsubscribe"]).strip("<>").removeprefix("mailto:").partition("@")[0]
    assert len(leave) <= 64
    topic, _, token = leave.partition("+")[2].partition(".")
    assert topic == "marketing"
    assert runtime.signer.verify(token) == (CONTACT, row.contact_id.bytes)
    assert name.endswith(str(row.contact_id))


def test_temporary_failures_are_tried_again_and_permanent_ones_are_not(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    make_template(runtime)
    make_pool(runtime)
    make_campaign(runtime, coupon_pool_id="gift")
    [later] = world.add()
    [never] = world.add()
    smtp.behave("temporary", world.people[later].address)
    smtp.behave("permanent", world.people[never].address)
    plan(runtime)
    drain(sender)
    by_state = {row.state: row for row in rows(runtime)}
    assert by_state.keys() == {"planned", "failed"}
    assert by_state["failed"].reason.startswith("550")
    assert (by_state["planned"].attempt_count, by_state["planned"].reason[:3]) == (1, "451")
    assert by_state["planned"].due_time > runtime.clock.now()
    code = by_state["planned"].coupon_code
    assert [event.reason[:3] for event in events(runtime, "message.failed")] == ["550"]
    smtp.behave("accept", world.people[later].address)
    assert sender.run_once() == 0
    clock_of(runtime).instant += timedelta(minutes=2)
    assert drain(sender) == 1
    [mail] = smtp.received()
    assert mail.text.strip() == f"Text {code}"
    with runtime.db.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(coupon)) == 2
        kept = connection.execute(sa.select(suppression.c.kind, suppression.c.address, suppression.c.reason))
        assert kept.all() == [("email", world.people[never].address, "BOUNCE")]
    make_campaign(runtime, "again")
    plan(runtime, "again")
    drain(sender)
    again = {row.contact_id: (row.state, row.reason) for row in rows(runtime, "again")}
    assert again[UUID(never.partition("/")[2])] == ("suppressed", "SUPPRESSED")
    assert again[UUID(later.partition("/")[2])] == ("sent", "")


def test_after_many_temporary_failures_a_message_fails(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    make_template(runtime)
    make_campaign(runtime)
    world.add()
    smtp.behave("temporary")
    plan(runtime)
    for _ in range(30):
        sender.throttle.forget()
        drain(sender)
        clock_of(runtime).instant += timedelta(hours=6)
    [row] = rows(runtime)
    assert (row.state, row.attempt_count) == ("failed", 10)


def test_a_message_that_cannot_be_rendered_fails_alone(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    make_template(runtime, text="{{ 10 // (contact.given_name | length) }}")
    make_campaign(runtime)
    world.add(3)
    world.add(given_name="")
    plan(runtime)
    drain(sender)
    found = counts(runtime)
    assert (found.of("sent"), found.of("failed")) == (3, 1)
    [failed] = [row for row in rows(runtime) if row.state == "failed"]
    assert failed.reason == "RENDER_FAILED: text, line 1: ZeroDivisionError while rendering"


def test_while_contacts_is_away_messages_wait(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_template(runtime)
    make_campaign(runtime)
    world.add(5)
    plan(runtime)
    world.down = True
    sender.run_once()
    assert {row.state for row in rows(runtime)} == {"planned"}
    assert {row.reason.partition(":")[0] for row in rows(runtime)} == {"CONTACTS_UNAVAILABLE"}
    world.down = False
    sender.throttle.forget()
    drain(sender)
    assert counts(runtime).of("sent") == len(smtp.received()) == 5


def test_a_channel_that_is_gone_holds_its_messages_only(
    runtime: Runtime, world: World, manager: PluginManager, smtp: SmtpServer
) -> None:
    make_template(runtime)
    world.add(3)
    make_campaign(runtime)
    plan(runtime)
    none = PluginManager(("recipients",), (), {})
    none.load()
    locks = Locks(runtime.db.engine)
    assert Sender(runtime, none, locks).run_once() == 0
    assert {row.state for row in rows(runtime)} == {"planned"}
    assert all(row.reason.startswith("CHANNEL_UNAVAILABLE: ") for row in rows(runtime))
    drain(Sender(runtime, manager, locks))
    assert {(row.state, row.reason) for row in rows(runtime)} == {("sent", "")}
    locks.close()


def test_a_server_that_is_away_costs_no_attempts(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    make_template(runtime)
    make_campaign(runtime)
    world.add(20)
    plan(runtime)
    smtp.stop()
    sender.run_once()
    assert sorted(row.attempt_count for row in rows(runtime)) == [0] * 19 + [1]
    smtp.start()
    sender.throttle.forget()
    clock_of(runtime).instant += timedelta(minutes=5)
    drain(sender)
    assert len(smtp.received()) == 20


def test_pause_resume_and_cancel_hold_at_once(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    make_template(runtime)
    make_campaign(runtime)
    world.add(600)
    op = plan(runtime)
    sender.run_once()
    first = len(smtp.received())
    assert 0 < first < 600
    campaigns.change_state(runtime, "pause", "spring")
    assert sender.run_once() == 0
    campaigns.change_state(runtime, "resume", "spring")
    campaigns.change_state(runtime, "cancel", "spring")
    assert drain(sender) == 0
    found = launching.launch(runtime, op)
    assert (found.of("sent"), found.of("cancelled"), found.open) == (first, 600 - first, 0)
    assert len(smtp.received()) == first


def test_what_is_claimed_when_a_campaign_is_paused_does_not_leave(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_template(runtime)
    make_campaign(runtime)
    world.add(HAND_OVER + 100)
    plan(runtime)
    hand_over = claims.hand_over
    calls = iter(range(100))

    def pause_before_the_second(*arguments):
        if next(calls) == 1:
            campaigns.change_state(runtime, "pause", "spring")
        return hand_over(*arguments)

    monkeypatch.setattr(claims, "hand_over", pause_before_the_second)
    sender.run_once()
    found = counts(runtime)
    assert (found.of("sent"), found.of("planned"), len(smtp.received())) == (
        HAND_OVER,
        100,
        HAND_OVER,
    )


def test_what_became_of_messages_is_written_while_the_next_are_made_ready_and_before_they_leave(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_template(runtime)
    make_campaign(runtime)
    world.add(HAND_OVER + 20)
    plan(runtime)
    hand_over, record, prepare = claims.hand_over, claims.record, sending.prepare
    steps: list[str] = []
    making_next = threading.Event()

    def note_hand_over(*arguments):
        steps.append("leave")
        return hand_over(*arguments)

    def record_meanwhile(*arguments):
        if "written" not in steps:
            assert making_next.wait(30), "the next are made ready at the same time"
        done = record(*arguments)
        steps.append("written")
        return done

    def note_prepare(*arguments):
        if "leave" in steps:
            making_next.set()
        return prepare(*arguments)

    monkeypatch.setattr(claims, "hand_over", note_hand_over)
    monkeypatch.setattr(claims, "record", record_meanwhile)
    monkeypatch.setattr(sending, "prepare", note_prepare)
    assert sender.run_once() == HAND_OVER + 20
    assert steps == ["leave", "written"] * (len(steps) // 2)
    assert len(steps) >= 4
    assert counts(runtime).of("sent") == len(smtp.received()) == HAND_OVER + 20


def test_a_refusal_between_two_hand_overs_is_heeded(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_template(runtime)
    make_campaign(runtime)
    people = world.add(HAND_OVER + 20)
    plan(runtime)
    hand_over = claims.hand_over
    sizes: list[int] = []
    refused: set[str] = set()

    def refuse_after_the_first(connection, by, several, *rest):
        sizes.append(len(several))
        if len(sizes) == 1:
            # All are claimed and the first are about to leave: only another look can notice these two.
            leaving = {item.claim.contact_id for item in several}
            denied, *_, blocked = (name for name in people if parse_name(name, "contacts") not in leaving)
            world.people[denied].consent = DENIED
            suppressions.add_suppressions(runtime, [("email", world.people[blocked].address, "hard bounce")])
            refused.update(world.people[name].address for name in (denied, blocked))
        return hand_over(connection, by, several, *rest)

    monkeypatch.setattr(claims, "hand_over", refuse_after_the_first)
    assert sender.run_once() == HAND_OVER + 20
    assert (sum(sizes), max(sizes)) == (HAND_OVER + 18, HAND_OVER)
    found = counts(runtime)
    assert (found.of("sent"), found.by_reason) == (HAND_OVER + 18, {"CONSENT_DENIED": 1, "SUPPRESSED": 1})
    assert (len(refused), len(smtp.received())) == (2, HAND_OVER + 18)
    assert not refused & {mail.to for mail in smtp.received()}


def test_contacts_that_goes_away_between_two_hand_overs_holds_the_rest(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_template(runtime)
    make_campaign(runtime)
    world.add(HAND_OVER + 20)
    plan(runtime)
    hand_over = claims.hand_over

    def leave(*arguments):
        world.down = True
        return hand_over(*arguments)

    monkeypatch.setattr(claims, "hand_over", leave)
    sender.run_once()
    found = counts(runtime)
    assert (found.of("sent"), found.of("planned"), len(smtp.received())) == (
        HAND_OVER,
        20,
        HAND_OVER,
    )
    held = [row for row in rows(runtime) if row.state == "planned"]
    assert {row.reason.partition(":")[0] for row in held} == {"CONTACTS_UNAVAILABLE"}
    assert {row.attempt_count for row in held} == {0}


def test_a_large_campaign_does_not_hold_up_a_single_message(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    make_template(runtime)
    make_campaign(runtime)
    world.add(1000)
    plan(runtime)
    asked = messages.send_message(runtime, single(address="one@mail.test"), "r1")
    sender.run_once()
    assert "one@mail.test" in [mail.to for mail in smtp.received()]
    assert messages.get_message(runtime, asked.id).state == "sent"


def single(**values) -> SingleMessage:
    given = {
        "contact_id": None,
        "channel": "email.smtp",
        "topic": "transactional",
        "subject": "Re: help",
        "text": "Here {{ you }} are",
        "reply_to": "",
        "in_reply_to": "",
        "address": "",
    }
    return SingleMessage(**(given | values))


def test_a_single_message_goes_as_it_is_and_once(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    from uuid import UUID

    [name] = world.add(consent=0)
    key = UUID(name.partition("/")[2])
    first = messages.send_message(
        runtime, single(contact_id=key, reply_to="reply+x@shop.test", in_reply_to="<a@b.test>"), "r1"
    )
    again = messages.send_message(
        runtime, single(contact_id=key, reply_to="reply+x@shop.test", in_reply_to="<a@b.test>"), "r1"
    )
    assert first.id == again.id
    drain(sender)
    [mail] = smtp.received()
    parsed = message_from_bytes(mail.raw, policy=policy.default)
    assert mail.text.strip() == "Here {{ you }} are"
    assert (parsed["Reply-To"], parsed["In-Reply-To"]) == ("reply+x@shop.test", "<a@b.test>")
    assert parsed["List-Unsubscribe"] is None
    [row] = rows(runtime)
    assert row.content is None
    # A refusal holds for transactional messages too.
    world.people[name].consent = DENIED
    messages.send_message(runtime, single(contact_id=key), "r2")
    drain(sender)
    assert len(smtp.received()) == 1


def test_a_dead_sender_leaves_claimed_messages_planned_and_those_on_the_wire_unknown(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    make_template(runtime)
    make_campaign(runtime)
    world.add(4)
    plan(runtime)
    dead, alive = new_id(), new_id()
    locks = Locks(runtime.db.engine)
    locks.acquire(claims.sender_lock(alive))
    keys = [row.id for row in rows(runtime)]
    with runtime.db.transaction() as connection:
        for key, state, holder in zip(
            keys, ("claimed", "sending", "claimed", "sending"), (dead, dead, alive, alive), strict=True
        ):
            connection.execute(
                sa.update(message).where(message.c.id == key).values(state=state, sender_id=holder)
            )
    assert upkeep.recover_messages(runtime) == (1, 1, 0)
    assert [row.state for row in rows(runtime)] == ["planned", "unknown", "claimed", "sending"]
    locks.close()
    assert upkeep.recover_messages(runtime) == (1, 1, 0)
    drain(sender)
    assert [row.state for row in rows(runtime)] == ["sent", "unknown", "sent", "unknown"]
    sent = resolving.resolve_message(runtime, keys[1], AS_SENT)
    assert sent.state == "sent"
    resolving.resolve_message(runtime, keys[3], AS_RETRY)
    drain(sender)
    assert len(smtp.received()) == 3


def test_the_wire_rule_of_the_ledger_keeps_what_a_sender_of_the_living_dead_says(
    runtime: Runtime, world: World, smtp: SmtpServer, manager: PluginManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sender that lost its lock for a moment, and was taken for dead, still knows what became of its messages."""
    make_template(runtime)
    make_campaign(runtime)
    world.add(2)
    plan(runtime)
    locks = Locks(runtime.db.engine)
    sender = Sender(runtime, manager, locks)
    record = claims.record

    def lose_the_lock_first(connection, key, results):
        locks.release(claims.sender_lock(key))
        upkeep.recover_messages(runtime)
        assert {row.state for row in rows(runtime)} == {"unknown"}
        return record(connection, key, results)

    monkeypatch.setattr(
        claims, "record", lambda *given: lose_the_lock_first(*given) if given[2] else record(*given)
    )
    sender.run_once()
    assert {row.state for row in rows(runtime)} == {"sent"}
    sender.close()
    locks.close()
