"""Arithmetic on business hours.

A calendar gives the hours of each week day by the wall clock of its zone, and special days that differ (holidays,
working Saturdays). Business time is real time that passes inside the hours, so a day on which the clocks change counts
what really passes:

- a wall time that a forward change skips stands for the moment of the change (an interval inside the gap is empty);
- of a wall time that a backward change repeats, the first one starts an interval and the second one ends it.

All moments that come in and go out are aware; those that go out are in UTC.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

MINUTES_OF_DAY = 24 * 60
HORIZON_DAYS = 366 * 20
"""How far a due time may lie ahead; a calendar that is closed for so long never opens."""

Hours = tuple[tuple[int, int], ...]
"""Intervals of a day in minutes since midnight by the wall clock, [start, end), ascending; 1440 is 24:00."""


class CalendarError(ValueError):
    """Report a calendar that cannot be worked with, naming the day and the interval."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """Hold business hours.

    weekly: hours by ISO week day, 1 for Monday to 7 for Sunday; a day that is missing is closed. special: hours by
    date, empty for closed; they take the place of the week day's. Raises CalendarError for hours that overlap or are
    out of a day.
    """

    zone: ZoneInfo
    weekly: Mapping[int, Hours]
    special: Mapping[date, Hours] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for day, hours in self.weekly.items():
            if day not in range(1, 8):
                raise CalendarError(f"week day {day}: expected 1 (Monday) to 7 (Sunday)")
            _check_hours(hours, f"week day {day}")
        for special_day, hours in self.special.items():
            _check_hours(hours, special_day.isoformat())

    def hours(self, day: date) -> Hours:
        """Return the hours of a local day."""
        special = self.special.get(day)
        return self.weekly.get(day.isoweekday(), ()) if special is None else special

    def opens_after(self, moment: datetime) -> bool:
        """Say whether there is any opening within 20 years after a moment."""
        return next(intervals(self, moment.astimezone(UTC)), None) is not None


def always_open() -> Calendar:
    """Return the calendar without closing hours."""
    return Calendar(ZoneInfo("UTC"), dict.fromkeys(range(1, 8), ((0, MINUTES_OF_DAY),)))


def _check_hours(hours: Hours, where: str) -> None:
    last = 0
    for start, end in hours:
        if not 0 <= start < end <= MINUTES_OF_DAY:
            raise CalendarError(f"{where}: {_clock(start)}-{_clock(end)} is no interval within 00:00-24:00")
        if start < last:
            raise CalendarError(
                f"{where}: {_clock(start)}-{_clock(end)} overlaps or precedes the interval before it"
            )
        last = end


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def intervals(calendar: Calendar, start: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield the open intervals that end after a moment, ascending and disjoint (they may touch), within the horizon."""
    first = start.astimezone(calendar.zone).date() - timedelta(days=1)
    done = start
    for offset in range(HORIZON_DAYS):
        day = first + timedelta(days=offset)
        for begin, end in calendar.hours(day):
            # Repeated wall times make intervals overlap that touch on the wall clock.
            opening = max(_moment(calendar.zone, day, begin, first=True), done)
            closing = _moment(calendar.zone, day, end, first=False)
            if opening < closing:
                yield opening, closing
                done = closing


def add_business_minutes(calendar: Calendar, start: datetime, minutes: int) -> datetime:
    """Return the moment at which so many business minutes have passed since the start.

    For 0 minutes that is the start itself. A due time that falls on a closing stays there and does not move to the next
    opening. Raises CalendarError when the calendar does not open for long enough within 20 years.
    """
    if minutes < 0:
        raise CalendarError(f"{minutes} minutes: expected none or more")
    start = start.astimezone(UTC)
    left = timedelta(minutes=minutes)
    if not left:
        return start
    for opening, closing in intervals(calendar, start):
        if closing - opening >= left:
            return opening + left
        left -= closing - opening
    raise CalendarError(
        f"the calendar is not open for {minutes} minutes within 20 years after {start.isoformat()}"
    )


def business_time_between(calendar: Calendar, start: datetime, end: datetime) -> timedelta:
    """Return how much business time lies in [start, end); zero when the end is not after the start."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    total = timedelta()
    if end <= start:
        return total
    for opening, closing in intervals(calendar, start):
        if opening >= end:
            break
        total += min(closing, end) - opening
    return total


def _moment(zone: ZoneInfo, day: date, minute: int, *, first: bool) -> datetime:
    if minute == MINUTES_OF_DAY:
        day, minute = day + timedelta(days=1), 0
    wall = datetime.combine(day, time(minute // 60, minute % 60), zone)
    early, late = wall.replace(fold=0).astimezone(UTC), wall.replace(fold=1).astimezone(UTC)
    if early == late:
        return early
    if early < late:
        return early if first else late
    # The wall time is skipped. PEP 495: fold=0 takes the offset before the change, which gives a moment after it.
    return _change(zone, late, early)


def _change(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """Return the moment in (low, high] at which the offset changes, to the second."""
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high
