"""Rules of plugins inside segments: those that take too long change nobody, and of two forms the right one is asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.kit.errors import FailedPrecondition
from services.kit.plugins import PluginHost
from services.kit.plugins.breaker import Breakers
from services.segmentation.domain import Limits
from services.segmentation.usecases import answers, defining, plugin_changes, previewing, upkeep
from services.segmentation.usecases.explaining import explain_membership
from tests.plugins.plugin_sources import write_plugin
from tests.support.postgres import DatabaseFactory
from tests.support.segmentation import NOW, World, contact, contact_id, days, order, world

KEY, OTHER, THIRD = contact_id(1), contact_id(2), contact_id(3)

SHOP = """
def waits(ctx, params, profiles):
    if any(profile.region_code == "ZZ" for profile in profiles):
        time.sleep(600)
    return [None if p.region_code is None else len(p.region_code) for p in profiles]

def burns(ctx, params, profiles):
    while any(profile.region_code == "ZZ" for profile in profiles):
        pass
    return [None if p.region_code is None else len(p.region_code) for p in profiles]

def endless(ctx, params):
    region = ctx.profile.c.region_code
    many = case((region == "ZZ", 2_000_000_000), else_=func.length(region))
    return select(func.count()).select_from(func.generate_series(1, many).alias()).scalar_subquery()

def recent(ctx, params):
    orders = ctx.events("order.placed")
    since = timedelta(days=params["days"])
    found = orders.where(orders.c.occurred_at > ctx.now - since).per_contact(
        n=func.count(), oldest=func.min(orders.c.occurred_at)
    )
    return Timed(func.coalesce(found.n, 0), found.oldest + since)

def recent_in_python(ctx, params, profiles):
    with open(ASKED, "a") as notes:
        print(len(profiles), file=notes)
    since = timedelta(days=params["days"])
    found = []
    for profile in profiles:
        times = [e.occurred_at for e in profile.events("order.placed") if e.occurred_at > ctx.now - since]
        found.append(Timed(len(times), min(times) + since if times else None))
    return found

@hookimpl
def rapport_segment_rules():
    return [
        SegmentRule("shop.waits", "int", matches=waits, doc="letters, after a while"),
        SegmentRule("shop.burns", "int", matches=burns, doc="letters, after much work"),
        SegmentRule("shop.endless", "int", value=endless, doc="letters, counted one by one"),
        SegmentRule("shop.recent", "int", value=recent, matches=recent_in_python, events=("order.placed",),
                    parameters=(Parameter("days", "int"),), doc="orders of the last days"),
    ]
"""

MakeWorld = Callable[..., World]


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """Where the Python form of shop.recent notes how many it was asked about."""
    return tmp_path / "asked"


@pytest.fixture
def make_world(make_database: DatabaseFactory, tmp_path: Path, asked: Path) -> Iterator[MakeWorld]:
    """Make the service with the shop's plugin, under the limits given."""
    module = write_plugin(tmp_path, SHOP.replace("ASKED", repr(str(asked))))
    hosts, worlds = [], []

    def make(**limits: float) -> World:
        host = PluginHost(
            ["shop"],
            modules={"shop": module},
            paths=[str(tmp_path)],
            breakers=Breakers(threshold=10**6),
            **limits,  # type: ignore[arg-type]
        )
        hosts.append(host)
        opened = world(make_database.with_tables("segmentation"), plugins=host)
        made = opened.__enter__()
        worlds.append(opened)
        plugin_changes.notice_plugins(made.service)
        return made

    yield make
    for opened in worlds:
        opened.__exit__(None, None, None)
    for host in hosts:
        host.close()


def stalled(seg: World, id_: str) -> str:
    with seg.db.read() as connection:
        return defining.load(connection, id_).stalled


@pytest.mark.parametrize(
    ("name", "limits", "problem"),
    [
        ("waits", {"deadline": 3.0}, "did not answer within 3 s"),
        ("burns", {"deadline": 60.0, "cpu_seconds": 1}, "used up its CPU time"),
        ("endless", {}, "SQL took longer than 2 s"),
    ],
)
def test_a_rule_that_takes_too_long_keeps_the_last_members(
    make_world: MakeWorld,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    limits: dict[str, float],
    problem: str,
) -> None:
    """In an increment, a retry and a rebuild; the segment says so, others go on, and it catches up by itself."""
    monkeypatch.setattr(answers, "SQL_SECONDS", 2.0)
    made = make_world(**limits)
    seg = World(dataclasses.replace(made.service, limits=Limits(rebuild=2.0)), made.clock)
    seg.define("plugged", f"shop.{name}(contact) == 2")
    seg.define("not_plugged", f"!(shop.{name}(contact) == 2) || contact.has_email")
    seg.define("buyers", "contact.order_count >= 1")
    seg.deliver(
        contact(KEY, region_code="VN"), contact(OTHER, region_code="VN"), contact(THIRD, region_code="USA")
    )
    before = {"plugged": {KEY, OTHER}, "not_plugged": {THIRD}, "buyers": set()}
    assert seg.everybody() == before
    told = len(seg.told())
    seg.deliver(contact(KEY, revision=2, region_code="ZZ", has_email=True), order(KEY, NOW))
    assert seg.everybody() == {**before, "buyers": {KEY}}
    assert [item[:3] for item in seg.told()[told:]] == [("segment.entered", "buyers", KEY)]
    for segment in ("plugged", "not_plugged"):
        assert f"shop.{name}" in stalled(seg, segment)
        assert problem in stalled(seg, segment)
    assert stalled(seg, "buyers") == ""
    assert seg.query("SELECT contact_id FROM stale") == [KEY]
    assert upkeep.retry_waiting(seg.service) == 0
    with pytest.raises(FailedPrecondition, match=problem):
        seg.rebuild("plugged")
    assert seg.everybody() == {**before, "buyers": {KEY}}
    # The cause goes away without an event about it.
    with seg.db.transaction() as connection:
        connection.exec_driver_sql("UPDATE profile SET region_code = 'USA' WHERE region_code = 'ZZ'")
    assert upkeep.retry_waiting(seg.service) == 1
    after = {"plugged": {OTHER}, "not_plugged": {KEY, THIRD}, "buyers": {KEY}}
    assert seg.everybody() == after
    assert stalled(seg, "plugged") == stalled(seg, "not_plugged") == ""
    assert seg.query("SELECT count(*) FROM stale") == [0]
    assert all(item.entered_count == item.left_count == 0 for item in seg.rebuild().segments)
    assert seg.everybody() == after


def test_of_two_forms_sql_answers_for_now_and_python_for_the_past(make_world: MakeWorld, asked: Path) -> None:
    """By increments, rebuilds, previews and on time; only Python can be shown a profile of the past."""
    seg = make_world()
    rule = "shop.recent(contact, 7) >= 2 || (shop.recent(contact, 30) >= 3 && !contact.has_email)"
    seg.define("regulars", rule)
    seg.deliver(contact(KEY), contact(OTHER), contact(THIRD, has_email=True))
    seg.deliver(*(order(KEY, NOW - days(number)) for number in (1, 2)))
    seg.deliver(*(order(key, NOW - days(number)) for number in (10, 11, 12) for key in (OTHER, THIRD)))
    assert seg.members("regulars") == {KEY, OTHER}
    assert seg.next_change(KEY) == NOW + days(5)
    (rebuilt,) = seg.rebuild("regulars").segments
    assert (rebuilt.entered_count, rebuilt.left_count, rebuilt.member_count) == (0, 0, 2)
    assert previewing.evaluate_rule(seg.service, rule=f"!({rule})", sample=10).sample == [THIRD]
    seg.clock.instant = NOW + days(5)
    assert upkeep.expire(seg.service) == 1
    assert seg.members("regulars") == {OTHER}
    seg.clock.instant = NOW + days(18)
    upkeep.expire(seg.service)
    assert seg.members("regulars") == set()
    assert not asked.exists()
    past = explain_membership(seg.service, KEY, rule=rule, as_of=NOW).explanation
    assert past.outcome is True
    assert set(asked.read_text().split()) == {"1"}
    now = explain_membership(seg.service, KEY, rule=rule).explanation
    assert now.outcome is False
    for instant in (NOW + days(5), NOW + days(5) - days(0.001)):
        found = explain_membership(seg.service, KEY, rule=rule, as_of=instant).explanation
        assert found.outcome is (instant < NOW + days(5))
