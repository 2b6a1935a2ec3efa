"""Ages and birthdays on the business's calendar, and the range ``now`` may have."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

FIRST_TIME = datetime(1, 1, 2, tzinfo=UTC)
LAST_TIME = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""Range of times that are stored; CEL's library cannot pass the very first and last instants of the
calendar.
"""
FIRST_NOW = datetime(1001, 1, 1, tzinfo=UTC)
LAST_NOW = datetime(8999, 1, 1, tzinfo=UTC)
LAST_CHANGE = datetime(9999, 1, 1, tzinfo=UTC)


def check_now(now: datetime) -> datetime:
    """Return the instant in UTC; ValueError when it has no zone or lies beyond the years 1001 to 8998."""
    if now.tzinfo is None:
        raise ValueError(f"the instant of evaluation {now} has no time zone")
    now = now.astimezone(UTC)
    if not FIRST_NOW <= now < LAST_NOW:
        raise ValueError(f"the instant of evaluation {now} is out of range: use the years 1001 to 8998")
    return now


def day_start(day: date, time_zone: str) -> datetime:
    """Return the first instant of a day in a zone, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(time_zone)).astimezone(UTC)


def age_at(born: date, now: datetime, time_zone: str) -> int | None:
    """Return full years at ``now``; None before the birth. Who was born on 29 February turns on 1 March in
    other years.
    """
    today = now.astimezone(ZoneInfo(time_zone)).date()
    if born > today:
        return None
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def birthday(born: date, years: int) -> date:
    """Return the day on which the age becomes ``years``."""
    try:
        return born.replace(year=born.year + years)
    except ValueError:
        return date(born.year + years, 3, 1)


def birthdays_after(born: date, now: datetime, time_zone: str, count: int) -> list[datetime]:
    """Return the next instants, at most ``count``, at which the age changes."""
    age = age_at(born, now, time_zone)
    first = 0 if age is None else age + 1
    instants = []
    for years in range(first, first + count):
        if born.year + years >= LAST_CHANGE.year:
            break
        instant = day_start(birthday(born, years), time_zone)
        if instant > now:
            instants.append(instant)
    return instants


STEP = timedelta(microseconds=1)
