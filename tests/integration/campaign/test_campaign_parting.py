"""What campaign keeps of merged contacts goes to those that remain, and nothing is sent twice; erased ones leave it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from rapport.sales.v1 import events_pb2 as sales_events
from rapport_testing.smtp import SmtpServer

from services.campaign.domain.journeys import Send, Wait
from services.campaign.models import coupon, journey_contact, journey_entry, message, metadata
from services.campaign.usecases import coupons, journeys, parting
from services.campaign.usecases.sending import Sender
from services.kit.names import new_id
from services.kit.runtime import Runtime
from tests.integration.campaign.test_campaign_journeys import event, feed, state
from tests.support.campaign import World, counts, make_campaign, make_journey, make_pool, make_template, plan
from tests.support.partings import batch

STEPS = [Wait(timedelta(days=1)), Send("hello", "email.smtp", "marketing")]


def key_of(name: str) -> UUID:
    return UUID(name.partition("/")[2])


def rows(runtime: Runtime, *columns: Any) -> set[Any]:
    with runtime.db.read() as connection:
        return {tuple(row) for row in connection.execute(sa.select(*columns))}


def test_a_campaign_to_both_reaches_the_survivor_once(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    first, second, third = world.add(3)
    make_template(runtime)
    make_campaign(runtime)
    plan(runtime)
    del world.people[first], world.people[third]
    make_campaign(runtime, "only-third")
    world.members["segments/all"] = [third]
    plan(runtime, "only-third")
    parting.let_go(runtime, batch((key_of(first), key_of(second)), (key_of(third), key_of(second))))
    while sender.run_once():
        pass
    assert len(smtp.received()) == 2
    assert {mail.to for mail in smtp.received()} == {world.people[second].address}
    assert (counts(runtime).of("sent"), counts(runtime).of("cancelled")) == (1, 2)
    assert counts(runtime, "only-third").of("sent") == 1


def test_journeys_and_coupons_follow_a_merge(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    """A journey that both are on goes on once, an old name starts none anew, and a personal coupon stays valid."""
    first, second = world.add(2)
    make_pool(runtime, personal=True)
    make_template(runtime)
    make_journey(runtime, STEPS)
    make_journey(
        runtime, [Send("hello", "email.smtp", "marketing", "gift")], "gifts", event_type="order.returned"
    )
    feed(runtime, event(first), event(second))
    feed(runtime, event(first, "order.returned", sales_events.OrderReturned()))
    journeys.advance_journeys(runtime)
    assert sender.run_once() == 1
    parting.let_go(runtime, batch((key_of(first), key_of(second))))
    assert state(runtime)[:2] == (2, 1)
    assert feed(runtime, event(first), event(second)) == 0
    assert feed(runtime, event(first, "order.returned", sales_events.OrderReturned())) == 0
    assert rows(runtime, journey_entry.c.contact_id) == {(key_of(second),)}
    assert rows(runtime, journey_contact.c.contact_id) == {(key_of(second),)}
    ((code, owner),) = rows(runtime, coupon.c.code, coupon.c.contact_id)
    assert owner == key_of(second)
    # The shop knows the customer by the old name still.
    order = new_id()
    assert coupons.redeem_coupon(runtime, code, key_of(first), order).order_id == order


def test_an_erased_contact_leaves_counts_and_no_more(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    """What was planned is not sent, events that come late start nothing; nor is the id of those merged into it kept."""
    first, second, other = world.add(3)
    make_pool(runtime)
    make_template(runtime)
    make_journey(runtime, STEPS)
    make_journey(
        runtime, [Send("hello", "email.smtp", "marketing", "gift")], "gifts", event_type="order.returned"
    )
    feed(runtime, event(first), event(second), event(other))
    feed(runtime, event(second, "order.returned", sales_events.OrderReturned()))
    journeys.advance_journeys(runtime)
    assert sender.run_once() == 1
    make_campaign(runtime)
    plan(runtime)
    parting.let_go(runtime, batch((key_of(first), key_of(second))))
    parting.let_go(runtime, batch((key_of(second), None)))
    with runtime.db.read() as connection:
        left = "\n".join(
            str(row)
            for table in metadata.sorted_tables
            if table.name != "contact_gone"
            for (row,) in connection.exec_driver_sql(f'SELECT to_jsonb(t)::text FROM "{table.name}" AS t')
        )
    assert str(key_of(first)) not in left
    assert str(key_of(second)) not in left
    assert str(key_of(other)) in left
    assert state(runtime)[:2] == (3, 2)
    assert state(runtime, "gifts")[2].of("sent") == 1
    assert (counts(runtime).of("cancelled"), counts(runtime).of("planned")) == (2, 1)
    sent = sa.and_(message.c.state == "sent", message.c.contact_id.is_(None))
    with runtime.db.read() as connection:
        (row,) = connection.execute(sa.select(message).where(sent))
    assert (row.subject, row.recipient_hash, row.provider_id, row.content) == ("", None, "", None)
    assert feed(runtime, event(first), event(second)) == 0
    while sender.run_once():
        pass
    assert len(smtp.received()) == 2
