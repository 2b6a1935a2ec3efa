"""When campaigns are launched by themselves: once, or again and again by a rule of RFC 5545, by the clocks of a zone.

Occurrences are local times; what clocks skip or show twice is as `localtime` says. A recurring campaign makes a run for
each occurrence, `campaigns/<id>.<number>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dateutil.rrule import rrule, rrulestr

from services.campaign.domain.ids import RuleError
from services.campaign.domain.localtime import at_local, check_zone

LOOK_AHEAD = timedelta(days=5 * 366)
"""The next occurrence is looked for so far: a rule that never comes true must not be searched to the end of time."""
MOST_COUNT = 10_000
LONGEST_ID = 50
OLDEST_START = timedelta(days=366)
DEFAULT_CATCH_UP, LONGEST_CATCH_UP = timedelta(hours=1), timedelta(days=7)
# Where the day begins first, by UTC+14.
_EARLIEST = timedelta(hours=14)
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


def _rule(item: Schedule) -> rrule:
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
    if "UNTIL" in parts and not _UNTIL.fullmatch(parts["UNTIL"]):
        raise RuleError("UNTIL must be a local time such as 20261231T180000, without Z", "recurrence")
    if len(text) > 500:
        raise RuleError("must have at most 500 characters", "recurrence")
    try:
        made = rrulestr(text, dtstart=item.start)
    except (ValueError, TypeError, OverflowError) as error:
        raise RuleError(f"is no rule of RFC 5545: {error}", "recurrence") from None
    assert isinstance(made, rrule)
    return made


def occurrences(item: Schedule, after: datetime | None) -> Iterator[datetime]:
    """Yield the local times after one of them, or all; ends where none follows for five years."""
    if not item.recurrence:
        if after is None or item.start > after:
            yield item.start
        return
    rule = _rule(item)
    while True:
        limit = (item.start if after is None else after) + LOOK_AHEAD
        until = rule._until if rule._until is not None and rule._until < limit else limit  # type: ignore[attr-defined]
        # COUNT and UNTIL exclude one another in the rule's own constructor.
        bounded = rule if rule._count is not None else rule.replace(until=until)  # type: ignore[attr-defined]
        found = False
        for local in bounded:
            if local > limit:
                break
            if after is None or local > after:
                found, after = True, local
                yield local
        if not found or rule._count is not None or until != limit:  # type: ignore[attr-defined]
            return


def moment_of(item: Schedule, local: datetime) -> datetime:
    """Return when an occurrence is launched: at its time in its zone, or when the first recipients' clocks show it."""
    if item.recipient_time:
        return local.replace(tzinfo=UTC) - _EARLIEST
    return at_local(local.date(), local.time(), check_zone(item.zone))
