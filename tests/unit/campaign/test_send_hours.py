"""Hours by the clock on the wall, beside an oracle that goes minute by minute, on days when clocks are changed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.campaign.domain.hours import (
    QUIET_HOURS,
    SEND_WINDOW,
    Hours,
    Span,
    check_hours,
    next_allowed,
)
from services.campaign.domain.ids import RuleError
from services.campaign.domain.localtime import find_zone

MINUTE = timedelta(minutes=1)
# Forward and back at night, by half an hour, at midnight, and zones without or with odd offsets.
CHANGES = [
    ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("America/Santiago", datetime(2026, 9, 6, 4, tzinfo=UTC)),
    ("Africa/Cairo", datetime(2026, 4, 23, 22, tzinfo=UTC)),
    ("Asia/Ho_Chi_Minh", datetime(2026, 6, 1, 0, tzinfo=UTC)),
    ("Asia/Kathmandu", datetime(2026, 6, 1, 0, tzinfo=UTC)),
]


def allowed(hours: Hours, zone: ZoneInfo, instant: datetime) -> bool:
    """Say, from nothing but the wall clock and what it skipped in the last day, whether a message may leave."""
    wall = instant.astimezone(zone).replace(tzinfo=None)

    def within(span: Span) -> bool:
        for back in (0, 1):
            day = wall.date() - timedelta(days=back)
            begin = datetime.combine(day, datetime.min.time()) + span.start * MINUTE
            if (
                not span.days or day.isoweekday() in span.days
            ) and begin <= wall < begin + span.length * MINUTE:
                return True
        return False

    if any(within(span) for span in hours.quiet):
        return False
    if not hours.windows or any(within(span) for span in hours.windows):
        return True
    # A window of which the wall clock never showed a minute is open from where the clock went on.
    for span in hours.windows:
        for back in (0, 1):
            day = wall.date() - timedelta(days=back)
            if span.days and day.isoweekday() not in span.days:
                continue
            begin = datetime.combine(day, datetime.min.time()) + span.start * MINUTE
            shown = [begin + number * MINUTE for number in range(span.length)]
            if any(is_shown(moment, zone) for moment in shown):
                continue
            first = begin.replace(tzinfo=zone).astimezone(UTC) - timedelta(hours=3)
            while first.astimezone(zone).replace(tzinfo=None) < begin:
                first += MINUTE
            if first <= instant < first + span.length * MINUTE:
                return True
    return False


def is_shown(moment: datetime, zone: ZoneInfo) -> bool:
    there = moment.replace(tzinfo=zone).astimezone(UTC)
    return there.astimezone(zone).replace(tzinfo=None) == moment


def spans(most: int) -> st.SearchStrategy[tuple[Span, ...]]:
    quarter = st.integers(0, 95).map(lambda number: number * 15)
    one = st.builds(
        lambda start, length, days: Span(start, (start + length - 1) % 1440 + 1, days),
        quarter,
        st.integers(1, 60).map(lambda number: number * 15),
        st.one_of(st.just(frozenset[int]()), st.frozensets(st.integers(1, 7), min_size=3)),
    ).filter(lambda span: span.start != span.end)
    return st.lists(one, max_size=most).map(tuple)


def usable(hours: Hours) -> bool:
    try:
        check_hours(hours)
    except RuleError:
        return False
    return True


@settings(max_examples=30, deadline=None)
@given(
    st.builds(Hours, spans(2), spans(2)).filter(usable),
    st.sampled_from(CHANGES),
    st.integers(-26 * 60, 6 * 60),
)
@example(Hours(windows=(Span(120, 180),)), CHANGES[0], -60)
@example(Hours(windows=(Span(135, 165),)), CHANGES[2], -60)
@example(Hours(windows=(Span(150, 240),)), CHANGES[0], -60)
@example(Hours(quiet=(Span(1320, 150),)), CHANGES[0], -120)
@example(Hours(windows=(Span(0, 30),)), CHANGES[6], -120)
@example(Hours(windows=(Span(90, 150),)), CHANGES[1], -30)
def test_the_next_instant_is_the_first_that_the_wall_clock_allows(
    hours: Hours, change: tuple[str, datetime], offset: int
) -> None:
    zone, start = ZoneInfo(change[0]), change[1] + offset * MINUTE
    found, reason = next_allowed(hours, zone, start)
    expected = start
    while not allowed(hours, zone, expected) and expected < start + timedelta(days=2):
        expected += MINUTE
    if allowed(hours, zone, expected):
        assert found == expected
    else:
        assert found > expected
        assert allowed(hours, zone, found)
    assert bool(reason) == (found != start)


@pytest.mark.parametrize(
    ("hours", "instant", "expected", "reason"),
    [
        # 22:00 to 08:00, at 23:00 in Berlin, over the night in which an hour is skipped.
        (Hours(quiet=(Span(1320, 480),)), "2026-03-28T22:00", "2026-03-29T06:00", QUIET_HOURS),
        # The window of the night starts among the skipped times: it opens at 03:00 of the new time.
        (Hours(windows=(Span(150, 240),)), "2026-03-29T00:30", "2026-03-29T01:00", SEND_WINDOW),
        # It lies wholly among them: it is not lost, and is over after its own length.
        (Hours(windows=(Span(135, 165),)), "2026-03-29T00:30", "2026-03-29T01:00", SEND_WINDOW),
        (Hours(windows=(Span(135, 165),)), "2026-03-29T01:29", "2026-03-29T01:29", ""),
        (Hours(windows=(Span(135, 165),)), "2026-03-29T01:30", "2026-03-30T00:15", SEND_WINDOW),
        # The hour that comes twice: both times are within.
        (Hours(windows=(Span(150, 180),)), "2026-10-25T00:00", "2026-10-25T00:30", SEND_WINDOW),
        (Hours(windows=(Span(150, 180),)), "2026-10-25T01:00", "2026-10-25T01:30", SEND_WINDOW),
        # Weekdays alone, asked on a Saturday.
        (
            Hours(windows=(Span(540, 1020, frozenset(range(1, 6))),)),
            "2026-02-28T12:00",
            "2026-03-02T08:00",
            SEND_WINDOW,
        ),
        # Friday's evening ends on Saturday morning.
        (Hours(windows=(Span(1200, 120, frozenset({5})),)), "2026-03-07T00:59", "2026-03-07T00:59", ""),
        (
            Hours(windows=(Span(1200, 120, frozenset({5})),)),
            "2026-03-07T01:00",
            "2026-03-13T19:00",
            SEND_WINDOW,
        ),
    ],
)
def test_hours_of_berlin(hours: Hours, instant: str, expected: str, reason: str) -> None:
    start = datetime.fromisoformat(instant).replace(tzinfo=UTC)
    assert next_allowed(hours, ZoneInfo("Europe/Berlin"), start) == (
        datetime.fromisoformat(expected).replace(tzinfo=UTC),
        reason,
    )


def test_a_date_that_never_was_has_no_hours() -> None:
    # Samoa skipped Friday, 30 December 2011.
    fridays = Hours(windows=(Span(540, 600, frozenset({5})),))
    found, _ = next_allowed(fridays, ZoneInfo("Pacific/Apia"), datetime(2011, 12, 29, 20, tzinfo=UTC))
    assert found.astimezone(ZoneInfo("Pacific/Apia")).date() == date(2012, 1, 6)


def test_seconds_count() -> None:
    at = datetime(2026, 3, 1, 7, 59, 59, 999_999, tzinfo=UTC)
    hours = Hours(quiet=(Span(1320, 480),))
    assert next_allowed(hours, ZoneInfo("UTC"), at) == (at + timedelta(microseconds=1), QUIET_HOURS)


@pytest.mark.parametrize(
    ("hours", "field"),
    [
        (Hours(quiet=(Span(0, 1440),)), "quiet_hours"),
        (Hours(quiet=(Span(0, 720), Span(720, 1440))), "quiet_hours"),
        (Hours(quiet=(Span(480, 1200),), windows=(Span(540, 1020),)), "quiet_hours"),
        (Hours(windows=(Span(60, 60),)), "send_windows[0].end_minute"),
        (Hours(windows=(Span(60, 120), Span(-1, 60))), "send_windows[1].start_minute"),
        (Hours(windows=(Span(60, 1441),)), "send_windows[0].end_minute"),
        (Hours(windows=(Span(60, 120, frozenset({0})),)), "send_windows[0].days"),
    ],
)
def test_hours_that_never_allow_anything_are_refused(hours: Hours, field: str) -> None:
    with pytest.raises(RuleError) as caught:
        check_hours(hours)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "name", ["", "Mars/Base", "../etc/passwd", "/etc/localtime", "Europe", "x" * 5000, "a\0b"]
)
def test_zones_that_nobody_knows(name: str) -> None:
    assert find_zone(name) is None
