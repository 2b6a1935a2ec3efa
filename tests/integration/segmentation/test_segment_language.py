"""What the language promises, seen from the service: nesting, calendars, shares, and rules that mean the same."""

from __future__ import annotations

import shutil
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.kit.errors import FailedPrecondition, InvalidArgument
from services.segmentation.rules import zones as zone_names
from services.segmentation.rules.buckets import bucket_of
from services.segmentation.usecases import defining, upkeep
from services.segmentation.usecases.defining import Change
from tests.support.postgres import DatabaseFactory
from tests.support.segmentation import NOW, World, contact, contact_id, days, order, world

KEY, OTHER = contact_id(1), contact_id(2)


def change_rule(seg: World, id_: str, rule: str) -> None:
    with seg.db.transaction() as connection:
        defining.update_segment(seg.service, connection, id_, Change(rule=rule), "")


def entered(seg: World) -> list[tuple[object, ...]]:
    """Return the rows of memberships, with the times at which they began."""
    with seg.db.read() as connection:
        rows = connection.exec_driver_sql(
            "SELECT segment_number, contact_id, enter_time FROM membership ORDER BY 1, 2"
        )
        return [tuple(row) for row in rows]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('contact.region_code == "VN"', 'contact.region_code in ["VN"] && true'),
        ("events.order_placed.size() >= 1", "!(events.order_placed.size() < 1)"),
        (
            "events.order_placed.exists(o, now - o.time <= days(30))",
            "events.order_placed.filter(o, o.time >= now - hours(720)).size() > 0",
        ),
        ('in_segment("segments/base")', '!(!in_segment("segments/base"))'),
        ("now.getMonth() == 2", "now.getMonth() + 1 == 3"),
    ],
)
def test_an_equivalent_rule_disturbs_nobody(seg: World, before: str, after: str) -> None:
    """No event, not for those who depend on it either, and everybody is a member since when they were."""
    seg.define("base", "contact.has_email")
    seg.define("it", before)
    seg.define("above", 'in_segment("segments/it")')
    seg.deliver(contact(KEY, region_code="VN", has_email=True), contact(OTHER), order(KEY, NOW - days(1)))
    assert KEY in seg.members("it") & seg.members("above")
    rows, told = entered(seg), seg.told()
    seg.clock.instant = NOW + days(2)
    change_rule(seg, "it", after)
    result = seg.rebuild("it")
    assert [(r.segment, r.version, r.entered_count, r.left_count) for r in result.segments] == [
        ("segments/it", 2, 0, 0)
    ]
    assert entered(seg) == rows
    assert seg.told() == told


def define_levels(seg: World) -> None:
    """Define five levels of segments."""
    seg.define("recent", "events.order_placed.exists(o, now - o.time <= days(30))")
    seg.define("lapsed", '!in_segment("segments/recent") && events.order_placed.size() > 0')
    seg.define("win_back", 'in_segment("segments/lapsed") && contact.has_email')
    seg.define("either", 'in_segment("segments/win_back") || in_segment("segments/recent")')
    seg.define("neither", '!in_segment("segments/either") && contact.has_email')


def test_levels_of_segments_follow_events_time_and_rebuilds(seg: World) -> None:
    define_levels(seg)
    seg.deliver(contact(KEY, has_email=True))
    nothing = {"recent": set(), "lapsed": set(), "win_back": set(), "either": set(), "neither": {KEY}}
    assert seg.everybody() == nothing
    seg.deliver(order(KEY, NOW))
    bought = {"recent": {KEY}, "lapsed": set(), "win_back": set(), "either": {KEY}, "neither": set()}
    assert seg.everybody() == bought
    seg.clock.instant = NOW + days(30) + timedelta(microseconds=1)
    upkeep.expire(seg.service)
    lapsed = {"recent": set(), "lapsed": {KEY}, "win_back": {KEY}, "either": {KEY}, "neither": set()}
    assert seg.everybody() == lapsed
    told = seg.told()
    seg.rebuild()
    assert seg.everybody() == lapsed
    assert seg.told() == told
    # A longer window at the bottom reaches the top.
    change_rule(seg, "recent", "events.order_placed.exists(o, now - o.time <= days(60))")
    assert [item.segment for item in seg.rebuild("recent").segments][:2] == [
        "segments/recent",
        "segments/lapsed",
    ]
    assert seg.everybody() == bought


def test_a_circle_through_several_levels_is_refused(seg: World) -> None:
    define_levels(seg)
    with pytest.raises(FailedPrecondition) as caught:
        change_rule(seg, "recent", '!in_segment("segments/neither")')
    assert caught.value.reason == "SEGMENT_CYCLE"
    assert caught.value.metadata["cycle"].count(" -> ") >= 3
    with pytest.raises(FailedPrecondition):
        change_rule(seg, "recent", 'in_segment("segments/recent")')


BIRTHDAY = "contact.birth_date.getMonth() == now.getMonth() && contact.birth_date.getDate() == now.getDate()"


def test_birthdays_come_and_go_on_the_calendar_of_the_business(make_database: DatabaseFactory) -> None:
    """Also on the days on which clocks are moved, and through any downtime."""
    with world(make_database.with_tables("segmentation"), time_zone="America/New_York") as seg:
        seg.define("birthday", BIRTHDAY)
        seg.define("party", 'in_segment("segments/birthday") && contact.has_email')
        seg.deliver(contact(KEY, birth_date=date(1990, 3, 8), has_email=True))
        seg.deliver(contact(OTHER, birth_date=date(1990, 3, 9), has_email=True))
        begins, ends = datetime(2026, 3, 8, 5, tzinfo=UTC), datetime(2026, 3, 9, 4, tzinfo=UTC)
        for instant, members in (
            (begins - timedelta(microseconds=1), set()),
            (begins, {KEY}),
            (ends - timedelta(microseconds=1), {KEY}),
            (ends, {OTHER}),
            (ends + timedelta(days=1), set()),
            (datetime(2031, 3, 9, 3, tzinfo=UTC), {KEY}),
        ):
            seg.clock.instant = instant
            upkeep.expire(seg.service)
            assert seg.members("birthday") == seg.members("party") == members, instant
            due = seg.next_change(KEY)
            assert due is not None
            assert due > instant


def test_shares_are_even_and_stay(seg: World) -> None:
    seg.define("tenth", 'bucket("spring-2026") < 10')
    ids = [contact_id(number) for number in range(300)]
    seg.deliver(*(contact(key) for key in ids))
    wanted = {key for key in ids if bucket_of("spring-2026", 100, key) < 10}
    assert seg.members("tenth") == wanted
    seg.clock.instant = NOW + days(1000)
    upkeep.expire(seg.service)
    seg.rebuild()
    assert seg.members("tenth") == wanted
    assert 15 <= len(wanted) <= 45


@pytest.fixture
def own_zones(tmp_path: Path) -> Iterator[Path]:
    """A folder in which Python looks for time zones first."""
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath((str(tmp_path), *before))
    for cached in (zone_names.known_zones, zone_names.zone_problem, zone_names.zone_of, zoneinfo.ZoneInfo):
        (cached.clear_cache if isinstance(cached, type) else cached.cache_clear)()
    yield tmp_path
    zoneinfo.reset_tzpath(before)
    for cached in (zone_names.known_zones, zone_names.zone_problem, zone_names.zone_of, zoneinfo.ZoneInfo):
        (cached.clear_cache if isinstance(cached, type) else cached.cache_clear)()


def put_zone(folder: Path, name: str, of: str) -> None:
    """Make a zone with the clocks of another."""
    source = next(path for entry in zoneinfo.TZPATH if (path := Path(entry) / of).is_file())
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, folder / name)


def test_a_zone_that_only_python_knows_is_refused_with_its_place(seg: World, own_zones: Path) -> None:
    """The statement of every batch would fail."""
    put_zone(own_zones, "Asia/New_Saigon", "Asia/Ho_Chi_Minh")
    with pytest.raises(InvalidArgument) as caught:
        seg.define("new", 'contact.has_email && now.getHours("Asia/New_Saigon") == 9')
    assert caught.value.reason == "INVALID_RULE"
    assert (caught.value.metadata["line"], caught.value.metadata["column"]) == ("1", "34")
    assert 'the database has no time zone "Asia/New_Saigon"' in str(caught.value.violations)
    with pytest.raises(InvalidArgument, match="there is no time zone"):
        seg.define("new", 'now.getHours("Asia/Newer_Saigon") == 9')


def test_zone_data_of_another_release_are_told_of(seg: World, own_zones: Path) -> None:
    put_zone(own_zones, "Asia/Tokyo", "Asia/Ho_Chi_Minh")
    with capture_logs() as lines:
        seg.define("tokyo", 'now.getHours("Asia/Tokyo") == 9')
        seg.define("saigon", 'now.getHours("Asia/Ho_Chi_Minh") == 9')
    told = [line["zone"] for line in lines if "time zone data" in line["event"]]
    assert told == ["Asia/Tokyo"]
