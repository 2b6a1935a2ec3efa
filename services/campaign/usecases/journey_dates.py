"""Journeys that a date of the contact starts: it is noticed as local clocks reach it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from services.campaign.domain.journeys import Journey
from services.campaign.domain.localtime import anniversaries, at_local, check_zone, find_zone
from services.campaign.domain.triggers import DATE_REACHED, DateRule, Trigger, date_event_id
from services.campaign.models import contact_gone
from services.campaign.store import dates as store
from services.campaign.store import journeys
from services.campaign.usecases import journey_starting
from services.kit import gone
from services.kit.names import format_name
from services.kit.runtime import Runtime

LATEST = timedelta(hours=24)
"""Occurrences that are noticed later than this are left out: a greeting a day late is worse than none."""


def start_by_dates(runtime: Runtime) -> int:
    """Start the journeys whose dates local clocks have reached since the last time; returns how many entries."""
    with runtime.db.read() as connection:
        keys = store.dated_journeys(connection)
    return sum(_start_one(runtime, key) for key in keys)


def _start_one(runtime: Runtime, key: str) -> int:
    with runtime.db.transaction() as connection:
        # The lock makes a second worker wait, and then see how far the first one came.
        journey = journeys.lock(connection, key)
        active, since = store.fired_until(connection, key)
        now = runtime.clock.now()
        if journey is None or journey.date is None or not active:
            return 0
        since = max(since or now, now - LATEST)
        if since >= now:
            return 0
        triggers = list(reached(runtime, connection, journey, since, now))
        alive = gone.current(connection, contact_gone, {item.contact_id for item in triggers})
        present = [item for item in triggers if alive[item.contact_id] == item.contact_id]
        started = journey_starting.start(runtime, connection, journey, present)
        store.set_fired(connection, key, now)
        return started


def reached(
    runtime: Runtime, connection: Connection, journey: Journey, since: datetime, until: datetime
) -> Iterator[Trigger]:
    """Yield what starts a journey whose dates clocks reached after one moment, up to another."""
    assert journey.date is not None
    for day, names, moment in _reached(runtime, connection, journey.date, since, until):
        yield from _triggers(connection, journey, journey.date, day, names, moment)


def _reached(
    runtime: Runtime, connection: Connection, rule: DateRule, since: datetime, now: datetime
) -> Iterator[tuple[date, list[str], datetime]]:
    """Yield the days on which clocks showed the time within a stretch, with the zones they did it in, and when."""
    # A zone may be gone since the journey was made; the dates of other journeys must not wait for it.
    fallback = find_zone(rule.zone) or check_zone(runtime.settings.time_zone)
    found: dict[tuple[date, datetime], list[str]] = {}
    for name in store.zones(connection):
        zone: ZoneInfo = find_zone(name) or fallback
        day = since.astimezone(zone).date() - timedelta(days=1)
        while day <= now.astimezone(zone).date():
            moment = at_local(day, rule.time, zone)
            if since < moment <= now:
                found.setdefault((day, moment), []).append(name)
            day += timedelta(days=1)
    for (day, moment), names in sorted(found.items()):
        yield day, names, moment


def _triggers(
    connection: Connection,
    journey: Journey,
    rule: DateRule,
    day: date,
    names: Sequence[str],
    moment: datetime,
) -> Iterator[Trigger]:
    target = day - timedelta(days=rule.offset_days)
    yearly = [month * 100 + of_month for month, of_month in anniversaries(target)] if rule.yearly else []
    for contact, value in store.having(connection, rule.attribute, names, day=target, yearly=yearly):
        yield Trigger(
            event_id=date_event_id(journey.id, contact, target),
            contact_id=contact,
            types=(DATE_REACHED,),
            segment="",
            record_time=moment,
            event={
                "type": DATE_REACHED,
                "subject": format_name("contacts", contact),
                "time": moment.isoformat(),
                "attribute": rule.attribute,
                "date": value.isoformat(),
                "years": target.year - value.year,
            },
        )
