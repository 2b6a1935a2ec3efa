"""Rules and traits of plugins: what they add, and that a bad or missing one changes nobody's membership."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from rapport.segmentation.v1 import segmentation_pb2 as pb

from services.kit.errors import FailedPrecondition, InvalidArgument, NotFound
from services.kit.plugins import PluginError, PluginHost
from services.kit.plugins.breaker import Breakers
from services.segmentation.rulebook import Rulebook
from services.segmentation.usecases import defining, plugin_changes, previewing, reading, traits, upkeep
from tests.plugins.plugin_sources import write_plugin
from tests.support.postgres import DatabaseFactory
from tests.support.segmentation import NOW, Progress, World, contact, contact_id, days, order, world

KEY, OTHER, THIRD = contact_id(1), contact_id(2), contact_id(3)

SHOP = """
from rapport_sdk import Timed

def level(ctx, params):
    # Fails for a batch that holds a contact with exactly five orders.
    return literal(100) // (5 - ctx.profile.c.order_count)

def within(ctx, params):
    orders = ctx.events("order.placed")
    last = orders.per_contact(last=func.max(orders.c.occurred_at)).last
    until = last + timedelta(days=params["days"])
    return Timed(func.coalesce(until > ctx.now, False), case((until > ctx.now, until)))

def letters(ctx, params, profiles):
    if any(profile.region_code == "XX" for profile in profiles):
        raise RuntimeError("never heard of XX")
    return [None if profile.region_code is None else len(profile.region_code) for profile in profiles]

@hookimpl
def rapport_segment_rules():
    return [
        SegmentRule(name="shop.level", returns="int", value=level, version=VERSION, doc="how well"),
        SegmentRule(name="shop.within", returns="bool", value=within, events=("order.placed",),
                    parameters=(Parameter("days", "int", choices=(7, 30)),), doc="bought lately"),
        SegmentRule(name="shop.letters", returns="int", matches=letters, doc="letters"),
        SegmentRule(name="shop.maybe", returns="int", value=level, when_gone="unknown", doc="how well"),
    ]

@hookimpl
def rapport_traits():
    def columns(name):
        return lambda ctx: {name: case((ctx.profile.c.order_count > 0, ctx.profile.c.order_count))}
    return [
        Trait(name="shop.kept", columns={"shop_kept": "int"}, value=columns("shop_kept"),
              refresh=timedelta(hours=1), doc="kept"),
        Trait(name="shop.cleared", columns={"shop_cleared": "int"}, value=columns("shop_cleared"),
              refresh=timedelta(days=1), when_gone="clear", doc="cleared"),
        Trait(name="shop.bad", columns={"shop_bad": "int"}, refresh=timedelta(days=300), doc="bad",
              value=lambda ctx: {"shop_bad": literal(100) // (5 - ctx.profile.c.order_count)}),
    ]
"""


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, PluginHost]]:
    """Plugin hosts: with the shop's plugin, with a newer version of it, and with none."""
    folder = tmp_path_factory.mktemp("plugins")
    made = {}
    for name, version in (("old", 1), ("new", 2)):
        module = write_plugin(folder, SHOP.replace("VERSION", str(version)))
        # The breaker has tests of its own; here a plugin that works again works at once.
        breakers = Breakers(threshold=10**6)
        made[name] = PluginHost(["shop"], modules={"shop": module}, paths=[str(folder)], breakers=breakers)
    made["none"] = PluginHost(["nothing"])
    yield made
    for host in made.values():
        host.close()


@pytest.fixture
def seg(make_database: DatabaseFactory, hosts: dict[str, PluginHost]) -> Iterator[World]:
    """The service with the shop's plugin."""
    with world(make_database.with_tables("segmentation"), plugins=hosts["old"]) as made:
        plugin_changes.notice_plugins(made.service)
        yield made


def with_host(seg: World, host: PluginHost) -> World:
    """Return the service as a process with other plugins sees it, after it has noticed."""
    service = dataclasses.replace(seg.service, plugins=host, book=Rulebook("UTC"))
    plugin_changes.notice_plugins(service)
    return World(service, seg.clock)


def state(seg: World, id_: str) -> tuple[str, str, str, bool]:
    with seg.db.read() as connection:
        found = defining.load(connection, id_)
    return found.state, found.state_message, found.stalled, found.gone


def buy(seg: World, key: Any, count: int) -> None:
    seg.deliver(*(order(key, NOW - days(number)) for number in range(count)))


def started(seg: World) -> list[list[str]]:
    """Return the segments of each rebuild that was asked for, in order."""
    requests = seg.query("SELECT request FROM operation WHERE kind = 'rebuild_segments' ORDER BY id")
    return [list(pb.RebuildSegmentsRequest.FromString(item).names) for item in requests]


def test_a_rule_with_sql_is_evaluated_with_the_rest(seg: World) -> None:
    """By increments, by a rebuild and in a preview alike; it sees what its own batch changed."""
    seg.define("high", 'shop.level(contact) >= 50 && contact.region_code == "VN"')
    seg.define("others", 'in_segment("segments/high") || shop.letters(contact) == 3')
    seg.deliver(
        contact(KEY, region_code="VN"), contact(OTHER, region_code="VN"), contact(THIRD, region_code="USA")
    )
    assert seg.everybody() == {"high": set(), "others": {THIRD}}
    buy(seg, KEY, 4)
    assert seg.everybody() == {"high": {KEY}, "others": {KEY, THIRD}}
    before = seg.everybody()
    assert all(item.entered_count == item.left_count == 0 for item in seg.rebuild().segments)
    assert seg.everybody() == before
    found = previewing.evaluate_rule(seg.service, rule="shop.level(contact) >= 20", sample=10)
    assert (found.members, found.contacts, set(found.sample)) == (3, 3, {KEY, OTHER, THIRD})
    assert previewing.evaluate_rule(seg.service, segment="others").members == 2


def test_a_plugins_own_time_window_lapses_on_time(seg: World) -> None:
    """Its next change counts like those of the rule's other parts."""
    seg.define("week", "shop.within(contact, 7)")
    seg.deliver(contact(KEY), order(KEY, NOW - days(2)))
    assert seg.members("week") == {KEY}
    assert seg.next_change(KEY) == NOW + days(5)
    seg.clock.instant = NOW + days(5)
    assert upkeep.expire(seg.service) == 1
    assert seg.members("week") == set()
    seg.define("month", "shop.within(contact, 30)")
    assert seg.members("month") == {KEY}
    assert seg.next_change(KEY) == NOW + days(28)


def test_arguments_are_checked_when_the_rule_is_saved(seg: World) -> None:
    """With what would be right."""
    for rule in ("shop.within(contact, 8)", "shop.level(contact, 1) > 3", "shop.nothing(contact)"):
        with pytest.raises(InvalidArgument) as caught:
            seg.define("bad", rule)
        assert caught.value.reason == "INVALID_RULE"
    with pytest.raises(InvalidArgument, match="7"):
        seg.define("bad", "shop.within(contact, 8)")


@pytest.mark.parametrize("form", ["sql", "python"])
def test_a_failing_plugin_keeps_its_segments_and_stops_no_other(seg: World, form: str) -> None:
    """Contacts that could not be evaluated are remembered, and evaluated once it works again."""
    rule = "shop.level(contact) >= 20" if form == "sql" else "shop.letters(contact) == 2"
    seg.define("plugged", rule)
    seg.define("buyers", "contact.order_count >= 5")
    seg.deliver(contact(KEY, region_code="VN"), contact(OTHER, region_code="VN"))
    assert seg.members("plugged") == {KEY, OTHER}
    seg.deliver(*(order(KEY, NOW) for _ in range(5)), contact(KEY, revision=2, region_code="XX"))
    # What does not need the plugin went on; KEY stays in the segment that does.
    assert seg.everybody() == {"plugged": {KEY, OTHER}, "buyers": {KEY}}
    assert seg.query("SELECT contact_id FROM stale") == [KEY]
    now, message, stalled, gone = state(seg, "plugged")
    assert (now, message, gone) == ("ready", "", False)
    assert f"shop.{'level' if form == 'sql' else 'letters'}" in stalled
    assert state(seg, "buyers") == ("ready", "", "", False)
    assert upkeep.retry_waiting(seg.service) == 0
    assert seg.query("SELECT contact_id FROM stale") == [KEY]
    # A rebuild fails as well, and keeps the members.
    with pytest.raises(FailedPrecondition, match="plugged"):
        seg.rebuild()
    assert seg.everybody() == {"plugged": {KEY, OTHER}, "buyers": {KEY}}
    assert state(seg, "plugged")[0] == "failed"
    # The cause goes away without an event about it.
    with seg.db.transaction() as connection:
        connection.exec_driver_sql(
            "UPDATE profile SET order_count = 6, region_code = 'USA' WHERE order_count = 5"
        )
    assert upkeep.retry_waiting(seg.service) == 1
    assert seg.everybody() == {"plugged": {OTHER}, "buyers": {KEY}}
    assert state(seg, "plugged")[2] == ""
    seg.rebuild()
    assert state(seg, "plugged") == ("ready", "", "", False)


def test_a_rule_that_is_unknown_when_its_plugin_fails(seg: World) -> None:
    """As it declared; once it works again everybody is evaluated again."""
    seg.define("maybe", "shop.maybe(contact) >= 20")
    seg.define("either", 'shop.maybe(contact) >= 20 || contact.region_code == "VN"')
    seg.deliver(contact(KEY, region_code="VN"), contact(OTHER))
    assert seg.everybody() == {"maybe": {KEY, OTHER}, "either": {KEY, OTHER}}
    buy(seg, KEY, 5)
    assert seg.everybody() == {"maybe": {OTHER}, "either": {KEY, OTHER}}
    assert state(seg, "maybe") == ("ready", "", "", False)
    seg.rebuild()
    assert seg.everybody() == {"maybe": set(), "either": {KEY}}
    assert upkeep.retry_waiting(seg.service) == 0
    # The rebuild found everybody unknown, so everybody is asked about again.
    assert set(seg.query("SELECT contact_id FROM stale")) == {KEY, OTHER}
    buy(seg, OTHER, 1)
    with seg.db.transaction() as connection:
        connection.exec_driver_sql("UPDATE profile SET order_count = 4 WHERE order_count = 5")
    assert upkeep.retry_waiting(seg.service) == 1
    assert seg.everybody() == {"maybe": {KEY, OTHER}, "either": {KEY, OTHER}}
    assert seg.query("SELECT count(*) FROM stale") == [0]


def test_a_missing_plugin_keeps_its_segments_until_it_is_back(
    seg: World, hosts: dict[str, PluginHost]
) -> None:
    """The segment says so; once the plugin is back a rebuild catches up."""
    seg.define("high", "shop.level(contact) >= 50")
    seg.define("maybe", "shop.maybe(contact) >= 50")
    seg.define("beside", '!in_segment("segments/high") && contact.order_count > 0')
    seg.deliver(contact(KEY), contact(OTHER))
    buy(seg, KEY, 4)
    assert seg.everybody() == {"high": {KEY}, "maybe": {KEY}, "beside": set()}
    without = with_host(seg, hosts["none"])
    now, _, stalled, gone = state(without, "high")
    assert (now, gone) == ("ready", True)
    assert "plugin 'shop' is not installed" in stalled
    assert state(without, "maybe") == ("building", "", "", True)
    without.rebuild("maybe")
    assert state(without, "maybe") == ("ready", "", "", True)
    without.deliver(*(order(OTHER, NOW) for _ in range(4)))
    without.deliver(contact(KEY, revision=2, region_code="VN"))
    assert without.everybody() == {"high": {KEY}, "maybe": set(), "beside": {OTHER}}
    assert seg.query("SELECT count(*) FROM stale") == [0]
    with pytest.raises(FailedPrecondition, match="not installed"):
        without.rebuild("high")
    assert without.members("high") == {KEY}
    (function,) = [
        item for item in reading.get_schema(without.service).functions if item.name == "shop.level"
    ]
    assert (function.available, function.returns) == (False, "int")
    with pytest.raises(InvalidArgument, match="shop"):
        without.define("new", "shop.level(contact) > 1")
    back = with_host(seg, hosts["old"])
    (request,) = seg.query(
        "SELECT request FROM operation WHERE kind = 'rebuild_segments' ORDER BY id DESC LIMIT 1"
    )
    assert pb.RebuildSegmentsRequest.FromString(request).names == ["segments/high", "segments/maybe"]
    assert state(back, "high")[0] == "building"
    back.rebuild("high", "maybe")
    assert back.everybody() == {"high": {KEY, OTHER}, "maybe": {KEY, OTHER}, "beside": set()}
    assert state(back, "maybe") == ("ready", "", "", False)
    assert state(back, "high") == ("ready", "", "", False)


def test_another_version_of_a_rule_starts_a_rebuild_once(seg: World, hosts: dict[str, PluginHost]) -> None:
    """The same contact may get another answer now."""
    seg.define("high", "shop.level(contact) >= 50")
    seg.define("other", "shop.letters(contact) >= 50")
    newer = with_host(seg, hosts["new"])
    assert started(seg) == [["segments/high"], ["segments/other"], ["segments/high"]]
    newer.rebuild("high")
    plugin_changes.notice_plugins(newer.service)
    assert len(started(seg)) == 3


def test_traits_are_computed_for_everybody_and_reach_the_segments(seg: World) -> None:
    """Only what differs is written; unknown values are absent."""
    seg.define("known", "contact.traits.shop_kept >= 2")
    seg.deliver(contact(KEY), contact(OTHER), contact(THIRD))
    buy(seg, KEY, 2)
    buy(seg, OTHER, 1)
    progress = Progress()
    request = pb.RefreshTraitsRequest(traits=["shop.kept", "shop.cleared"])
    result = traits.refresh(seg.service, request, progress)
    assert result == pb.RefreshTraitsResult(changed_count=4, traits=["shop.kept", "shop.cleared"])
    assert reading.get_profile(seg.service, KEY).traits == {"shop_kept": 2, "shop_cleared": 2}
    assert reading.get_profile(seg.service, THIRD).traits == {}
    assert seg.members("known") == {KEY}
    assert traits.refresh(seg.service, request, Progress()).changed_count == 0
    buy(seg, OTHER, 3)
    assert traits.refresh(seg.service, request, Progress()).changed_count == 2
    assert seg.members("known") == {KEY, OTHER}
    assert seg.query("SELECT count(*) FROM pg_class WHERE relname = 'fresh_trait'") == [0]


def test_a_trait_is_refreshed_when_it_is_due(seg: World) -> None:
    """At once when it is new, then at its interval; one that fails says why and is tried again before that."""
    seg.deliver(contact(KEY))
    buy(seg, KEY, 5)
    assert traits.refresh_due(seg.service) == 3
    assert reading.get_profile(seg.service, KEY).traits == {"shop_kept": 5, "shop_cleared": 5}
    (message,) = seg.query("SELECT message FROM trait WHERE name = 'shop.bad'")
    assert "shop.bad" in message
    assert traits.refresh_due(seg.service) == 0
    seg.clock.instant += timedelta(hours=1)
    # The hourly one, and the one that failed.
    assert traits.refresh_due(seg.service) == 2


def test_a_failing_trait_keeps_its_last_values(seg: World) -> None:
    """And the operation says what failed."""
    seg.deliver(contact(KEY))
    request = pb.RefreshTraitsRequest(traits=["shop.bad"])
    traits.refresh(seg.service, request, Progress())
    assert reading.get_profile(seg.service, KEY).traits == {"shop_bad": 20}
    buy(seg, KEY, 5)
    with pytest.raises(PluginError, match=r"shop\.bad"):
        traits.refresh(seg.service, request, Progress())
    assert reading.get_profile(seg.service, KEY).traits == {"shop_bad": 20}
    with pytest.raises(NotFound) as caught:
        traits.request_refresh(seg.service, pb.RefreshTraitsRequest(traits=["shop.none"]))
    assert caught.value.reason == "TRAIT_NOT_FOUND"


def test_traits_of_a_missing_plugin_stay_or_go_as_declared(seg: World, hosts: dict[str, PluginHost]) -> None:
    """Segments that use them follow."""
    seg.define("kept", "contact.traits.shop_kept == 2")
    seg.define("cleared", "contact.traits.shop_cleared == 2")
    seg.deliver(contact(KEY))
    buy(seg, KEY, 2)
    traits.refresh_due(seg.service)
    assert seg.everybody() == {"kept": {KEY}, "cleared": {KEY}}
    without = with_host(seg, hosts["none"])
    assert reading.get_profile(without.service, KEY).traits == {"shop_kept": 2, "shop_bad": 33}
    assert without.everybody() == {"kept": {KEY}, "cleared": set()}
    without.deliver(order(KEY, NOW))
    without.rebuild()
    assert without.everybody() == {"kept": {KEY}, "cleared": set()}
    with pytest.raises(InvalidArgument, match="shop_kept"):
        without.define("new", "contact.traits.shop_kept == 2")
    back = with_host(seg, hosts["old"])
    traits.refresh_due(back.service)
    assert reading.get_profile(back.service, KEY).traits == {
        "shop_kept": 3,
        "shop_cleared": 3,
        "shop_bad": 50,
    }


def test_plugins_see_no_more_than_their_views(seg: World) -> None:
    """The role may read sdk.profile and sdk.event, and nothing else."""
    with seg.db.read() as connection:
        user = connection.exec_driver_sql("SELECT current_user").scalar_one()
        rows = connection.exec_driver_sql(
            "SELECT table_schema || '.' || table_name || ' ' || privilege_type "
            "FROM information_schema.table_privileges WHERE grantee = %(role)s ORDER BY 1",
            {"role": f"{user}_plugin"},
        ).scalars()
        assert list(rows) == ["sdk.event SELECT", "sdk.profile SELECT"]
