"""Hours at which people may be written to, by the clock on their wall.

A message may leave while the wall clock of its recipient shows a time in one of the send windows (any time when there
are none) and in none of the quiet hours. In the hour that comes twice when clocks go back, both are judged by what
the clock shows. Wall times that are skipped when clocks go forward are never shown: a window that starts among them
starts when the clock goes on, and one that lies wholly among them opens then for as long as it would have, so that
its day is not lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from services.campaign.domain.ids import RuleError

QUIET_HOURS, SEND_WINDOW = "QUIET_HOURS", "SEND_WINDOW"
DAY = 24 * 60
_WEEK = 7 * DAY
_ONE_DAY = timedelta(days=1)
_EVERY_DAY = frozenset(range(1, 8))
# Rules that allow a few minutes on one day of the week may meet a change of clocks there; they cannot do so for a year.
_LONGEST_SEARCH_DAYS = 370


@dataclass(frozen=True, slots=True)
class Span:
    """Hold hours of days, in minutes from midnight; one that ends at or before its start ends on the next day.

    days: ISO weekdays on which it starts, 1 is Monday; empty for every day. end: up to 1440, not included.
    """

    start: int
    end: int
    days: frozenset[int] = frozenset()

    @property
    def length(self) -> int:
        """Return how many minutes it has on a day of 24 hours."""
        return self.end - self.start if self.end > self.start else self.end - self.start + DAY

    def starts_on(self, weekday: int) -> bool:
        """Say whether it starts on an ISO weekday."""
        return weekday in (self.days or _EVERY_DAY)

    def holds(self, weekday: int, minute: int) -> bool:
        """Say whether a wall clock at this weekday and minute shows a time within."""
        if self.end > self.start:
            return self.start <= minute < self.end and self.starts_on(weekday)
        if minute >= self.start:
            return self.starts_on(weekday)
        return minute < self.end and self.starts_on((weekday - 2) % 7 + 1)


@dataclass(frozen=True, slots=True)
class Hours:
    """Hold quiet hours and send windows; both may be empty."""

    quiet: tuple[Span, ...] = ()
    windows: tuple[Span, ...] = ()

    def __bool__(self) -> bool:
        """Say whether they restrict anything."""
        return bool(self.quiet or self.windows)

    def problem(self, weekday: int, minute: int) -> str:
        """Return why a message must not leave at this wall time, or ""."""
        if any(span.holds(weekday, minute) for span in self.quiet):
            return QUIET_HOURS
        if self.windows and not any(span.holds(weekday, minute) for span in self.windows):
            return SEND_WINDOW
        return ""


def check_hours(hours: Hours) -> None:
    """Raise RuleError that names the field of a span out of range, or when no minute of the week is left."""
    for field, spans in (("quiet_hours", hours.quiet), ("send_windows", hours.windows)):
        for index, span in enumerate(spans):
            where = f"{field}[{index}]"
            if not 0 <= span.start < DAY:
                raise RuleError("must lie between 00:00 and 23:59", f"{where}.start_minute")
            if not 1 <= span.end <= DAY:
                raise RuleError("must lie between 00:01 and 24:00 (1440)", f"{where}.end_minute")
            if span.start == span.end:
                raise RuleError("is where it starts; a whole day is 0 to 1440", f"{where}.end_minute")
            if not span.days <= _EVERY_DAY:
                raise RuleError("weekdays are 1 (Monday) to 7 (Sunday)", f"{where}.days")
    if hours and all(hours.problem(at // DAY + 1, at % DAY) for at in range(_WEEK)):
        raise RuleError(
            "leave no minute of the week in which a message may be sent",
            "quiet_hours" if hours.quiet else "send_windows",
        )


def next_allowed(hours: Hours, zone: ZoneInfo, instant: datetime) -> tuple[datetime, str]:
    """Return the first instant from the given one on at which a message may leave, and why not before.

    instant: aware; the answer is in UTC, to the microsecond. The reason is "" when it is the given instant.
    Raises ValueError when the hours never allow it, which check_hours refuses.
    """
    start = instant.astimezone(UTC)
    wall = start.astimezone(zone)
    reason = hours.problem(wall.isoweekday(), wall.hour * 60 + wall.minute)
    if not reason:
        return start, ""
    changes = list(_changes(zone, start - 2 * _ONE_DAY, start + _ONE_DAY))
    if _moved(hours, changes, start):
        return start, ""
    # What may allow something begins at a boundary on the wall, or where the clock is changed: these are looked at,
    # in order.
    walls = (
        {time()} | {_wall(span.start) for span in hours.windows} | {_wall(span.end) for span in hours.quiet}
    )
    first = wall.date()
    for week in range(0, _LONGEST_SEARCH_DAYS, 7):
        from_day, to_day = first + timedelta(days=week - 1), first + timedelta(days=week + 8)
        changes = list(_changes(zone, _midnight(from_day) - _ONE_DAY, _midnight(to_day) + _ONE_DAY))
        candidates = {change.at for change in changes}
        for offset in range((to_day - from_day).days):
            day = from_day + timedelta(days=offset)
            for wall_time in walls:
                local = datetime.combine(day, wall_time, tzinfo=zone)
                candidates.add(local.astimezone(UTC))
                candidates.add(local.replace(fold=1).astimezone(UTC))
        for candidate in sorted(at for at in candidates if at > start):
            shown = candidate.astimezone(zone)
            if not hours.problem(shown.isoweekday(), shown.hour * 60 + shown.minute):
                return candidate, reason
            if _moved(hours, changes, candidate):
                return candidate, reason
    raise ValueError("the hours allow no instant within a year")


class HoursAhead:
    """Answer as next_allowed does, and look again only when the answer may be another.

    Whoever must wait at one moment must wait for the same one at all moments up to it.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self._waits: dict[tuple[Hours, str], tuple[datetime, datetime]] = {}

    def next(self, hours: Hours, zone: ZoneInfo, instant: datetime) -> tuple[datetime, str]:
        """Return what next_allowed returns."""
        known = self._waits.get((hours, zone.key))
        if known is not None and known[0] <= instant < known[1]:
            wall = instant.astimezone(zone)
            return known[1], hours.problem(wall.isoweekday(), wall.hour * 60 + wall.minute)
        until, reason = next_allowed(hours, zone, instant)
        if reason:
            self._waits[hours, zone.key] = (instant, until)
        return until, reason


@dataclass(frozen=True, slots=True)
class _Change:
    """Hold where a clock goes forward or back: the instant, and the wall times before and after it."""

    at: datetime
    before: datetime
    after: datetime


def _moved(hours: Hours, changes: Sequence[_Change], instant: datetime) -> bool:
    """Say whether a window that was skipped wholly as clocks went forward is open at an instant in its stead."""
    for change in changes:
        skipped = change.after - change.before
        # Where a whole date was skipped, as at the date line, its windows are gone with it.
        if not timedelta(0) < skipped < _ONE_DAY or not change.at <= instant < change.at + skipped:
            continue
        shown = change.after + (instant - change.at)
        weekday, minute = shown.isoweekday(), shown.hour * 60 + shown.minute
        if any(span.holds(weekday, minute) for span in hours.quiet):
            continue
        for day in {change.before.date(), change.after.date()}:
            for span in hours.windows:
                begin = datetime.combine(day, _wall(span.start))
                end = begin + timedelta(minutes=span.length)
                if (
                    span.starts_on(day.isoweekday())
                    and change.before <= begin
                    and end <= change.after
                    and instant < change.at + (end - begin)
                ):
                    return True
    return False


def _changes(zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[_Change]:
    """Yield the changes of a zone's clock between two instants; no zone has two within half a day."""
    step = _ONE_DAY / 2
    while start < end:
        until = start + step
        if _offset(zone, start) != _offset(zone, until):
            low, high = start, until
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) // 2
                if _offset(zone, middle) == _offset(zone, start):
                    low = middle
                else:
                    high = middle
            # They happen on a full second, and `low` lies within the second before.
            at = high.replace(microsecond=0)
            yield _Change(at, _naive(at + _offset(zone, low)), _naive(at + _offset(zone, high)))
        start = until


def _offset(zone: ZoneInfo, instant: datetime) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta(0)


def _naive(instant: datetime) -> datetime:
    return instant.replace(tzinfo=None)


def _wall(minute: int) -> time:
    return time(minute % DAY // 60, minute % 60)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)
