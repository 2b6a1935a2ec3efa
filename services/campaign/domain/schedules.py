"""When campaigns are launched by themselves: once, or again and again by a rule of RFC 5545, by the clocks of a zone.

Occurrences are local times; what clocks skip or show twice is as `localtime` says. A recurring campaign makes a run for
each moment at which there is one, `campaigns/<id>.<number>`.
"""

from __future__ import annotations

import re
from calendar import isleap
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, date, datetime, timedelta
from itertools import chain, islice, pairwise

from dateutil.rrule import rrule, rrulestr

from services.campaign.domain.ids import RuleError
from services.campaign.domain.localtime import at_local, check_zone

LOOK_AHEAD = timedelta(days=5 * 366)
"""The next occurrence is looked for so far: a rule that never comes true must not be searched to the end of time."""
MOST_COUNT = 10_000
LONGEST_ID = 50
OLDEST_START = timedelta(days=366)
DEFAULT_CATCH_UP, LONGEST_CATCH_UP = timedelta(hours=1), timedelta(days=7)
# Where the day begins first, by UTC+14, and where it begins last, by UTC-12.
_EARLIEST, _LATEST = timedelta(hours=14), timedelta(hours=12)
LEAST_APART = timedelta(hours=3)
"""How far apart occurrences by the recipients' clocks are at least: more than clocks skip, so nobody gets two at once;
and only a few runs go around the world at a time."""
_LOOKED_AT = 400
_FREQUENCIES = ("HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_PARTS = (
    "FREQ",
    "INTERVAL",
    "COUNT",
    "UNTIL",
    "WKST",
    "BYMONTH",
    "BYMONTHDAY",
    "BYDAY",
    "BYHOUR",
    "BYSETPOS",
)
_UNTIL = re.compile(r"\d{8}(T\d{6})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Say when. start: as the zone's clocks show it, without a zone; recurrence: RRULE, "" for once.

    recipient_time: each recipient's own clock counts; catch_up: later than so much, an occurrence is skipped.
    """

    start: datetime
    zone: str
    recurrence: str = ""
    recipient_time: bool = False
    catch_up: timedelta = DEFAULT_CATCH_UP


def check_schedule(item: Schedule, now: datetime) -> None:
    """Raise RuleError when a schedule makes no sense."""
    try:
        zone = check_zone(item.zone)
    except RuleError as error:
        raise RuleError(str(error), "time_zone") from None
    if at_local(item.start.date(), item.start.time(), zone) < now - OLDEST_START:
        raise RuleError("lies more than a year back", "start_time")
    if not timedelta(0) <= item.catch_up <= LONGEST_CATCH_UP:
        raise RuleError("must be at most 7 days", "catch_up")
    if item.recurrence:
        _rule(item)
        if item.recipient_time and any(
            after - before < LEAST_APART
            for before, after in pairwise(islice(occurrences(item, None), _LOOKED_AT))
        ):
            hours = LEAST_APART // timedelta(hours=1)
            raise RuleError(
                f"with recipient_time, occurrences must be {hours} hours apart at least", "recurrence"
            )


def check_recurrence(text: str) -> None:
    """Raise RuleError when a text is no rule of a recurrence."""
    _rule(Schedule(start=datetime.fromisoformat("2000-01-01"), zone="UTC", recurrence=text))


def _rule(item: Schedule) -> tuple[rrule, int | None, datetime | None]:
    """Return the rule without its end, and its COUNT and UNTIL, by which nothing is searched beyond LOOK_AHEAD."""
    text = item.recurrence.removeprefix("RRULE:")
    parts: dict[str, str] = {}
    for part in text.split(";"):
        name, _, value = part.partition("=")
        if name not in _PARTS or not value or name in parts:
            raise RuleError(
                f"{part[:40]!r} is no part of a rule here: there are {', '.join(_PARTS)}, each once, as NAME=VALUE",
                "recurrence",
            )
        parts[name] = value
    if parts.get("FREQ") not in _FREQUENCIES:
        raise RuleError(f"FREQ must be one of {', '.join(_FREQUENCIES)}", "recurrence")
    for name, most in (("INTERVAL", 1000), ("COUNT", MOST_COUNT)):
        value = parts.get(name, "1")
        if not value.isascii() or not value.isdigit() or not 1 <= int(value[:9]) <= most:
            raise RuleError(f"{name} must be a number from 1 to {most}", "recurrence")
    if len({day[:1].isalpha() for day in parts.get("BYDAY", "").split(",")}) > 1:
        # The library would find no day that is both, and the series would have no occurrence.
        raise RuleError("BYDAY takes days such as MO or such as -1FR, not both", "recurrence")
    if "UNTIL" in parts and "COUNT" in parts:
        raise RuleError("UNTIL and COUNT exclude one another", "recurrence")
    if "UNTIL" in parts and not _UNTIL.fullmatch(parts["UNTIL"]):
        raise RuleError("UNTIL must be a local time such as 20261231T180000, without Z", "recurrence")
    if len(text) > 500:
        raise RuleError("must have at most 500 characters", "recurrence")
    until, count = parts.pop("UNTIL", None), parts.pop("COUNT", None)
    try:
        end = None if until is None else datetime.fromisoformat(until)
        made = rrulestr(";".join(f"{name}={value}" for name, value in parts.items()), dtstart=item.start)
    except (ValueError, TypeError, OverflowError) as error:
        raise RuleError(f"is no rule of RFC 5545: {error}", "recurrence") from None
    assert isinstance(made, rrule)
    return made, None if count is None else int(count), end


def occurrences(item: Schedule, after: datetime | None) -> Iterator[datetime]:
    """Yield the local times after one of them, or all; ends where none follows for five years."""
    last = item.start - timedelta(seconds=1) if after is None else after
    if not item.recurrence:
        if item.start > last:
            yield item.start
        return
    rule, count, until = _rule(item)
    while True:
        limit = max(last, item.start) + LOOK_AHEAD
        end = limit if until is None else min(limit, until)
        found = False
        shift = put_off(item.start.year, end.year + 1)
        for number, late in enumerate(rule.replace(dtstart=item.start + shift, until=end + shift)):
            if count is not None and number >= count:
                return
            local = late - shift
            if local > last:
                found, last = True, local
                yield local
        if not found or end == until:
            return


def put_off(first: int, last: int) -> timedelta:
    """Return how far years can be put off, to almost the end of time, with the calendar the same in each of them.

    The library looks at UNTIL only when it has found something, else it goes on to the year 9999: little is left there.
    """
    years = range(first, last + 1)
    kinds = [(date(year, 1, 1).weekday(), isleap(year)) for year in years]
    for late in range(MAXYEAR - len(years) + 1, first, -1):
        if all(kind == (date(late + at, 1, 1).weekday(), isleap(late + at)) for at, kind in enumerate(kinds)):
            return date(late, 1, 1) - date(first, 1, 1)
    return timedelta(0)


def moment_of(item: Schedule, local: datetime) -> datetime:
    """Return when an occurrence is launched: at its time in its zone, or when the first recipients' clocks show it."""
    if item.recipient_time:
        return local.replace(tzinfo=UTC) - _EARLIEST
    return at_local(local.date(), local.time(), check_zone(item.zone))


def over_everywhere(now: datetime) -> datetime:
    """Return the local time that the clocks of all recipients have shown."""
    return now.astimezone(UTC).replace(tzinfo=None) - _LATEST


def launches(item: Schedule, begin: datetime | None = None) -> Iterator[tuple[datetime, datetime]]:
    """Yield occurrences with the moments at which they are launched: from one of them on, itself included, or all.

    Each moment comes once: of two that clocks let fall together as they are put forward, the first counts.
    """
    last: datetime | None = None
    rest = occurrences(item, begin)
    for local in rest if begin is None else chain([begin], rest):
        moment = moment_of(item, local)
        if last is None or moment > last:
            last = moment
            yield local, moment
