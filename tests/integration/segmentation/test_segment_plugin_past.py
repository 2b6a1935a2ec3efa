"""Rules of plugins as of a past time: one answer, whoever asks, and a refusal where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from rapport.segmentation.v1 import segmentation_pb2 as pb

from services.kit.clock import FixedClock
from services.kit.errors import FailedPrecondition
from services.kit.plugins import PluginError, PluginHost, PluginTimeout
from services.kit.plugins.breaker import Breakers
from services.kit.wire import to_timestamp
from services.segmentation.usecases import answers, defining, plugin_changes, previewing, snapshots
from services.segmentation.usecases.explaining import explain_membership
from services.segmentation.usecases.selecting import select_members
from tests.plugins.plugin_sources import write_plugin
from tests.support.postgres import DatabaseFactory
from tests.support.segmentation import NOW, Progress, World, contact, contact_id, days, order, world

MOVED, CAME, NEVER = contact_id(1), contact_id(2), contact_id(3)
THEN, TODAY = NOW + days(1), NOW + days(2)

SHOP = """
def level(ctx, params):
    return literal(100) // (5 - ctx.profile.c.order_count)

def letters(ctx, params, profiles):
    if any(profile.region_code == "XX" for profile in profiles):
        raise RuntimeError("never heard of XX")
    return [None if profile.region_code is None else len(profile.region_code) for profile in profiles]

def region_in_sql(ctx, params):
    return func.length(ctx.profile.c.region_code)

def seen(ctx, params, profiles):
    # What a profile sums up of orders and the events that it holds must be of one time.
    return [f"{profile.order_count} {float(profile.total_spent):g} {len(profile.events('order.placed'))} "
            f"{profile.last_order_time == max((e.occurred_at for e in profile.history), default=None)}"
            for profile in profiles]

@hookimpl
def rapport_segment_rules():
    return [
        SegmentRule(name="shop.level", returns="int", value=level, doc="how well"),
        SegmentRule(name="shop.letters", returns="int", matches=letters, doc="letters"),
        SegmentRule(name="shop.both", returns="int", value=region_in_sql, matches=letters, doc="letters"),
        SegmentRule(name="shop.maybe", returns="int", matches=letters, when_gone="unknown", doc="letters"),
        SegmentRule(name="shop.seen", returns="string", matches=seen, events=("order.placed",), doc="orders"),
    ]
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PluginHost]:
    """A plugin with rules in SQL, in Python and in both."""
    folder = tmp_path_factory.mktemp("plugins")
    # The breaker has tests of its own; here a plugin that works again works at once.
    breakers = Breakers(threshold=10**6)
    with PluginHost(
        ["shop"], modules={"shop": write_plugin(folder, SHOP)}, paths=[str(folder)], breakers=breakers
    ) as made:
        yield made


@pytest.fixture
def seg(make_database: DatabaseFactory, host: PluginHost) -> Iterator[World]:
    """Today, a day after THEN; one contact moved since from USA to VN, one the other way, one never."""
    with world(make_database.with_tables("segmentation"), plugins=host) as made:
        plugin_changes.notice_plugins(made.service)
        made.deliver(
            contact(MOVED, region_code="USA"),
            contact(CAME, region_code="VN"),
            contact(NEVER, region_code="USA"),
        )
        made.deliver(order(MOVED, NOW - days(1), "30"))
        made.clock.instant = TODAY
        made.deliver(
            contact(MOVED, revision=2, region_code="VN"),
            contact(CAME, revision=2, region_code="USA"),
            order(MOVED, TODAY, "5"),
        )
        yield made


def evaluated(seg: World, rule: str, at: datetime | None) -> set[UUID]:
    return set(previewing.evaluate_rule(seg.service, rule=rule, as_of=at, sample=1000).sample)


def matched(seg: World, rule: str, at: datetime | None) -> set[UUID]:
    return set(previewing.match_contacts(seg.service, rule, [MOVED, CAME, NEVER, contact_id(9)], at))


def frozen(seg: World, rule: str, at: datetime | None) -> set[UUID]:
    """Return the members of a snapshot, which is deleted again."""
    request = pb.SnapshotSegmentRequest(segment_id="frozen", rule=rule)
    if at is not None:
        request.as_of_time.CopyFrom(to_timestamp(at))
    with seg.db.transaction() as connection:
        snapshots.request_snapshot(seg.service, connection, request)
    try:
        snapshots.take_snapshot(seg.service, request, Progress())
        return seg.members("frozen")
    finally:
        with seg.db.transaction() as connection:
            defining.delete_segment(seg.service, connection, "frozen", "")


def explained(seg: World, rule: str, at: datetime | None) -> set[UUID]:
    keys = (MOVED, CAME, NEVER)
    return {
        key
        for key in keys
        if explain_membership(seg.service, key, rule=rule, as_of=at).explanation.outcome is True
    }


WAYS = [evaluated, matched, frozen, explained]


@pytest.mark.parametrize("way", WAYS)
def test_the_python_form_is_shown_the_profiles_of_then(seg: World, way: Any) -> None:
    for name in ("letters", "both", "maybe"):
        rule = f"shop.{name}(contact) == 3"
        assert way(seg, rule, None) == {CAME, NEVER}
        assert way(seg, rule, THEN) == {MOVED, NEVER}
    assert way(seg, 'shop.seen(contact) == "2 35 2 True"', None) == {MOVED}
    assert way(seg, 'shop.seen(contact) == "1 30 1 True"', THEN) == {MOVED}
    assert way(seg, 'shop.seen(contact) == "0 0 0 True"', THEN) == {CAME, NEVER}
    # In three values, and beside what else was otherwise then.
    assert way(seg, '!(shop.letters(contact) == 3) && contact.region_code == "VN"', THEN) == {CAME}
    assert way(seg, "shop.letters(contact) + shop.both(contact) == 6 || contact.order_count == 0", THEN) == {
        MOVED,
        CAME,
        NEVER,
    }


def test_a_segment_of_such_a_rule_is_evaluated_and_frozen_alike(seg: World) -> None:
    seg.define("usa", "shop.letters(contact) == 3")
    assert seg.members("usa") == {CAME, NEVER}
    found = previewing.evaluate_rule(seg.service, segment="usa", as_of=THEN, sample=10)
    assert (found.members, set(found.sample)) == (2, {MOVED, NEVER})
    request = pb.SnapshotSegmentRequest(
        segment_id="then", segment="segments/usa", as_of_time=to_timestamp(THEN)
    )
    with seg.db.transaction() as connection:
        snapshots.request_snapshot(seg.service, connection, request)
    assert snapshots.take_snapshot(seg.service, request, Progress()).member_count == 2
    assert seg.members("then") == {MOVED, NEVER}


@pytest.mark.parametrize("way", WAYS)
def test_a_rule_that_has_only_an_sql_form_is_refused(seg: World, way: Any) -> None:
    assert way(seg, "shop.level(contact) == 20", None) == {CAME, NEVER}
    # Whatever else the rule says: nobody is answered by half.
    for rule in ("shop.level(contact) == 20", "shop.letters(contact) == 3 || shop.level(contact) == 20"):
        with pytest.raises(FailedPrecondition, match="no Python form") as caught:
            way(seg, rule, THEN)
        assert (caught.value.reason, caught.value.metadata["object"]) == ("NO_PAST_ANSWER", "shop.level")


@pytest.mark.parametrize("way", WAYS)
def test_profiles_that_are_not_kept_are_shown_to_no_plugin(seg: World, way: Any) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        way(seg, "shop.letters(contact) == 3", NOW - seg.service.retention.profiles - days(9))
    assert caught.value.reason == "BEFORE_RETENTION"


def test_a_plugin_that_fails_leaves_no_list_behind(seg: World) -> None:
    seg.deliver(contact(NEVER, revision=2, region_code="XX"))
    rule, then = "shop.letters(contact) == 3", seg.clock.instant
    seg.clock.instant += days(1)
    seg.deliver(contact(NEVER, revision=3, region_code="VN"))
    assert evaluated(seg, rule, None) == {CAME}
    with pytest.raises(PluginError, match="never heard of XX"):
        evaluated(seg, rule, then)
    for way, reason in (
        (matched, "PLUGIN_FAILED"),
        (frozen, "SNAPSHOT_FAILED"),
        (explained, "PLUGIN_FAILED"),
    ):
        with pytest.raises(FailedPrecondition, match="never heard of XX") as caught:
            way(seg, rule, then)
        assert caught.value.reason == reason
        # A list is not filled later: it is said what to do.
        assert ("delete the list, and take the snapshot again" in caught.value.message) is (way is frozen)
    # One that declares so is then unknown; a snapshot would stay wrong for good.
    rule = 'shop.maybe(contact) == 3 || contact.region_code == "USA"'
    for way in (evaluated, matched, explained):
        assert way(seg, rule, then) == {CAME}
    with pytest.raises(FailedPrecondition, match="did not answer for all") as caught:
        frozen(seg, rule, then)
    assert caught.value.reason == "SNAPSHOT_FAILED"


def test_only_those_are_asked_about_for_whom_it_matters_and_in_batches(
    seg: World, host: PluginHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [contact_id(number) for number in range(100, 160)]
    seg.clock.instant = NOW
    seg.deliver(*(contact(key, region_code="USA" if at % 2 else "VN") for at, key in enumerate(many)))
    seg.clock.instant = TODAY
    seg.deliver(*(contact(key, revision=2, region_code="FRA") for key in many))
    asked: list[list[UUID]] = []
    real = host.matches

    def noted(name: str, params: Any, profiles: Any, now: datetime) -> Any:
        if profiles:
            asked.append([profile.contact_id for profile in profiles])
        return real(name, params, profiles, now)

    monkeypatch.setattr(host, "matches", noted)
    monkeypatch.setattr(answers, "PYTHON_BATCH", 10)
    rule = 'contact.region_code == "USA" && shop.letters(contact) == 3'
    assert evaluated(seg, rule, THEN) == {*many[1::2], MOVED, NEVER}
    assert sorted(key for some in asked for key in some) == sorted({*many[1::2], MOVED, NEVER})
    assert [len(some) for some in asked] == [10, 10, 10, 2]


def test_the_time_for_all_contacts_is_bounded(seg: World) -> None:
    with previewing.snapshot(seg.service) as connection:
        compiled = defining.compile_new(seg.service, connection, "shop.letters(contact) == 3")
        with pytest.raises(PluginTimeout, match="for all contacts"):
            select_members(seg.service, connection, compiled, THEN, past=True, timeout=0)


def test_now_is_not_past_although_the_clock_goes_on(seg: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def ticking(clock: FixedClock) -> datetime:
        clock.instant += timedelta(microseconds=1)
        return clock.instant

    monkeypatch.setattr(FixedClock, "now", ticking)
    for way in WAYS:
        assert way(seg, "shop.level(contact) == 20", None) == {CAME, NEVER}
