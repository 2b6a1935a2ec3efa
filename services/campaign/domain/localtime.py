"""Moments that a local clock shows: time zones, and the days on which it is put forward or back.

A local time that the clock skips is taken with the offset before the gap, so 02:30 becomes 03:30; of one that it shows
twice the first counts. That is what RFC 5545 (3.3.5) says of calendars, and what `fold=0` means (PEP 495).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from services.campaign.domain.ids import RuleError


@lru_cache(maxsize=2048)
def find_zone(name: str) -> ZoneInfo | None:
    """Return the zone of an IANA name; None when it is empty, malformed or unknown."""
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        return None


def check_zone(name: str) -> ZoneInfo:
    """Return the zone of an IANA name; raises RuleError."""
    found = find_zone(name)
    if found is None:
        raise RuleError(f"{name[:60]!r} is no time zone: expected an IANA name, such as Asia/Ho_Chi_Minh")
    return found


def at_local(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """Return the moment, in UTC, at which the clocks of a zone show a time on a day."""
    return datetime.combine(day, clock, tzinfo=zone).astimezone(UTC)


def next_local(after: datetime, clock: time, weekdays: Collection[int], zone: ZoneInfo) -> datetime:
    """Return the first moment after another at which the clocks of a zone show a time, on one of some weekdays.

    weekdays: 1 is Monday; none: any. Always later, so that a loop with such a wait takes its time.
    """
    day = after.astimezone(zone).date() - timedelta(days=1)
    # Two weeks hold each weekday, also when a zone leaves a day out as it crosses the date line.
    for _ in range(16):
        found = at_local(day, clock, zone)
        if found > after and (not weekdays or day.isoweekday() in weekdays):
            return found
        day += timedelta(days=1)
    raise AssertionError("two weeks hold each weekday")


def anniversaries(day: date) -> tuple[tuple[int, int], ...]:
    """Return the (month, day) of dates whose anniversary a day is.

    Who was born on 29 February has it on 28 February in years without one.
    """
    if (day.month, day.day) == (2, 28) and not _leap(day.year):
        return (2, 28), (2, 29)
    return ((day.month, day.day),)


def _leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
