"""Launching: the audience is fixed once, whatever interrupts it; and coupons are redeemed once."""

from __future__ import annotations

import threading
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from rapport.campaign.v1 import campaign_pb2 as pb
from rapport.events.v1.events_pb2 import Event
from rapport.sales.v1 import events_pb2 as sales_events
from rapport.segmentation.v1 import events_pb2 as segmentation_events

from services.campaign.domain.coupons import Coupon, new_code
from services.campaign.models import kit, message
from services.campaign.store import coupons as coupon_store
from services.campaign.store import ledger
from services.campaign.usecases import campaigns, coupons, journeys, launching
from services.kit.bus.batch import EventBatch
from services.kit.errors import Cancelled, FailedPrecondition, NotFound
from services.kit.migrations import check, upgrade
from services.kit.names import new_id
from services.kit.operations import OperationWaits
from services.kit.operations import store as operations
from services.kit.runtime import Runtime
from tests.support.campaign import (
    NOW,
    World,
    begin_launch,
    claim_operation,
    counts,
    make_campaign,
    make_pool,
    make_template,
    plan,
)
from tests.support.postgres import DatabaseFactory


def test_a_launch_goes_on_where_another_worker_died(
    runtime: Runtime, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = world.add(1000)
    world.page = 300
    make_template(runtime)
    make_campaign(runtime)
    op = begin_launch(runtime)
    planned = ledger.plan_campaign
    pages = iter(range(100))

    def die_on_the_third(*arguments):
        if next(pages) == 2:
            planned(*arguments)
            raise RuntimeError("killed before the commit")
        return planned(*arguments)

    monkeypatch.setattr(ledger, "plan_campaign", die_on_the_third)
    with pytest.raises(RuntimeError, match="killed"):
        launching.launch(runtime, op)
    assert counts(runtime).audience == 600
    again = claim_operation(runtime, UUID(op.name.partition("/")[2]))
    launching._plan(runtime, again, "spring")
    assert again.state["total"] == 1000
    with runtime.db.read() as connection:
        found = [f"contacts/{key}" for key in connection.scalars(sa.select(message.c.contact_id))]
    assert sorted(found) == sorted(people)
    assert campaigns.get_campaign(runtime, "spring")[0].state == "sending"


def test_a_segment_that_changes_while_it_is_sent_to_does_not_change_the_audience(
    runtime: Runtime, world: World
) -> None:
    world.page = 3
    first = world.add(7)
    make_template(runtime)
    make_campaign(runtime)
    plan(runtime, "spring")
    planned = _audience(runtime)
    assert planned == set(first)
    # Some leave, others enter, and the worker comes once more.
    world.members["segments/all"] = first[:2]
    world.add(3)
    events = [_entered(name) for name in world.members["segments/all"]]
    journeys.start_journeys(runtime, EventBatch("campaign.start_journeys", events))
    assert _audience(runtime) == planned
    assert counts(runtime, "spring").audience == 7


def _audience(runtime: Runtime) -> set[str]:
    with runtime.db.read() as connection:
        return {f"contacts/{key}" for key in connection.scalars(sa.select(message.c.contact_id))}


def _entered(contact: str) -> Event:
    made = Event(
        id=str(new_id()),
        type="segment.entered",
        source="segmentation",
        subject="segments/all",
        contact=contact,
    )
    made.data.Pack(segmentation_events.MembershipChanged(segment="segments/all"))
    made.occur_time.FromDatetime(NOW)
    made.record_time.FromDatetime(NOW)
    return made


def test_an_empty_segment_is_done_at_once(runtime: Runtime, world: World) -> None:
    make_template(runtime)
    make_campaign(runtime)
    assert launching.launch(runtime, begin_launch(runtime)).audience == 0
    assert campaigns.get_campaign(runtime, "spring")[0].state == "done"


def test_a_segment_that_is_gone_meanwhile_leaves_a_draft(runtime: Runtime, world: World) -> None:
    make_template(runtime)
    world.members["segments/gone"] = []
    make_campaign(runtime, segment="segments/gone")
    op = begin_launch(runtime)
    del world.members["segments/gone"]
    with pytest.raises(NotFound):
        launching.launch(runtime, op)
    assert campaigns.get_campaign(runtime, "spring")[0].state == "draft"


def test_a_cancelled_operation_cancels_the_campaign(runtime: Runtime, world: World) -> None:
    world.add(10)
    make_template(runtime)
    make_campaign(runtime)
    op = plan(runtime)
    with runtime.db.transaction() as connection:
        operations.request_cancel(connection, kit, UUID(op.name.partition("/")[2]))
    with pytest.raises(Cancelled):
        launching.launch(runtime, op)
    campaign, found = campaigns.get_campaign(runtime, "spring")
    assert (campaign.state, found.of("cancelled")) == ("cancelled", 10)


def test_a_launch_that_waits_for_its_messages_gives_its_place_to_others(
    runtime: Runtime, world: World
) -> None:
    world.add(3)
    make_template(runtime)
    make_campaign(runtime)
    op = begin_launch(runtime)
    with pytest.raises(OperationWaits):
        launching.launch(runtime, op, 0)
    assert counts(runtime).of("planned") == 3
    with runtime.db.transaction() as connection:
        connection.execute(sa.update(message).values(state="sent"))
    assert launching.launch(runtime, op, 0).of("sent") == 3


def test_a_large_cancelled_campaign_is_cancelled_by_and_by(
    runtime: Runtime, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaigns, "CANCEL_AT_ONCE", 30)
    world.add(100)
    make_template(runtime)
    make_campaign(runtime)
    plan(runtime)
    campaigns.change_state(runtime, "cancel", "spring")
    assert counts(runtime).of("cancelled") == 30
    while campaigns.cancel_rest(runtime):
        pass
    assert counts(runtime).of("cancelled") == 100


def test_only_one_of_two_launches_at_once_succeeds(runtime: Runtime, world: World) -> None:
    make_template(runtime)
    make_campaign(runtime)
    barrier = threading.Barrier(4)
    outcomes: list[str] = []

    def one() -> None:
        barrier.wait()
        request = pb.LaunchCampaignRequest(name="campaigns/spring")
        try:
            outcomes.append(campaigns.launch_campaign(runtime, "spring", request, uuid4().hex).kind)
        except FailedPrecondition as error:
            outcomes.append(error.reason)

    run(one, 4)
    assert sorted(outcomes) == ["CAMPAIGN_STATE"] * 3 + ["launch_campaign"]
    with runtime.db.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(kit.operation)) == 1


def run(one, times: int) -> None:
    threads = [threading.Thread(target=one) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def issue(runtime: Runtime, contact_id: UUID | None = None) -> str:
    code = new_code("GIFT")
    with runtime.db.transaction() as connection:
        given = Coupon(
            code=code,
            pool_id="gift",
            contact_id=contact_id,
            message_id=new_id(),
            issue_time=NOW,
            redeem_time=None,
            order_id=None,
        )
        coupon_store.issue(connection, [given])
    return code


def test_a_coupon_is_redeemed_once_however_many_try(runtime: Runtime) -> None:
    make_pool(runtime)
    code = issue(runtime)
    barrier = threading.Barrier(8)
    outcomes: list[str] = []

    def one() -> None:
        barrier.wait()
        try:
            coupons.redeem_coupon(runtime, code, None, uuid4())
            outcomes.append("")
        except FailedPrecondition as error:
            outcomes.append(error.reason)

    run(one, 8)
    assert sorted(outcomes) == [""] + ["COUPON_REDEEMED"] * 7
    assert coupons.get_pool(runtime, "gift").redeemed_count == 1
    assert len(events(runtime, "coupon.redeemed")) == 1


def events(runtime: Runtime, kind: str) -> list[str]:
    with runtime.db.read() as connection:
        return list(connection.scalars(sa.select(kit.outbox.c.subject).where(kit.outbox.c.type == kind)))


def order(code: str, contact: UUID, **fields) -> Event:
    made = Event(
        id=str(new_id()),
        type="order.placed",
        source="sales",
        subject=f"orders/{uuid4()}",
        contact=f"contacts/{contact}",
        **fields,
    )
    made.data.Pack(sales_events.OrderPlaced(coupon_code=code))
    made.occur_time.FromDatetime(NOW)
    made.record_time.FromDatetime(NOW)
    return made


def test_orders_redeem_the_coupons_they_show(runtime: Runtime) -> None:
    make_pool(runtime, personal=True)
    owner, other = uuid4(), uuid4()
    good, foreign, past = issue(runtime, owner), issue(runtime, owner), issue(runtime, owner)
    given = [
        order(good.lower(), owner),
        order(foreign, other),
        order(past, owner, historical=True),
        order("GARBAGE", owner),
        order("", owner),
    ]
    batch = EventBatch("campaign.redeem_coupons", given)
    coupons.redeem_of_orders(runtime, batch)
    coupons.redeem_of_orders(runtime, batch)
    assert coupons.get_pool(runtime, "gift").redeemed_count == 1
    assert len(events(runtime, "coupon.redeemed")) == 1
    assert sorted(events(runtime, "coupon.refused")) == sorted([given[1].subject, given[3].subject])


def test_migrations_make_what_the_models_say(make_database: DatabaseFactory) -> None:
    url = make_database("campaign")
    upgrade("campaign", url)
    assert check("campaign", url) == []
