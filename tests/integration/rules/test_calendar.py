"""Calendar functions: numbered as CEL's, the same in SQL and Python, and followed exactly where clocks are moved."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cel_expr_python import cel
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from services.segmentation.rules import Event, EventType, Outcome, Profile, Registry, compile_rule
from services.segmentation.rules.calendars import PARTS, calendar_value, changes
from services.segmentation.rules.moments import FIRST_TIME, LAST_TIME, day_start
from services.segmentation.rules.natives import UnknownValueError, calendar
from services.segmentation.rules.sql.calendar_functions import function_of
from services.segmentation.rules.zones import DAY_SKIPPING, known_zones
from tests.integration.rules import store

RELAXED = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
US = timedelta(microseconds=1)
ZONES = (
    "UTC",
    "Asia/Ho_Chi_Minh",
    "America/New_York",
    "America/St_Johns",
    "America/Havana",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Kathmandu",
)
# Where clocks are moved: over midnight, by half an hour, by a day, back into the day before.
MOVED = (
    ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2025, 11, 2, 6, tzinfo=UTC)),
    ("America/St_Johns", datetime(2006, 10, 29, 2, 31, tzinfo=UTC)),
    ("America/Havana", datetime(2024, 11, 3, 5, tzinfo=UTC)),
    ("Atlantic/Azores", datetime(2025, 10, 26, 1, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2025, 10, 4, 15, 30, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
    ("America/Sao_Paulo", datetime(2018, 11, 4, 3, tzinfo=UTC)),
)
FOLLOWED = tuple(name for name, part in PARTS.items() if part.follows_now)
times = st.one_of(
    st.datetimes(datetime(1970, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC)),
    st.builds(
        lambda moved, seconds, us: moved[1] + timedelta(seconds=seconds, microseconds=us),
        st.sampled_from(MOVED),
        st.integers(-4000, 4000),
        st.sampled_from((0, 1, 999_999)),
    ),
    st.sampled_from((FIRST_TIME, LAST_TIME, LAST_TIME - timedelta(hours=15))),
)


def value_or_none(time: datetime, part: str, zone: str) -> int | None:
    """Return the value as the evaluator has it, None where it is unknown."""
    try:
        return calendar(time, part, zone)
    except UnknownValueError:
        return None


@RELAXED
@example(instants=[FIRST_TIME, LAST_TIME], zone="Pacific/Apia")
@given(instants=st.lists(times, min_size=1, max_size=30), zone=st.sampled_from(ZONES))
def test_values_are_the_same_in_sql(rule_tables: Connection, instants: list[datetime], zone: str) -> None:
    columns = ", ".join(f"{function_of(part)}(rule_local(t, :z))" for part in PARTS)
    rows = rule_tables.execute(
        text(
            f"SELECT {columns} FROM unnest(CAST(:t AS timestamptz[])) WITH ORDINALITY AS u(t, n) ORDER BY n"
        ),
        {"z": zone, "t": instants},
    ).all()
    for time, row in zip(instants, rows, strict=True):
        assert tuple(row) == tuple(value_or_none(time, part, zone) for part in PARTS), (time, zone)


@RELAXED
@given(time=times, zone=st.sampled_from(ZONES))
def test_values_are_those_of_cel(time: datetime, zone: str) -> None:
    """CEL's own functions, which rules do not run on, number alike."""
    env = cel.NewEnv(variables={"t": cel.Type.TIMESTAMP})
    for part in PARTS:
        wanted = value_or_none(time, part, "UTC")
        assert env.compile(f"t.{part}()").eval(data={"t": time}).value() == wanted
        if FIRST_TIME + timedelta(days=1) < time < LAST_TIME - timedelta(days=1):
            found = env.compile(f't.{part}("{zone}")').eval(data={"t": time}).value()
            assert found == calendar_value(time, part, zone), (part, time, zone)


def test_beyond_the_calendar_is_unknown() -> None:
    assert value_or_none(LAST_TIME, "getFullYear", "Asia/Ho_Chi_Minh") is None
    assert value_or_none(LAST_TIME, "getFullYear", "America/New_York") == 9999


def scanned(now: datetime, part: str, zone: str, days: int) -> list[tuple[datetime, int]]:
    """Return changes by looking at every minute; ``now`` is a whole minute."""
    found, value = [], calendar_value(now, part, zone)
    for minute in range(1, days * 1440):
        at = now + timedelta(minutes=minute)
        following = calendar_value(at, part, zone)
        if following != value:
            found.append((at, following))
            value = following
    return found


@pytest.mark.parametrize(("zone", "moved"), MOVED)
def test_every_change_of_now_is_found_where_clocks_are_moved(
    rule_tables: Connection, zone: str, moved: datetime
) -> None:
    for part in ("getHours", "getDate", "getMonth", "getDayOfWeek"):
        now = moved - timedelta(hours=30)
        expected = scanned(now, part, zone, 4)
        assert list(islice(changes(now, part, zone, timedelta(0)), len(expected))) == expected
        for (at, _), (following, _) in pairwise([(now, 0), *expected]):
            for instant in (at, following - US):
                assert sql_change(rule_tables, instant, part, zone) == following, (part, instant)


def sql_change(
    connection: Connection, now: datetime, part: str, zone: str, shift: timedelta = timedelta(0)
) -> Any:
    """Return the next change by SQL."""
    return connection.execute(
        text("SELECT rule_calendar_change(:n, :s, :z, :p)"), {"n": now, "s": shift, "z": zone, "p": part}
    ).scalar_one()


@RELAXED
@given(
    now=times.filter(lambda t: 1100 < t.year < 2026),
    zone=st.sampled_from(ZONES),
    part=st.sampled_from(FOLLOWED),
    shift=st.sampled_from((timedelta(0), timedelta(days=7), timedelta(hours=-3, microseconds=5))),
)
def test_the_next_change_is_the_same_in_sql(
    rule_tables: Connection, now: datetime, zone: str, part: str, shift: timedelta
) -> None:
    at, value = next(changes(now, part, zone, shift))
    assert at > now
    assert calendar_value(at + shift, part, zone) == value
    assert calendar_value(at + shift - US, part, zone) == calendar_value(now + shift, part, zone) != value
    assert sql_change(rule_tables, now, part, zone, shift) == at


@RELAXED
@given(
    now=times.filter(lambda t: 1100 < t.year < 2026),
    zone=st.sampled_from(ZONES),
    part=st.sampled_from([p for p in FOLLOWED if PARTS[p].size]),
    ordered=st.booleans(),
)
def test_the_flips_of_all_values(
    rule_tables: Connection, now: datetime, zone: str, part: str, ordered: bool
) -> None:
    size = PARTS[part].size
    assert size is not None
    found = rule_tables.execute(
        text("SELECT rule_calendar_flips(:n, interval '0', :z, :p, :s, :o)"),
        {"n": now, "z": zone, "p": part, "s": size, "o": ordered},
    ).scalar_one()
    assert len(found) == size + 1
    ahead = list(islice(changes(now, part, zone, timedelta(0)), size + 1))
    horizon = ahead[-1][0]
    assert found[-1] == horizon
    first = calendar_value(now, part, zone)

    def holds(value: int, wanted: int) -> bool:
        return value >= wanted if ordered else value == wanted

    for wanted in range(size):
        before = holds(first, wanted)
        flip = next((at for at, value in ahead if holds(value, wanted) != before), horizon)
        assert found[wanted] == flip, (part, wanted)


@RELAXED
@example(zone="Atlantic/Azores", day=date(2025, 10, 26))
@example(zone="America/Havana", day=date(2024, 11, 3))
@example(zone="America/Sao_Paulo", day=date(2018, 11, 4))
@example(zone="Pacific/Apia", day=date(2011, 12, 30))
@example(zone="America/St_Johns", day=date(2006, 10, 29))
@given(zone=st.sampled_from(ZONES), day=st.dates(date(1970, 1, 2), date(2026, 12, 31)))
def test_a_day_begins_at_its_first_midnight(rule_tables: Connection, zone: str, day: date) -> None:
    found = rule_tables.execute(text("SELECT rule_day_start(:d, :z)"), {"d": day, "z": zone}).scalar_one()
    assert found == day_start(day, zone)


def test_all_zones_that_skip_a_day_are_known() -> None:
    skipping = set()
    for name in known_zones():
        zone, last = ZoneInfo(name), timedelta(0)
        for month in range((2040 - 1840) * 12):
            offset = datetime(1840 + month // 12, month % 12 + 1, 1).replace(tzinfo=zone).utcoffset()
            assert offset is not None
            if month and offset - last > timedelta(hours=20):
                skipping.add(name)
            last = offset
    assert "Pacific/Apia" in skipping <= DAY_SKIPPING


LONDON = Registry(
    event_types=(EventType.parse("order.placed", {"amount": "double"}),), time_zone="Europe/London"
)
BIRTHDAY = "contact.birth_date.getMonth() == now.getMonth() && contact.birth_date.getDate() == now.getDate()"


def follow(
    connection: Connection, rule_text: str, person: Profile, now: datetime, until: datetime
) -> list[Any]:
    """Evaluate whenever SQL says that something may change; return when membership changed, and how often it looked."""
    rule = compile_rule(rule_text, LONDON)
    (person,) = store.with_ids([person])
    ids = store.put(connection, LONDON, [person])
    changed, looked, before = [], 0, None
    at: datetime | None = now
    while at is not None and at < until:
        looked += 1
        members, following = store.batch(connection, [rule], ids, [person], at)[ids[0]]
        assert bool(members) == (rule.evaluate(person, at) is Outcome.MEMBER)
        if before is not None and members != before:
            changed.append(at)
        exact = rule.next_change(person, at)
        assert exact is None or (following is not None and at < following <= exact)
        if following is not None:
            between, _ = store.batch(connection, [rule], ids, [person], following - US)[ids[0]]
            assert between == members
        at, before = following, members
    return [changed, looked]


def test_a_birthday_is_a_day_of_the_business(rule_tables: Connection) -> None:
    """It is 23 hours long when clocks are put forward, and few looks are needed until the next."""
    person = Profile(attributes={"birth_date": date(1990, 3, 29)})
    now = datetime(2025, 4, 1, 12, tzinfo=UTC)
    changed, looked = follow(rule_tables, BIRTHDAY, person, now, datetime(2026, 4, 2, tzinfo=UTC))
    assert changed == [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 3, 29, 23, tzinfo=UTC)]
    assert looked < 30


def test_office_hours(rule_tables: Connection) -> None:
    person = Profile(
        events=(Event("order.placed", datetime(2026, 3, 27, 17, 30, tzinfo=UTC), {"amount": 1.0}),)
    )
    rule = (
        "now.getHours() >= 9 && now.getHours() < 17 && !(now.getDayOfWeek() in [0, 6]) "
        "&& events.order_placed.exists(o, o.time.getHours() >= 17)"
    )
    now = datetime(2026, 3, 27, 18, tzinfo=UTC)
    changed, looked = follow(rule_tables, rule, person, now, datetime(2026, 4, 1, tzinfo=UTC))
    # Summer time from 29 March on.
    assert changed == [datetime(2026, 3, day, hour, tzinfo=UTC) for day in (30, 31) for hour in (8, 16)]
    assert looked <= 16


def test_birthdays_where_midnight_comes_twice(rule_tables: Connection) -> None:
    """The age and the birthday change at the first of the two midnights."""
    registry = replace(LONDON, time_zone="Atlantic/Azores")
    person = Profile(attributes={"birth_date": date(2000, 10, 26)})
    (person,) = store.with_ids([person])
    store.put(rule_tables, registry, [person])
    now, first = datetime(2025, 10, 25, 12, tzinfo=UTC), datetime(2025, 10, 26, 0, tzinfo=UTC)
    for rule_text in ("contact.age == 25", "now.getDate() == 26"):
        rule = compile_rule(rule_text, registry)
        assert rule.next_change(person, now) == first
        assert list(store.changes(rule_tables, rule, now).values()) == [first]


def test_a_rule_that_never_holds_is_looked_at_seldom(rule_tables: Connection) -> None:
    (person,) = store.with_ids([Profile()])
    store.put(rule_tables, LONDON, [person])
    now = datetime(2026, 3, 1, tzinfo=UTC)
    rule = compile_rule("now.getDate() == 35", LONDON)
    (found,) = store.changes(rule_tables, rule, now).values()
    assert now + timedelta(days=30) < found < now + timedelta(days=40)
    given_up = rule.next_change(person, now)
    assert given_up is not None
    assert given_up > now + timedelta(days=2900)
    assert (
        compile_rule("now.getFullYear() == 2000", LONDON).next_change(
            person, datetime(8990, 1, 1, tzinfo=UTC)
        )
        is None
    )
