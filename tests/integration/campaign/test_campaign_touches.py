"""Orders attributed by openings and clicks of people: decided late, taken back, given again, returns deducted."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from rapport.events.v1.events_pb2 import Event

from services.campaign.domain.attribution import Rule
from services.campaign.models import campaign, conversion
from services.campaign.store.interactions import Selection
from services.campaign.usecases import attribution, interactions, parting, reports, results
from tests.support.campaign import CHANNEL
from tests.support.campaign_orders import placed, returned, tell
from tests.support.campaign_tracking import SentMessage, Tracked
from tests.support.partings import batch

HOUR = timedelta(hours=1)


@pytest.fixture
def world(module_tracked: Tracked) -> Tracked:
    """An empty ledger."""
    module_tracked.empty()
    return module_tracked


def make_spring(world: Tracked) -> None:
    world.link("hello", 0, "https://shop.test")
    values = {"id": "spring", "segment": "segments/all", "template_id": "hello", "channel": CHANNEL}
    with world.runtime.db.transaction() as connection:
        connection.execute(
            campaign.insert().values(
                **values,
                display_name="",
                topic="marketing",
                coupon_pool_id="",
                state="done",
                create_time=world.runtime.clock.now(),
            )
        )


def by(world: Tracked, touch: str, model: str = "last_touch", window: timedelta = 7 * 24 * HOUR) -> None:
    attribution.set_rule(world.runtime, Rule(touch=touch, model=model, window=window))


def order(world: Tracked, message: SentMessage, amount: Any, at: datetime) -> Event:
    made = placed(f"contacts/{message.contact_id}", amount, at)
    tell(world.runtime, [made])
    return made


def brought(world: Tracked) -> dict[UUID, int]:
    """Return the sums that messages have."""
    found: dict[UUID, int] = {}
    with world.runtime.db.read() as connection:
        for row in connection.execute(conversion.select()):
            found[row.message_id] = found.get(row.message_id, 0) + int(row.amount)
    return found


def recomputed(world: Tracked) -> dict[UUID, int]:
    """Return the same after all orders were attributed anew."""
    with world.runtime.db.transaction() as connection:
        attribution.own(connection)
        attribution._attribute(
            connection,
            attribution.get_rule(world.runtime),
            attribution.store.page(connection, after=None, count=99),
        )
    return brought(world)


def test_a_click_brings_the_order_although_it_is_decided_later(world: Tracked) -> None:
    by(world, "click")
    now = world.runtime.clock.now()
    clicked = world.sent(ago=7200)
    newer = world.sent(contact=clicked.contact_id, ago=600)
    interactions.record_hits(world.runtime, [world.hit(clicked)])
    bought = order(world, clicked, 100, now + timedelta(seconds=10))
    assert brought(world) == {}
    world.advance(seconds=30)
    assert interactions.settle(world.runtime) == 1
    # The newer message was sent, but nobody clicked in it.
    assert brought(world) == {clicked.id: 100} == recomputed(world)
    tell(world.runtime, [returned(bought, 30, now + HOUR)])
    assert brought(world) == {clicked.id: 70}
    assert newer.id not in brought(world)


def test_a_verdict_takes_an_order_back_and_gives_it_again(world: Tracked) -> None:
    by(world, "click")
    one = world.sent()
    two = world.sent(contact=one.contact_id, ago=1800)
    world.record(world.hit(one), world.hit(two, after=60))
    order(world, one, 100, world.runtime.clock.now() + HOUR)
    assert brought(world) == {two.id: 100}

    def judge(verdict: str) -> dict[UUID, int]:
        interactions.reclassify(world.runtime, Selection(message_id=two.id), verdict, "test")
        return brought(world)

    assert judge("scanner") == {one.id: 100} == recomputed(world)
    assert judge("human") == {two.id: 100} == recomputed(world)
    interactions.reclassify(world.runtime, Selection(message_id=one.id), "scanner", "test")
    assert judge("scanner") == {}


def test_machines_bring_nothing_and_clicks_are_openings(world: Tracked) -> None:
    by(world, "open")
    seen, clicked, machine, silent = (world.sent() for _ in range(4))
    world.record(
        world.hit(seen, "open"),
        world.hit(clicked, after=5),
        world.hit(machine, "open", agent="scanner", source=None),
    )
    later = world.runtime.clock.now() + HOUR
    for message in (seen, clicked, machine, silent):
        order(world, message, 10, later)
    assert brought(world) == {seen.id: 10, clicked.id: 10}
    by(world, "click")
    assert recomputed(world) == {clicked.id: 10}
    by(world, "sent")
    assert set(recomputed(world)) == {seen.id, clicked.id, machine.id, silent.id}


def test_the_window_and_the_order_of_touches_go_by_the_newest_click_before_the_order(world: Tracked) -> None:
    by(world, "click", window=2 * HOUR)
    # Sent long before the window, clicked in within it.
    old = world.sent(ago=5 * 3600)
    new = world.sent(contact=old.contact_id, ago=3600)
    now = world.runtime.clock.now()
    world.record(world.hit(new), world.hit(old, after=60), world.hit(new, link=1, after=7200))
    order(world, old, 10, now + HOUR)
    assert brought(world) == {old.id: 10}
    by(world, "click", "first_touch", 2 * HOUR)
    assert recomputed(world) == {new.id: 10}
    by(world, "click", "linear", 2 * HOUR)
    assert recomputed(world) == {new.id: 5, old.id: 5}
    order(world, old, 10, now + 24 * HOUR)
    assert sum(brought(world).values()) == 10


def test_a_merged_contact_brings_its_clicks(world: Tracked) -> None:
    by(world, "click")
    message, other = world.sent(), world.sent()
    world.record(world.hit(message))
    order(world, other, 50, world.runtime.clock.now() + HOUR)
    assert brought(world) == {}
    parting.let_go(world.runtime, batch((message.contact_id, other.contact_id)))
    assert brought(world) == {message.id: 50}
    parting.let_go(world.runtime, batch((other.contact_id, None)))
    assert brought(world) == {message.id: 50} == recomputed(world)


def test_the_funnel_tells_people_from_machines_and_what_came_back(world: Tracked) -> None:
    make_spring(world)
    sent = [world.sent() for _ in range(6)]
    world.sent(state="unknown")
    empty = results.get_funnel(world.runtime, "campaigns/spring")
    assert (empty.tracked, empty.delivered) == (False, 6)
    for message, report in ((sent[0], world.bounce), (sent[1], world.complaint)):
        reports.report_mail(world.runtime, report(message), message.reply)
    world.record(
        world.hit(sent[1]),
        world.hit(sent[1], "open", after=5),
        world.hit(sent[2], "open", after=10),
        world.hit(sent[3], "open", agent="scanner", source=None),
        world.hit(sent[4], "unsubscribe", link=-1),
    )
    interactions.record_hits(world.runtime, [world.hit(sent[5], after=0)])
    found = results.get_funnel(world.runtime, "campaigns/spring")
    back = found.came_back
    assert found.tracked
    assert (found.of("sent"), found.delivered, back.bounced, back.complained) == (6, 5, 1, 1)
    assert (back.opened, back.clicked, back.unsubscribed) == (2, 1, 1)
    assert (back.scanner, back.pending) == (1, 1)
    interactions.reclassify(world.runtime, Selection(message_id=sent[1].id), "scanner", "test")
    taken = results.get_funnel(world.runtime, "campaigns/spring").came_back
    assert (taken.opened, taken.clicked, taken.scanner) == (1, 0, 3)
