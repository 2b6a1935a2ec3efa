"""Journeys that a date of the contact starts: birthdays in each zone, before and after, leap days, and late workers."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import pytest
from google.type.date_pb2 import Date
from rapport.contacts.v1 import contacts_pb2
from rapport.contacts.v1 import events_pb2 as contact_events

from services.campaign.domain.triggers import DateRule
from services.campaign.usecases import contact_dates, journey_dates, journeys, parting
from services.kit.runtime import Runtime
from services.kit.wire import to_timestamp
from tests.integration.campaign.test_campaign_journeys import SEND, event, feed, state
from tests.support.campaign import NOW, World, clock_of, make_journey, make_template
from tests.support.partings import batch

DAY = timedelta(days=1)


def birthday(runtime: Runtime, key: str = "thanks", **values: Any) -> None:
    rule: dict[str, Any] = {"attribute": "birth_date", "offset_days": 0, "time": time(9), "yearly": True}
    make_template(runtime)
    make_journey(runtime, [SEND], key, event_type="date.reached", date=DateRule(**(rule | values)))


def changed(name: str, born: date | None, zone: str = "", revision: int = 1, **fields: Any) -> Any:
    payload = contact_events.ContactChanged(time_zone=zone, **fields)
    if born is not None:
        payload.birth_date.CopyFrom(Date(year=born.year, month=born.month, day=born.day))
    return event(name, "contact.updated", payload, revision=revision)


def tick(runtime: Runtime, moment: datetime) -> int:
    clock_of(runtime).instant = moment
    return journey_dates.start_by_dates(runtime)


def test_a_birthday_starts_it_each_year_by_the_contacts_own_clock(runtime: Runtime, world: World) -> None:
    east, west, plain = world.add(3)
    birthday(runtime)
    feed(
        runtime,
        changed(east, date(1990, 3, 5), "Asia/Tokyo"),
        changed(west, date(1980, 3, 5), "America/Los_Angeles"),
        changed(plain, date(2000, 3, 5)),
    )
    assert tick(runtime, datetime(2026, 3, 4, 23, 59, tzinfo=UTC)) == 0
    # 09:00 in Tokyo, in the business's zone, in Los Angeles.
    for hour, number in (
        (datetime(2026, 3, 5, 0), 1),
        (datetime(2026, 3, 5, 9), 1),
        (datetime(2026, 3, 5, 17), 1),
    ):
        moment = hour.replace(tzinfo=UTC)
        assert tick(runtime, moment - timedelta(seconds=1)) == 0
        assert tick(runtime, moment) == number
        assert tick(runtime, moment + timedelta(minutes=5)) == 0
    for day in (datetime(2026, 3, 6, tzinfo=UTC), datetime(2027, 3, 4, 12, tzinfo=UTC)):
        assert tick(runtime, day) == 0
    assert tick(runtime, datetime(2027, 3, 5, 9, tzinfo=UTC)) == 2
    journeys.advance_journeys(runtime)
    assert state(runtime)[0] == 5
    assert state(runtime)[2].audience == 5


def test_a_leap_day_is_kept_on_28_february_in_other_years(runtime: Runtime, world: World) -> None:
    [name] = world.add()
    birthday(runtime)
    feed(runtime, changed(name, date(2000, 2, 29)))
    for year, day in ((2027, 28), (2028, 29)):
        moment = datetime(year, 2, day, 9, tzinfo=UTC)
        tick(runtime, moment - timedelta(hours=1))
        assert tick(runtime, moment) == 1
        tick(runtime, moment + DAY)
    assert state(runtime)[0] == 2


@pytest.mark.parametrize(("offset", "day"), [(-7, 13), (0, 20), (5, 25)])
def test_days_before_and_after_a_date_of_an_attribute(
    runtime: Runtime, world: World, offset: int, day: int
) -> None:
    world.attributes["renewal"] = contacts_pb2.VALUE_TYPE_TIMESTAMP
    [name] = world.add()
    birthday(runtime, attribute="renewal", offset_days=offset, yearly=False)
    # 23:30 on the 19th in UTC is the 20th in Tokyo.
    at = to_timestamp(datetime(2026, 3, 19, 23, 30, tzinfo=UTC))
    renewal = contacts_pb2.AttributeValue(timestamp_value=at)
    feed(runtime, changed(name, None, "Asia/Tokyo", attributes={"renewal": renewal}))
    started = [number for number in range(2, 29) if tick(runtime, datetime(2026, 3, number, tzinfo=UTC)) == 1]
    assert started == [day]


def test_news_of_a_contact_replace_the_date_and_old_ones_do_not(runtime: Runtime, world: World) -> None:
    name, gone = world.add(2)
    birthday(runtime)
    feed(runtime, changed(name, date(1990, 3, 5), revision=3), changed(gone, date(1990, 3, 5), revision=3))
    feed(runtime, changed(name, date(1990, 3, 4), revision=2), changed(gone, None, revision=4))
    tick(runtime, datetime(2026, 3, 4, tzinfo=UTC))
    assert tick(runtime, datetime(2026, 3, 4, 12, tzinfo=UTC)) == 0
    assert tick(runtime, datetime(2026, 3, 5, 12, tzinfo=UTC)) == 1


def test_a_worker_that_comes_late_starts_those_of_one_day_back(runtime: Runtime, world: World) -> None:
    first, second = world.add(2)
    birthday(runtime)
    feed(runtime, changed(first, date(1990, 3, 5)), changed(second, date(1990, 3, 6)))
    assert tick(runtime, datetime(2026, 3, 6, 20, tzinfo=UTC)) == 1
    journeys.set_active(runtime, "thanks", active=False)
    journeys.set_active(runtime, "thanks", active=True)
    assert tick(runtime, datetime(2026, 3, 6, 21, tzinfo=UTC)) == 0


def test_contacts_from_before_are_read_once(runtime: Runtime, world: World) -> None:
    names = world.add(5)
    for name in names:
        world.contacts[name] = contacts_pb2.Contact(
            name=name, birth_date=Date(year=1990, month=3, day=5), revision=7
        )
    world.page = 2
    birthday(runtime)
    # What was told meanwhile is newer than what is read.
    feed(runtime, changed(names[0], None, revision=8))
    parting.let_go(runtime, batch((UUID(names[1].partition("/")[2]), None)))
    assert contact_dates.read_contacts(runtime) == 5
    assert contact_dates.read_contacts(runtime) == 0
    tick(runtime, NOW + DAY)
    assert tick(runtime, datetime(2026, 3, 5, 9, tzinfo=UTC)) == 3
