"""Campaigns that are launched by themselves, once or again and again, and those that go on for who comes later."""

from __future__ import annotations

import threading
from datetime import MAXYEAR, UTC, date, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from dateutil.rrule import rrulestr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rapport.segmentation.v1 import events_pb2 as segment_events

from services.campaign.domain import schedules as schedule_rules
from services.campaign.domain.ids import RuleError
from services.campaign.domain.schedules import Schedule, check_schedule, moment_of, occurrences, put_off
from services.campaign.domain.schedules import launches as launches_of
from services.campaign.domain.utm import LinkSettings
from services.campaign.models import campaign, kit, message
from services.campaign.usecases import campaigns, launching, link_settings, schedules
from services.kit.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable
from services.kit.runtime import Runtime
from tests.integration.campaign.test_campaign_journeys import event, feed
from tests.support.campaign import (
    NOW,
    World,
    begin_launch,
    claim_operation,
    clock_of,
    counts,
    make_campaign,
    make_template,
)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def local(text: str) -> datetime:
    return datetime.fromisoformat(text)


def plan(**values: Any) -> Schedule:
    given: dict[str, Any] = {"start": local("2026-03-02T09:00"), "zone": "UTC"}
    return Schedule(**(given | values))


def state(runtime: Runtime, key: str) -> str:
    return campaigns.get_campaign(runtime, key)[0].state


def runs(runtime: Runtime, key: str = "spring") -> list[tuple[str, str, int]]:
    found = schedules.list_runs(runtime, key, before=None, count=50)
    return [(item.run, item.reason, item.count) for item in reversed(found)]


def launches(runtime: Runtime) -> list[UUID]:
    with runtime.db.read() as connection:
        return list(connection.scalars(sa.select(kit.operation.c.id).order_by(kit.operation.c.id)))


def do_launches(runtime: Runtime) -> None:
    """Plan the audiences of all launches that are under way."""
    for key in launches(runtime):
        op = claim_operation(runtime, key)
        launching._plan(runtime, op, op.request.name.removeprefix("campaigns/"))  # type: ignore[attr-defined]


def end(runtime: Runtime, key: str) -> None:
    with runtime.db.transaction() as connection:
        connection.execute(sa.update(campaign).where(campaign.c.id == key).values(state="done"))


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"zone": "Mars/Base"}, "time_zone"),
        ({"start": local("2024-01-01T00:00")}, "start_time"),
        ({"catch_up": 8 * DAY}, "catch_up"),
        ({"recurrence": "FREQ=MINUTELY"}, "recurrence"),
        ({"recurrence": "FREQ=SECONDLY"}, "recurrence"),
        ({"recurrence": "FREQ=HOURLY;BYMINUTE=0,1"}, "recurrence"),
        ({"recurrence": "FREQ=DAILY;INTERVAL=0"}, "recurrence"),
        ({"recurrence": "FREQ=DAILY;COUNT=99999"}, "recurrence"),
        ({"recurrence": "FREQ=DAILY;UNTIL=20270101T000000Z"}, "recurrence"),
        ({"recurrence": "FREQ=DAILY;COUNT=3;UNTIL=20270101"}, "recurrence"),
        ({"recurrence": "FREQ=DAILY;BYDAY=XX"}, "recurrence"),
        ({"recurrence": "FREQ=DAILY;UNTIL=20261301"}, "recurrence"),
        ({"recurrence": "every day"}, "recurrence"),
        ({"recurrence": "FREQ=MONTHLY;BYDAY=MO,-1FR"}, "recurrence"),
        ({"recurrence": "FREQ=DAILY\nDTSTART:20200101"}, "recurrence"),
    ],
)
def test_unsound_schedules_are_refused(values: dict[str, Any], field: str) -> None:
    with pytest.raises(RuleError) as caught:
        check_schedule(plan(**values), NOW)
    assert caught.value.field == field


@pytest.mark.parametrize("end", ["", ";COUNT=3", ";UNTIL=20990101"])
@pytest.mark.parametrize("frequency", ["HOURLY", "DAILY"])
def test_a_rule_that_never_comes_true_ends(frequency: str, end: str) -> None:
    rule = f"FREQ={frequency};BYMONTH=2;BYMONTHDAY=30{end}"
    assert list(occurrences(plan(recurrence=rule), None)) == []


@pytest.mark.parametrize("first", range(2000, 2090))
def test_a_search_begins_where_little_time_is_left(first: int) -> None:
    shift = put_off(first, first + 7)
    # Of the 8,000 years to the end of time, which the library searches for what never comes.
    assert MAXYEAR - (date(first, 1, 1) + shift).year < 50
    for day in (date(first, 2, 28), date(first + 3, 12, 31), date(first + 7, 3, 1)):
        assert ((day + shift).month, (day + shift).day) == (day.month, day.day)
        assert (day + shift).weekday() == day.weekday()


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2190, 1, 1)).map(lambda at: at.replace(microsecond=0)),
    st.sampled_from(
        [
            "HOURLY;INTERVAL=5",
            "DAILY;INTERVAL=3;BYMONTH=2",
            "DAILY;BYHOUR=3,9;BYDAY=TU",
            "WEEKLY;INTERVAL=2;BYDAY=MO,FR;WKST=SU",
            "MONTHLY;BYMONTHDAY=-1,29,30",
            "MONTHLY;INTERVAL=2;BYDAY=-1FR",
            "MONTHLY;BYDAY=TU,WE;BYSETPOS=-1",
            "YEARLY",
            "YEARLY;BYMONTH=2;BYDAY=2MO",
        ]
    ),
)
@example(datetime(2096, 2, 29, 8), "YEARLY")
def test_occurrences_are_those_of_the_library(start: datetime, rule: str) -> None:
    ours = list(islice(occurrences(plan(start=start, recurrence=f"FREQ={rule}"), None), 12))
    assert ours == list(islice(rrulestr(f"FREQ={rule}", dtstart=start), len(ours)))
    # No leap year follows 2096 for eight years, which ends the series.
    assert len(ours) == 12 or (rule == "YEARLY" and (start.month, start.day) == (2, 29))


def test_a_series_ends_by_count_or_by_a_last_time() -> None:
    third = local("2026-03-04T09:00")
    counted = plan(recurrence="FREQ=DAILY;COUNT=3")
    assert [item.day for item in occurrences(counted, None)] == [2, 3, 4]
    assert list(occurrences(counted, third - DAY)) == [third]
    assert list(occurrences(plan(recurrence="FREQ=DAILY;UNTIL=20260304T090000"), None))[-1] == third
    leap = plan(start=local("2024-02-29T08:00"), recurrence="FREQ=YEARLY;COUNT=20")
    assert [item.year for item in islice(occurrences(leap, None), 3)] == [2024, 2028, 2032]


def test_clocks_that_are_put_forward_and_back() -> None:
    daily = plan(start=local("2026-03-28T02:30"), zone="Europe/Berlin", recurrence="FREQ=DAILY;COUNT=3")
    moments = [moment_of(daily, item) for item in occurrences(daily, None)]
    # On 29 March 02:00 becomes 03:00: 02:30 is taken with the offset before, as 03:30.
    assert moments == [
        datetime(2026, 3, 28, 1, 30, tzinfo=UTC),
        datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
        datetime(2026, 3, 30, 0, 30, tzinfo=UTC),
    ]
    autumn = plan(start=local("2026-10-25T02:30"), zone="Europe/Berlin")
    assert moment_of(autumn, autumn.start) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_what_clocks_let_fall_together_is_launched_once() -> None:
    hourly = plan(start=local("2026-03-29T01:15"), zone="Europe/Berlin", recurrence="FREQ=HOURLY;COUNT=4")
    # 02:15 is not shown: it is 03:15, which comes anyway.
    assert [(str(at.time()), moment.hour) for at, moment in launches_of(hourly)] == [
        ("01:15:00", 0),
        ("02:15:00", 1),
        ("04:15:00", 2),
    ]
    assert list(launches_of(hourly, local("2026-03-29T02:15"))) == list(launches_of(hourly))[1:]
    twice = plan(
        start=local("2026-03-28T02:00"), zone="Europe/Berlin", recurrence="FREQ=DAILY;BYHOUR=2,3;COUNT=6"
    )
    assert len(list(occurrences(twice, None))) == 6
    assert [moment.day for _, moment in launches_of(twice)] == [28, 28, 29, 30, 30]


ZONES = st.sampled_from(["America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Ho_Chi_Minh"])


@given(
    ZONES,
    st.sampled_from(["HOURLY", "DAILY", "WEEKLY", "MONTHLY"]),
    st.datetimes(local("2026-01-01"), local("2027-01-01")),
)
@settings(max_examples=40, deadline=None)
def test_occurrences_rise_and_going_on_from_one_skips_none(
    zone: str, frequency: str, start: datetime
) -> None:
    item = plan(start=start.replace(microsecond=0), zone=zone, recurrence=f"FREQ={frequency}")
    found = list(islice(occurrences(item, None), 30))
    assert found == sorted(set(found))
    assert list(islice(occurrences(item, found[9]), 20)) == found[10:]
    moments = [moment for _, moment in islice(launches_of(item), 30)]
    assert moments == sorted(set(moments))


def test_runs_count_their_links_as_their_series_does(runtime: Runtime, world: World) -> None:
    make_template(runtime)
    make_campaign(runtime)
    link_settings.set_settings(runtime, LinkSettings(origin="campaigns/spring", utm_source="mail"))
    schedules.schedule_campaign(runtime, "spring", plan(recurrence="FREQ=DAILY"))
    clock_of(runtime).instant = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    assert schedules.launch_due(runtime) == 1
    found = link_settings.get_settings(runtime, "campaigns/spring.1")
    assert found == LinkSettings(origin="campaigns/spring.1", utm_source="mail")


def test_a_campaign_is_launched_at_its_time_by_one_worker(runtime: Runtime, world: World) -> None:
    world.add(3)
    make_template(runtime)
    make_campaign(runtime)
    schedules.schedule_campaign(runtime, "spring", plan())
    assert state(runtime, "spring") == "scheduled"
    with pytest.raises(FailedPrecondition):
        begin_launch(runtime)
    assert schedules.launch_due(runtime) == 0
    clock_of(runtime).instant = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda: results.append(schedules.launch_due(runtime))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [0, 0, 0, 1]
    assert len(launches(runtime)) == 1
    do_launches(runtime)
    assert (state(runtime, "spring"), counts(runtime).audience) == ("sending", 3)
    assert runs(runtime) == [("spring", "", 1)]
    assert schedules.get_schedule(runtime, "spring", 5)[1] == []


def test_runs_of_a_series_have_counts_of_their_own_and_do_not_pile_up(runtime: Runtime, world: World) -> None:
    world.add(2)
    make_template(runtime)
    make_campaign(runtime)
    schedules.schedule_campaign(runtime, "spring", plan(recurrence="FREQ=DAILY;COUNT=5"))
    for day in (2, 3):
        clock_of(runtime).instant = datetime(2026, 3, day, 9, 0, tzinfo=UTC)
        schedules.launch_due(runtime)
    # The second came while the first was sent.
    assert runs(runtime) == [("spring.1", "", 1), ("", "PREVIOUS_RUNS", 1)]
    do_launches(runtime)
    assert (counts(runtime, "spring.1").audience, counts(runtime).audience) == (2, 0)
    assert campaigns.get_campaign(runtime, "spring.1")[0].series == "spring"
    end(runtime, "spring.1")
    # Nobody was there on the fourth, and on the fifth too late.
    clock_of(runtime).instant = datetime(2026, 3, 5, 10, 30, tzinfo=UTC)
    assert schedules.launch_due(runtime) == 0
    assert runs(runtime)[2:] == [("", "TOO_LATE", 2)]
    clock_of(runtime).instant = datetime(2026, 3, 6, 9, 30, tzinfo=UTC)
    assert schedules.launch_due(runtime) == 1
    assert runs(runtime)[3:] == [("spring.2", "", 1)]
    assert state(runtime, "spring") == "done"


def test_a_schedule_is_taken_back(runtime: Runtime, world: World) -> None:
    make_template(runtime)
    make_campaign(runtime)
    with pytest.raises(FailedPrecondition) as over:
        schedules.schedule_campaign(runtime, "spring", plan(start=local("2026-02-01T09:00")))
    assert over.value.reason == "SCHEDULE_OVER"
    schedules.schedule_campaign(runtime, "spring", plan())
    assert schedules.unschedule_campaign(runtime, "spring").state == "draft"
    clock_of(runtime).instant = NOW + 2 * DAY
    assert schedules.launch_due(runtime) == 0
    schedules.schedule_campaign(runtime, "spring", plan(start=local("2026-03-09T09:00")))
    campaigns.change_state(runtime, "cancel", "spring")
    clock_of(runtime).instant = NOW + 9 * DAY
    assert schedules.launch_due(runtime) == 0
    assert state(runtime, "spring") == "cancelled"


def entered(name: str, at: datetime) -> Any:
    return event(name, "segment.entered", segment_events.MembershipChanged(segment="segments/all"), at=at)


def test_an_evergreen_campaign_reaches_who_enters_later_once(runtime: Runtime, world: World) -> None:
    early, member = world.add(2)
    make_template(runtime)
    make_campaign(runtime, evergreen=True)
    make_campaign(runtime, "fixed")
    with pytest.raises(InvalidArgument):
        schedules.schedule_campaign(runtime, "spring", plan(recurrence="FREQ=DAILY"))
    world.members["segments/all"] = [member]
    op = begin_launch(runtime)
    launching._plan(runtime, op, "spring")
    launching._plan(runtime, begin_launch(runtime, "fixed"), "fixed")
    feed(runtime, entered(early, NOW + HOUR), entered(early, NOW + 2 * HOUR), entered(member, NOW + HOUR))
    feed(runtime, entered(early, NOW - HOUR))
    assert (counts(runtime).audience, counts(runtime, "fixed").audience) == (2, 1)
    with runtime.db.transaction() as connection:
        connection.execute(sa.update(message).values(state="sent"))
    launching._follow(runtime, op, "spring")
    # All is sent, yet it goes on until somebody ends it.
    [late] = world.add()
    feed(runtime, entered(late, NOW + DAY))
    assert (state(runtime, "spring"), counts(runtime).audience) == ("sending", 3)
    campaigns.change_state(runtime, "cancel", "spring")
    [last] = world.add()
    feed(runtime, entered(last, NOW + DAY))
    assert counts(runtime).audience == 3


def test_a_campaign_that_cannot_be_asked_about_holds_up_no_other(
    runtime: Runtime, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add(1)
    make_template(runtime)
    make_campaign(runtime, "first")
    make_campaign(runtime, "second")
    for key in ("first", "second"):
        schedules.schedule_campaign(runtime, key, plan(start=local("2026-03-02T09:00")))
    check = schedules.check_launch

    def away(runtime: Runtime, connection: Any, item: Any) -> None:
        if item.id == "first":
            raise Unavailable("segments/all cannot be asked for")
        check(runtime, connection, item)

    clock_of(runtime).instant = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    monkeypatch.setattr(schedules, "check_launch", away)
    assert schedules.launch_due(runtime) == 1
    assert (state(runtime, "first"), state(runtime, "second")) == ("scheduled", "planning")
    monkeypatch.setattr(schedules, "check_launch", check)
    assert schedules.launch_due(runtime) == 1
    assert state(runtime, "first") == "planning"


def test_a_series_goes_out_once_in_the_hour_that_clocks_skip(runtime: Runtime, world: World) -> None:
    world.add(1)
    make_template(runtime)
    make_campaign(runtime)
    hourly = plan(
        start=local("2026-03-29T01:00"), zone="Europe/Berlin", recurrence="FREQ=HOURLY", catch_up=timedelta(0)
    )
    clock_of(runtime).instant = datetime(2026, 3, 28, tzinfo=UTC)
    schedules.schedule_campaign(runtime, "spring", hourly)
    for hour in range(3):
        clock_of(runtime).instant = datetime(2026, 3, 29, hour, tzinfo=UTC)
        while schedules.launch_due(runtime):
            end(runtime, f"spring.{len(launches(runtime))}")
    assert runs(runtime) == [("spring.1", "", 1), ("spring.2", "", 1), ("spring.3", "", 1)]


def test_a_time_zone_that_is_gone_holds_up_no_other(
    runtime: Runtime, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add(1)
    make_template(runtime)
    for key, zone in (("first", "Europe/Berlin"), ("second", "UTC")):
        make_campaign(runtime, key)
        schedules.schedule_campaign(runtime, key, plan(zone=zone))
    known = schedule_rules.check_zone

    def check(name: str) -> Any:
        if name == "Europe/Berlin":
            raise RuleError("is no time zone any more")
        return known(name)

    clock_of(runtime).instant = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    monkeypatch.setattr(schedule_rules, "check_zone", check)
    assert schedules.launch_due(runtime) == 1
    assert (state(runtime, "first"), state(runtime, "second")) == ("scheduled", "planning")


def test_a_segment_that_is_gone_ends_the_occurrence_only(
    runtime: Runtime, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_template(runtime)
    make_campaign(runtime)
    schedules.schedule_campaign(runtime, "spring", plan(recurrence="FREQ=DAILY"))

    def gone(*_: Any) -> None:
        raise NotFound.resource("segments/all")

    monkeypatch.setattr(schedules, "check_launch", gone)
    clock_of(runtime).instant = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    assert schedules.launch_due(runtime) == 0
    assert runs(runtime) == [("", "NOT_FOUND", 1)]
    assert state(runtime, "spring") == "scheduled"
