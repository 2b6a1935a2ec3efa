"""Business hours: worked examples, and laws against a count of single minutes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.care.domain.calendar import (
    Calendar,
    CalendarError,
    add_business_minutes,
    always_open,
    business_time_between,
    intervals,
)

SPLIT = ((8 * 60, 12 * 60), (13 * 60, 17 * 60))
NINE_TO_FIVE = ((9 * 60, 17 * 60),)


def office(zone: str, hours=SPLIT, days=range(1, 6), special=None) -> Calendar:
    return Calendar(ZoneInfo(zone), dict.fromkeys(days, hours), special or {})


def local(zone: str, *parts: int, fold: int = 0) -> datetime:
    return datetime(*parts, tzinfo=ZoneInfo(zone), fold=fold)


def test_lunch_break_does_not_count():
    zone = "Asia/Ho_Chi_Minh"
    due = add_business_minutes(office(zone), local(zone, 2026, 3, 2, 11, 30), 60)
    assert due == local(zone, 2026, 3, 2, 13, 30)


def test_weekend_and_holidays_do_not_count():
    zone = "Asia/Ho_Chi_Minh"
    tet = {date(2026, 2, 16) + timedelta(days=day): () for day in range(5)}
    due = add_business_minutes(office(zone, special=tet), local(zone, 2026, 2, 13, 16, 0), 120)
    assert due == local(zone, 2026, 2, 23, 9, 0)


def test_a_working_saturday_counts():
    zone = "Asia/Ho_Chi_Minh"
    due = add_business_minutes(
        office(zone, special={date(2026, 2, 28): SPLIT}), local(zone, 2026, 2, 27, 16, 30), 60
    )
    assert due == local(zone, 2026, 2, 28, 8, 30)


def test_a_due_time_at_closing_stays_at_closing():
    zone = "Europe/London"
    assert add_business_minutes(office(zone), local(zone, 2026, 3, 2, 16, 0), 60) == local(
        zone, 2026, 3, 2, 17, 0
    )


def test_hours_skipped_by_the_clock_do_not_count():
    zone = "America/New_York"
    night = office(zone, hours=((0, 24 * 60),), days=range(1, 8))
    assert add_business_minutes(night, local(zone, 2026, 3, 8, 1, 30), 60) == local(zone, 2026, 3, 8, 3, 30)
    gap = office(zone, hours=((2 * 60 + 10, 2 * 60 + 50),), days=[7])
    assert (
        business_time_between(gap, local(zone, 2026, 3, 7, 12, 0), local(zone, 2026, 3, 9, 12, 0))
        == timedelta()
    )


def test_hours_repeated_by_the_clock_count_twice():
    zone = "Europe/London"
    night = office(zone, hours=((0, 3 * 60),), days=[7])
    day = business_time_between(night, local(zone, 2026, 10, 25, 0, 0), local(zone, 2026, 10, 26, 0, 0))
    assert day == timedelta(hours=4)


def test_intervals_begin_at_the_moment_and_touch_at_midnight():
    zone = "UTC"
    round_the_clock = office(zone, hours=((0, 24 * 60),), days=range(1, 8))
    opened = intervals(round_the_clock, local(zone, 2026, 3, 2, 5, 0))
    assert next(opened) == (local(zone, 2026, 3, 2, 5, 0), local(zone, 2026, 3, 3))
    assert next(opened) == (local(zone, 2026, 3, 3), local(zone, 2026, 3, 4))


@pytest.mark.parametrize(
    "hours", [((600, 500),), ((0, 1441),), ((540, 720), (700, 800)), ((700, 800), (540, 600))], ids=str
)
def test_bad_hours_are_refused(hours):
    with pytest.raises(CalendarError):
        office("UTC", hours=hours)


def test_a_calendar_that_never_opens_has_no_due_time():
    with pytest.raises(CalendarError, match="20 years"):
        add_business_minutes(Calendar(ZoneInfo("UTC"), {}), datetime(2026, 1, 1, tzinfo=UTC), 1)


def test_special_days_may_close_a_calendar_for_good_or_be_its_only_opening():
    first = date(2026, 1, 4)
    sundays = {first + timedelta(weeks=week): () for week in range(21 * 53)}
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert not office("UTC", days=[7], special=sundays).opens_after(start)
    assert office("UTC", days=[7]).opens_after(start)
    once = office("UTC", days=[], special={first: SPLIT})
    assert once.opens_after(start)
    assert not once.opens_after(datetime(2026, 1, 4, 17, tzinfo=UTC))


ZONES = [
    "UTC",
    "Europe/London",
    "America/New_York",
    "Asia/Ho_Chi_Minh",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
]


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    def hours() -> tuple[tuple[int, int], ...]:
        cuts = sorted(draw(st.sets(st.integers(0, 96), max_size=6)))
        cuts = cuts[: len(cuts) // 2 * 2]
        return tuple((a * 15, b * 15) for a, b in zip(cuts[::2], cuts[1::2], strict=True))

    weekly = {day: hours() for day in draw(st.sets(st.integers(1, 7)))}
    first = date(2026, 1, 1)
    special = {
        first + timedelta(days=draw(st.integers(0, 400))): hours() for _ in range(draw(st.integers(0, 3)))
    }
    return Calendar(ZoneInfo(draw(st.sampled_from(ZONES))), weekly, special)


# Minutes around the changes of the clocks in 2026 and in between.
MOMENTS = st.one_of(
    st.datetimes(datetime(2026, 1, 2), datetime(2026, 12, 30)),
    st.datetimes(datetime(2026, 3, 7), datetime(2026, 3, 9)),
    st.datetimes(datetime(2026, 10, 24), datetime(2026, 10, 26)),
).map(lambda moment: moment.replace(second=0, microsecond=0, tzinfo=UTC))


def is_open(calendar: Calendar, minute: datetime) -> bool:
    """Tell by the wall clock alone, as a person at the door would."""
    wall = minute.astimezone(calendar.zone)
    inside = wall.hour * 60 + wall.minute
    return any(start <= inside < end for start, end in calendar.hours(wall.date()))


@settings(max_examples=150, deadline=None)
@given(calendars(), MOMENTS, st.integers(0, 3 * 24 * 60))
def test_business_time_is_the_count_of_open_minutes(calendar: Calendar, start: datetime, span: int):
    # Repeated wall times at an interval's edge belong to it by definition; the person at the door cannot tell.
    end = start + timedelta(minutes=span)
    offsets = {
        (start + timedelta(hours=h)).astimezone(calendar.zone).utcoffset()
        for h in range(-30, span // 60 + 32)
    }
    counted = timedelta(minutes=sum(is_open(calendar, start + timedelta(minutes=m)) for m in range(span)))
    computed = business_time_between(calendar, start, end)
    if len(offsets) == 1:
        assert computed == counted
    else:
        assert abs(computed - counted) <= timedelta(hours=2)


@settings(max_examples=200, deadline=None)
@given(calendars(), MOMENTS, st.integers(1, 5000))
def test_adding_is_the_inverse_of_counting(calendar: Calendar, start: datetime, minutes: int):
    if not any(calendar.weekly.values()):
        return
    due = add_business_minutes(calendar, start, minutes)
    assert business_time_between(calendar, start, due) == timedelta(minutes=minutes)
    assert business_time_between(calendar, start, due - timedelta(microseconds=1)) < timedelta(
        minutes=minutes
    )


@settings(max_examples=200, deadline=None)
@given(calendars(), MOMENTS, st.integers(0, 3000), st.integers(0, 3000))
def test_adding_adds_up(calendar: Calendar, start: datetime, one: int, two: int):
    if not any(calendar.weekly.values()):
        return
    twice = add_business_minutes(calendar, add_business_minutes(calendar, start, one), two)
    assert twice == add_business_minutes(calendar, start, one + two)


@given(MOMENTS, st.integers(0, 10_000))
def test_around_the_clock_is_plain_addition(start: datetime, minutes: int):
    assert add_business_minutes(always_open(), start, minutes) == start + timedelta(minutes=minutes)
