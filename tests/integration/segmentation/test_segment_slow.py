"""Rules that take too long: they are found and set aside, and nothing else waits for them for long."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from rapport.segmentation.v1 import segmentation_pb2 as pb
from sqlalchemy import Connection

from services.kit.errors import FailedPrecondition
from services.segmentation.domain import Limits
from services.segmentation.store import bounds, segments
from services.segmentation.usecases import defining, snapshots, upkeep
from services.segmentation.usecases.defining import Change
from tests.support.segmentation import NOW, Progress, World, contact, contact_id, days, order

KEY, OTHER = contact_id(1), contact_id(2)
ORDERS = 200
CUBIC = """
    events.order_placed.exists(a, a.category.startsWith("a") || events.order_placed.exists(b,
        b.category.startsWith("b") || events.order_placed.exists(c,
            c.category.startsWith(a.category) && c.category.startsWith(b.category) && c.category.endsWith("z"))))
"""
"""With 200 orders, none of which fits, it takes many seconds."""


def limited(seg: World, **limits: float) -> World:
    """Return the service with limits on the time of rules."""
    return World(dataclasses.replace(seg.service, limits=Limits(**limits)), seg.clock)


@pytest.fixture
def busy(seg: World) -> World:
    """Two innocent segments and one of a rule that is slow from tomorrow on, when a contact's orders become visible."""
    made = limited(seg, batch=1.0, rebuild=0.5)
    made.define("slow", f'contact.region_code == "VN" || {CUBIC}')
    made.define("buyers", "events.order_placed.exists(o, now - o.time <= days(7))")
    made.define("others", '!in_segment("segments/buyers") && !in_segment("segments/slow")')
    made.deliver(contact(KEY, region_code="VN"), contact(OTHER))
    assert made.everybody() == {"slow": {KEY}, "buyers": set(), "others": {OTHER}}
    made.deliver(
        *(order(KEY, NOW + days(1), category=f"c{number:03}") for number in range(ORDERS)),
        contact(KEY, revision=2, region_code="DE"),
        contact(KEY, revision=3, region_code="VN"),
    )
    assert made.everybody() == {"slow": {KEY}, "buyers": set(), "others": {OTHER}}
    assert made.next_change(KEY) == NOW + days(1)
    return made


def state(seg: World, id_: str) -> tuple[str, str, str]:
    with seg.db.read() as connection:
        found = defining.load(connection, id_)
    return found.state, found.state_message, found.stalled


def in_force(seg: World) -> set[str]:
    """Return the segments whose rules are evaluated."""
    with seg.db.transaction() as connection:
        plan = seg.service.plan(connection)
    return {plan.rules[number].id for number in plan.compiled}


def assert_set_aside(seg: World) -> None:
    now, message, stalled = state(seg, "slow")
    assert (now, message) == ("ready", "")
    assert "longer than 1 s for a batch of 1 contacts (RAPPORT_RULE_BATCH_SECONDS)" in stalled
    assert "write the rule flatter" in stalled
    assert in_force(seg) == {"buyers", "others"}
    assert state(seg, "buyers") == state(seg, "others") == ("ready", "", "")
    # They would be evaluated again and again; the rebuild that ends it evaluates everybody.
    assert seg.query("SELECT count(*) FROM stale") == [0]


def test_an_increment_sets_a_slow_rule_aside_and_goes_on(busy: World) -> None:
    """Its segment keeps its members and says why; the others see the same batch and those that follow."""
    busy.clock.instant = NOW + days(1)
    busy.deliver(contact(KEY, revision=4, region_code="FR"))
    assert busy.everybody() == {"slow": {KEY}, "buyers": {KEY}, "others": {OTHER}}
    assert_set_aside(busy)
    assert busy.next_change(KEY) == NOW + days(8) + timedelta(microseconds=1)
    # A failing plugin elsewhere that works again says nothing of it.
    busy.deliver(order(OTHER, NOW + days(1)))
    assert busy.everybody() == {"slow": {KEY}, "buyers": {KEY, OTHER}, "others": set()}
    with busy.db.transaction() as connection:
        assert segments.resume(connection) == 0
    assert_set_aside(busy)
    # Time goes on as well.
    busy.clock.instant = NOW + days(9)
    assert upkeep.expire(busy.service) == 2
    assert busy.everybody() == {"slow": {KEY}, "buyers": set(), "others": {OTHER}}


def test_expiry_sets_a_slow_rule_aside_and_goes_on(busy: World) -> None:
    """It is due once only."""
    busy.clock.instant = NOW + days(1)
    assert upkeep.expire(busy.service) == 1
    assert busy.everybody() == {"slow": {KEY}, "buyers": {KEY}, "others": {OTHER}}
    assert_set_aside(busy)
    assert upkeep.expire(busy.service) == 0


def test_a_changed_rule_takes_the_segment_up_again(busy: World) -> None:
    """A rebuild by the slow rule fails with its reason and keeps the members; one by another rule ends the matter."""
    busy.clock.instant = NOW + days(1)
    assert upkeep.expire(busy.service) == 1
    with pytest.raises(FailedPrecondition, match=r"slow: its rule takes longer than 0\.5 s for all contacts"):
        busy.rebuild("slow")
    assert busy.members("slow") == {KEY}
    now, message, stalled = state(busy, "slow")
    assert now == "failed"
    assert "RAPPORT_RULE_REBUILD_SECONDS" in message
    assert "RAPPORT_RULE_BATCH_SECONDS" in stalled
    with busy.db.transaction() as connection:
        change = Change(rule="events.order_placed.size() > 200")
        assert defining.update_segment(busy.service, connection, "slow", change, "").rebuild is not None
    # The rule before is still in force, and still set aside.
    assert in_force(busy) == {"buyers", "others"}
    busy.rebuild("slow")
    assert state(busy, "slow") == ("ready", "", "")
    assert in_force(busy) == {"slow", "buyers", "others"}
    assert busy.members("slow") == set()
    busy.deliver(order(KEY, NOW + days(1)))
    assert busy.members("slow") == {KEY}


def test_a_rebuild_in_time_takes_the_segment_up_again(busy: World) -> None:
    """The same rule, once the cause is gone: whatever changed meanwhile is caught up with."""
    busy.clock.instant = NOW + days(1)
    busy.deliver(contact(KEY, revision=4, region_code="FR"))
    assert_set_aside(busy)
    with busy.db.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM event WHERE category > 'c005'")
    assert busy.rebuild("slow").segments[0].left_count == 1
    assert busy.everybody() == {"slow": set(), "buyers": {KEY}, "others": {OTHER}}
    assert state(busy, "slow") == ("ready", "", "")
    busy.deliver(contact(KEY, revision=5, region_code="VN"))
    assert busy.members("slow") == {KEY}


def test_a_pass_that_takes_too_long_settles_the_others(busy: World) -> None:
    """The slow rule fails by itself."""
    busy.clock.instant = NOW + days(1)
    with pytest.raises(FailedPrecondition) as caught:
        busy.rebuild()
    assert caught.value.metadata == {"segments": "slow"}
    assert busy.everybody() == {"slow": {KEY}, "buyers": {KEY}, "others": {OTHER}}
    assert [event[:3] for event in busy.told()][-1] == ("segment.entered", "buyers", KEY)
    now, message, _ = state(busy, "slow")
    assert now == "failed"
    assert "longer than 0.5 s for all contacts" in message
    assert state(busy, "buyers") == state(busy, "others") == ("ready", "", "")
    assert busy.query("SELECT id FROM segment WHERE rebuild_time > :now ORDER BY id", now=NOW) == [
        "buyers",
        "others",
    ]


def test_a_snapshot_by_a_slow_rule_fails_with_its_reason(busy: World) -> None:
    seg = limited(busy, rebuild=0.05)
    seg.clock.instant = NOW + days(1)
    request = pb.SnapshotSegmentRequest(segment_id="taken", rule=CUBIC)
    with seg.db.transaction() as connection:
        snapshots.request_snapshot(seg.service, connection, request)
    with pytest.raises(FailedPrecondition, match=r"longer than 0\.5 s") as caught:
        snapshots.take_snapshot(seg.service, request, Progress())
    assert caught.value.reason == "SNAPSHOT_FAILED"
    assert state(seg, "taken")[0] == "failed"


def test_rules_that_only_together_take_too_long_are_all_evaluated(
    seg: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One by one, and nobody is blamed; their schedule is that of all of them."""
    seg.define("month", "events.order_placed.exists(o, now - o.time < days(30))")
    seg.define("week", "events.order_placed.exists(o, now - o.time < days(7))")
    seg.define("between", 'in_segment("segments/month") && !in_segment("segments/week")')
    original, calls = bounds.within, iter(range(100))

    @contextmanager
    def within(connection: Connection, seconds: float) -> Iterator[None]:
        with original(connection, seconds):
            yield
            if next(calls) == 0:
                connection.exec_driver_sql(f"SELECT pg_sleep({10 * seconds})")

    monkeypatch.setattr(bounds, "within", within)
    made = limited(seg, batch=1.0)
    made.deliver(contact(KEY), order(KEY, NOW - days(10)), order(KEY, NOW - days(1)))
    assert next(calls) == 4
    assert seg.everybody() == {"month": {KEY}, "week": {KEY}, "between": set()}
    assert seg.next_change(KEY) == NOW + days(6)
    assert len(seg.told()) == 2
    assert in_force(seg) == {"month", "week", "between"}
