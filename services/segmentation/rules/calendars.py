"""Calendar values of an instant in a time zone, numbered as CEL does, and when time alone changes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from services.segmentation.rules.moments import LAST_CHANGE
from services.segmentation.rules.zones import zone_of

Grain = Literal["year", "month", "day", "hour", "minute", "second", "milliseconds"]
SECOND = timedelta(seconds=1)
NEAR = timedelta(days=3)
"""How near a far boundary is approached before clocks are minded: no clock was ever moved by more."""


@dataclass(frozen=True, slots=True)
class Part:
    """Describe a calendar function: what it counts, how often that changes, and of a local time its value.

    ``size`` values from 0 are possible; None when there is no bound. ``follows_now`` tells whether it may ask ``now``.
    """

    grain: Grain
    size: int | None
    read: Callable[[datetime], int]
    follows_now: bool = True


PARTS: dict[str, Part] = {
    "getFullYear": Part("year", None, lambda local: local.year),
    "getMonth": Part("month", 12, lambda local: local.month - 1),
    "getDate": Part("day", 32, lambda local: local.day),
    "getDayOfMonth": Part("day", 31, lambda local: local.day - 1),
    "getDayOfWeek": Part("day", 7, lambda local: local.isoweekday() % 7),
    "getDayOfYear": Part("day", 366, lambda local: local.timetuple().tm_yday - 1),
    "getHours": Part("hour", 24, lambda local: local.hour),
    "getMinutes": Part("minute", 60, lambda local: local.minute),
    # A rule that asked these of now would have to be evaluated for everybody at every tick.
    "getSeconds": Part("second", 60, lambda local: local.second, follows_now=False),
    "getMilliseconds": Part("milliseconds", 1000, lambda local: local.microsecond // 1000, follows_now=False),
}
OF_THE_DATE = frozenset(name for name, part in PARTS.items() if part.grain in ("year", "month", "day"))


def calendar_value(time: datetime, part: str, zone: str) -> int:
    """Return a calendar value of an instant; OverflowError when the zone's calendar does not reach there."""
    return PARTS[part].read(time.astimezone(zone_of(zone)))


def step(time: datetime, zone: str, grain: Grain) -> datetime:
    """Return a later instant (UTC) up to which, itself left out, nothing coarser than the grain changes.

    It is the next boundary of the zone's calendar, the moment before it when clocks are moved, or three days before a
    boundary that is far.
    """
    here = _local(time, zone)
    ahead = _boundary(here, grain) - here
    if ahead > NEAR:
        return time + ahead - NEAR
    end = time + ahead
    offset = here - time.replace(tzinfo=None)

    def moved(at: datetime) -> bool:
        return _local(at, zone) - at.replace(tzinfo=None) != offset

    if not moved(end):
        return end
    # Clocks are moved on whole seconds.
    before, after = (
        time.replace(microsecond=0),
        end + (-end.microsecond % 1_000_000) * timedelta(microseconds=1),
    )
    while after - before > SECOND:
        middle = before + (after - before) // SECOND // 2 * SECOND
        before, after = (before, middle) if moved(middle) else (middle, after)
    return after


def _local(time: datetime, zone: str) -> datetime:
    return time.astimezone(zone_of(zone)).replace(tzinfo=None)


def _boundary(here: datetime, grain: Grain) -> datetime:
    if grain == "milliseconds":
        return here.replace(microsecond=here.microsecond // 1000 * 1000) + timedelta(milliseconds=1)
    second = here.replace(microsecond=0)
    if grain == "second":
        return second + SECOND
    if grain == "minute":
        return second.replace(second=0) + timedelta(minutes=1)
    if grain == "hour":
        return second.replace(minute=0, second=0) + timedelta(hours=1)
    midnight = second.replace(hour=0, minute=0, second=0)
    if grain == "day":
        return midnight + timedelta(days=1)
    if grain == "month":
        return midnight.replace(year=here.year + here.month // 12, month=here.month % 12 + 1, day=1)
    return midnight.replace(year=here.year + 1, month=1, day=1)


def changes(now: datetime, part: str, zone: str, shift: timedelta) -> Iterator[tuple[datetime, int]]:
    """Yield the instants after ``now`` at which the value of ``now + shift`` changes, with the new value."""
    grain = PARTS[part].grain
    try:
        at = now.astimezone(UTC) + shift
        value = calendar_value(at, part, zone)
    except OverflowError:
        return
    while True:
        try:
            at = step(at, zone, grain)
            following = calendar_value(at, part, zone)
        except (OverflowError, ValueError):
            # The end of the calendar.
            return
        if at - shift >= LAST_CHANGE:
            return
        if following != value:
            value = following
            yield at - shift, value
