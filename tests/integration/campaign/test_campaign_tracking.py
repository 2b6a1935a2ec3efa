"""What came back of messages: decided when it is seen whole, told, taken back; reports that prove themselves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from rapport.campaign.v1 import events_pb2

from services.campaign.domain.interactions import HUMAN, SCANNER
from services.campaign.models import delivery_report, interaction, kit, quarantine, suppression
from services.campaign.store.interactions import Selection
from services.campaign.usecases import interactions, parting, reports
from services.kit.errors import InvalidArgument, Unavailable
from services.kit.names import new_id
from tests.support.campaign_tracking import SentMessage, Tracked
from tests.support.partings import batch


@pytest.fixture
def world(module_tracked: Tracked) -> Tracked:
    module_tracked.empty()
    return module_tracked


def rows(world: Tracked, *columns: Any) -> list[Any]:
    with world.runtime.db.read() as connection:
        return [tuple(row) for row in connection.execute(sa.select(*columns))]


def verdicts(world: Tracked) -> list[tuple[str, int, str]]:
    found = rows(world, interaction.c.kind, interaction.c.link, interaction.c.rule, interaction.c.id)
    return [row[:3] for row in sorted(found, key=lambda row: row[3])]


def told(world: Tracked) -> list[str]:
    with world.runtime.db.read() as connection:
        query = sa.select(kit.outbox.c.type).order_by(kit.outbox.c.id)
        return list(connection.scalars(query))


def suppressed(world: Tracked) -> list[tuple[str, str]]:
    return rows(world, suppression.c.address, suppression.c.reason)


# Interactions


def test_nothing_is_decided_before_it_is_seen_whole(world: Tracked) -> None:
    message = world.sent()
    interactions.record_hits(world.runtime, [world.hit(message)])
    world.advance(seconds=14)
    assert interactions.settle(world.runtime) == 0
    world.advance(seconds=2)
    assert interactions.settle(world.runtime) == 1
    assert interactions.settle(world.runtime) == 0
    assert told(world) == ["message.clicked"]


def test_a_burst_is_a_scanner_and_a_person_comes_after_it(world: Tracked) -> None:
    """What the scanner did before its third link counts as the scanner's too, and so does the picture it loaded."""
    message = world.sent()
    burst = [world.hit(message, link=number, after=number * 0.7) for number in range(3)]
    picture = world.hit(message, "open", after=5)
    person = [
        world.hit(message, "open", source=b"home----", after=40),
        world.hit(message, source=b"home----", after=50),
    ]
    world.record(*burst, picture, *person)
    assert [rule for _, _, rule in verdicts(world)] == ["MANY_LINKS"] * 3 + ["WITH_SCANNER", "", ""]
    assert told(world) == ["message.opened", "message.clicked"]


def test_two_links_at_once_are_a_scanner_and_one_link_twice_is_a_person(world: Tracked) -> None:
    message, other = world.sent(), world.sent()
    world.record(world.hit(message, link=1), world.hit(message, link=2, after=0.3))
    world.record(world.hit(other, link=1), world.hit(other, link=1, after=0.3))
    assert [rule for _, _, rule in verdicts(world)] == ["MANY_LINKS", "MANY_LINKS", "", ""]
    assert told(world) == ["message.clicked"]  # of a link that was visited twice, once


def test_clicks_right_after_sending_and_of_a_gateway_are_machines(world: Tracked) -> None:
    world.record(world.hit(world.sent(ago=1), source=None))
    gateway = [world.hit(world.sent(), source=b"gateway-", after=number * 0.1) for number in range(10)]
    world.record(*gateway)
    assert [rule for _, _, rule in verdicts(world)] == ["TOO_SOON", *["SHARED_SOURCE"] * 10]
    assert told(world) == []


def test_the_same_hits_again_are_one(world: Tracked) -> None:
    """As after a flush whose answer was lost."""
    hit = world.hit(world.sent())
    assert interactions.record_hits(world.runtime, [hit, hit]) == 1
    assert interactions.record_hits(world.runtime, [hit]) == 0


def test_a_verdict_is_taken_back_and_given_again(world: Tracked) -> None:
    message = world.sent()
    world.record(world.hit(message), world.hit(message, source=b"home----", after=30))
    chosen = Selection(message_id=message.id)
    reclassify = interactions.reclassify
    assert reclassify(world.runtime, chosen, SCANNER, "a gateway") == (2, 1, 0, False)
    assert reclassify(world.runtime, chosen, SCANNER, "a gateway") == (0, 0, 0, False)
    assert reclassify(world.runtime, Selection(rule="MANUAL"), HUMAN, "") == (2, 0, 1, False)
    assert told(world) == ["message.clicked", "message.click_reversed", "message.clicked"]
    with world.runtime.db.read() as connection:
        first, reversal, _ = connection.execute(sa.select(kit.outbox).order_by(kit.outbox.c.id)).all()
    assert events_pb2.EngagementReversed.FromString(bytes(reversal.data)).event == str(first.id)
    assert {rule for _, _, rule in verdicts(world)} == {"MANUAL"}


def test_when_the_first_of_two_was_a_machine_the_other_is_told(world: Tracked) -> None:
    message = world.sent()
    start = world.runtime.clock.now()
    world.record(world.hit(message), world.hit(message, source=b"home----", after=30))
    chosen = Selection(start_time=start, end_time=start + timedelta(seconds=20))
    assert interactions.reclassify(world.runtime, chosen, SCANNER, "") == (1, 1, 1, False)
    assert told(world) == ["message.clicked", "message.click_reversed", "message.clicked"]


def test_reclassifying_everything_by_mistake_is_refused(world: Tracked) -> None:
    for chosen in (Selection(), Selection(start_time=world.runtime.clock.now())):
        with pytest.raises(InvalidArgument) as caught:
            interactions.reclassify(world.runtime, chosen, SCANNER, "")
        assert caught.value.reason == "NO_SELECTION"


def test_engagement_counts_people_apart_from_machines(world: Tracked) -> None:
    one, two, three = world.sent(), world.sent(), world.sent(origin="campaigns/other")
    world.record(
        world.hit(one, "open"),
        world.hit(one, link=4, after=5),
        world.hit(one, link=4, after=9),
        world.hit(two, link=4, source=b"other---"),
        world.hit(two, "open", agent="scanner", source=b"scan----", after=20),
        world.hit(three),
    )
    interactions.record_hits(world.runtime, [world.hit(two, "open")])
    reports.report_mail(world.runtime, world.bounce(two, status="4.4.7"), two.reply)
    found = reports.get_engagement(world.runtime, "campaigns/spring")
    assert (found.sent, found.opens, found.unique_opens) == (2, 1, 2)
    assert (found.clicks, found.unique_clicks, found.links) == (3, 2, {4: (3, 2)})
    assert (found.scanner, found.pending, found.reports) == (1, 1, {"soft_bounced": 1})
    assert reports.get_engagement(world.runtime, "campaigns/none").sent == 0


def test_old_interactions_are_forgotten(world: Tracked) -> None:
    world.record(world.hit(world.sent()))
    world.advance(days=399)
    assert interactions.forget_old(world.runtime) == 0
    world.advance(days=2)
    assert interactions.forget_old(world.runtime) == 1


# Bounces and complaints


@pytest.mark.parametrize("proof", ["recipient", "headers"])
def test_a_hard_bounce_suppresses_the_address(world: Tracked, proof: str) -> None:
    message = world.sent()
    recipient = message.reply if proof == "recipient" else "postmaster@shop.test"
    raw = world.bounce(message, address=message.address.upper())
    for _ in range(2):
        assert reports.report_mail(world.runtime, raw, recipient) == ("recorded", message.id)
    assert suppressed(world) == [(message.address, "BOUNCE")]
    assert rows(world, delivery_report.c.kind, delivery_report.c.suppressed) == [("bounced", True)]
    assert told(world) == ["message.bounced"]


def test_nobody_suppresses_the_address_of_somebody_else(world: Tracked) -> None:
    """A report may name any address: the one that the message went to counts."""
    message, victim = world.sent(), world.sent()
    raw = world.bounce(message, address=victim.address)
    assert reports.report_mail(world.runtime, raw, message.reply)[0] == "recorded"
    assert suppressed(world) == [(message.address, "BOUNCE")]


def test_an_address_that_changed_since_is_not_suppressed(world: Tracked) -> None:
    message = world.sent()
    world.world.people[f"contacts/{message.contact_id}"].address = "new@mail.test"
    raw = world.bounce(message, address="alias@mail.test")
    assert reports.report_mail(world.runtime, raw, message.reply)[0] == "recorded"
    assert (suppressed(world), rows(world, delivery_report.c.suppressed)) == ([], [(False,)])


def test_without_contacts_a_report_waits_unless_it_names_the_address(world: Tracked) -> None:
    message = world.sent()
    world.world.down = True
    with pytest.raises(Unavailable) as caught:
        reports.report_mail(world.runtime, world.bounce(message, address="alias@mail.test"), message.reply)
    assert caught.value.reason == "CONTACTS_UNAVAILABLE"
    assert rows(world, delivery_report.c.kind) == []
    assert reports.report_mail(world.runtime, world.bounce(message), message.reply)[0] == "recorded"
    assert suppressed(world) == [(message.address, "BOUNCE")]


def test_soft_bounces_add_up_within_their_days(world: Tracked) -> None:
    first = world.sent()

    def soft() -> None:
        message = world.sent(contact=first.contact_id)
        raw = world.bounce(message, status="4.2.2")
        for _ in range(2):
            assert reports.report_mail(world.runtime, raw, message.reply)[0] == "recorded"

    for _ in range(4):
        soft()
    world.advance(days=31)
    soft()
    assert suppressed(world) == []
    for _ in range(4):
        soft()
    assert suppressed(world) == [(first.address, "SOFT_BOUNCES")]


def test_a_complaint_suppresses_and_denies(world: Tracked) -> None:
    message = world.sent(topic="news")
    assert reports.report_mail(world.runtime, world.complaint(message), "postmaster@shop.test") == (
        "recorded",
        message.id,
    )
    assert suppressed(world) == [(message.address, "COMPLAINT")]
    assert told(world) == ["message.complained", "unsubscribe.requested"]


def test_what_proves_nothing_changes_nothing(world: Tracked) -> None:
    message, planned = world.sent(), world.sent(state="planned")
    forged = f"reply+{world.runtime.signer.sign('c', message.id.bytes)}@shop.test"
    foreign = message.reply.replace("shop.test", "else.test")
    unknown = f"reply+{world.runtime.signer.sign('m', new_id().bytes)}@shop.test"
    for reply in ("", "reply+x@shop.test", forged, foreign, unknown, planned.reply):
        raw = world.bounce(message, reply=reply)
        assert reports.report_mail(world.runtime, raw, reply) == ("unproven", None)
    assert reports.report_mail(world.runtime, b"Subject: hi\n\nhello", message.reply) == ("ignored", None)
    assert (suppressed(world), told(world)) == ([], [])


def test_what_cannot_be_read_is_kept_aside_for_a_month(
    world: Tracked, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = world.sent()
    monkeypatch.setattr(reports, "QUARANTINE_MOST", 2)
    raw = world.bounce(message, action="") + b"\x00" * 70_000
    for _ in range(3):
        assert reports.report_mail(world.runtime, raw, message.reply) == ("quarantined", None)
    kept = reports.list_quarantine(world.runtime, before=None, count=10)
    assert [(item.source, len(item.content), item.size) for item in kept] == [
        ("mail", 64 << 10, len(raw))
    ] * 2
    assert reports.drop_quarantined(world.runtime, [kept[0].id, new_id()]) == 1
    world.advance(days=31)
    assert reports.prune_quarantine(world.runtime) == 1
    assert rows(world, quarantine.c.id) == []


# Contacts that part


def _busy(world: Tracked) -> SentMessage:
    message = world.sent()
    world.record(world.hit(message))
    reports.report_mail(world.runtime, world.bounce(message, status="4.4.7"), message.reply)
    return message


def test_what_came_back_follows_a_merge(world: Tracked) -> None:
    message, heir = _busy(world), world.sent().contact_id
    parting.let_go(world.runtime, batch((message.contact_id, heir)))
    assert rows(world, interaction.c.contact_id) == [(heir,)]
    assert rows(world, delivery_report.c.contact_id) == [(heir,)]
    interactions.reclassify(world.runtime, Selection(message_id=message.id), SCANNER, "")
    with world.runtime.db.read() as connection:
        last = connection.execute(sa.select(kit.outbox).order_by(kit.outbox.c.id.desc()).limit(1)).one()
    assert (last.type, last.contact_id) == ("message.click_reversed", heir)


def test_of_an_erased_contact_the_counts_stay(world: Tracked) -> None:
    message = _busy(world)
    interactions.record_hits(world.runtime, [world.hit(message, link=7)])
    parting.let_go(world.runtime, batch((message.contact_id, None)))
    assert rows(world, interaction.c.contact_id, interaction.c.source_hash) == [(None, None)] * 2
    assert rows(world, delivery_report.c.contact_id, delivery_report.c.recipient_hash) == [(None, None)]
    world.advance(seconds=60)
    interactions.settle(world.runtime)
    assert told(world) == []  # nothing names the contact, before or after
    assert reports.get_engagement(world.runtime, "campaigns/spring").clicks == 2
