"""What simulations decide by themselves is what the database decides for senders and workers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from services.campaign.domain.buckets import Buckets
from services.campaign.domain.decisions import Place, over
from services.campaign.domain.hours import Hours, HoursAhead, Span, next_allowed
from services.campaign.domain.journeys import Journey
from services.campaign.domain.policies import Cap
from services.campaign.domain.rates import Bucket
from services.campaign.domain.reentry import may_start
from services.campaign.models import journey_contact, journey_entry, rate_bucket, recent_send
from services.campaign.store import caps, entries, journeys, rates
from services.kit.db import make_engine
from services.kit.names import new_id
from tests.support.campaign import NOW
from tests.support.postgres import DatabaseFactory

HOUR = timedelta(hours=1)
MANY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def engine(make_module_database: DatabaseFactory) -> Iterator[Engine]:
    url = make_module_database.with_tables("campaign")
    made = make_engine(url)
    yield made
    made.dispose()


HOURS_AGO = st.integers(0, 60)
CAPS = st.lists(
    st.builds(
        Cap,
        st.integers(1, 3),
        st.integers(1, 48).map(lambda hours: hours * HOUR),
        st.booleans(),
        st.booleans(),
    ),
    min_size=1,
    max_size=3,
)
PLACES = st.lists(
    st.builds(
        Place,
        HOURS_AGO.map(lambda hours: NOW - hours * HOUR),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["x", "y"]),
    ),
    max_size=8,
)


@given(CAPS, PLACES)
@MANY
def test_places_under_caps(engine: Engine, limits: list[Cap], places: list[Place]) -> None:
    contact, message = new_id(), new_id()
    with engine.connect() as connection:
        for place in places:
            values = {"contact_id": contact, "message_id": new_id(), **place._asdict()}
            connection.execute(sa.insert(recent_send).values(values))
        full = caps.full(connection, {message: contact}, "a", "x", limits, NOW).get(message)
        connection.rollback()
    found = over(limits, places, "a", "x", NOW)
    assert (found is None) == (full is None)
    # Of several that are free at the same time, either may be named.
    if found is not None and full is not None:
        assert found[1] == full[1]
    # What comes later is not there yet.
    later = [*places, *(Place(NOW + HOUR, "a", "x") for _ in range(5))]
    assert over(limits, later, "a", "x", NOW) == found


STAYS = st.lists(st.tuples(HOURS_AGO, st.none() | HOURS_AGO), max_size=4)


@given(STAYS, st.none() | st.integers(0, 40), st.booleans())
@MANY
def test_who_may_start_a_journey_again(
    engine: Engine, drawn: list[tuple[int, int | None]], after: int | None, leaving: bool
) -> None:
    item = Journey(
        id="thanks",
        display_name="",
        event_type="order.placed",
        segment="",
        reentry_after=None if after is None else after * HOUR,
        steps=(),
        active=True,
        activate_time=None,
        create_time=NOW,
        after_leaving=leaving,
    )
    stays = [
        (NOW - max(begin, end or 0) * HOUR, None if end is None else NOW - min(begin, end) * HOUR)
        for begin, end in drawn
    ]
    contact, other = new_id(), new_id()
    with engine.connect() as connection:
        assert journeys.insert(connection, item)
        # Somebody else is always on it.
        for who, begin, end in [*((contact, *stay) for stay in stays), (other, NOW, None)]:
            connection.execute(
                sa.insert(journey_entry).values(
                    id=new_id(),
                    journey_id=item.id,
                    version=1,
                    contact_id=who,
                    event_id=new_id(),
                    event={},
                    step=0,
                    step_id="",
                    start_time=begin,
                    arrive_time=begin,
                    due_time=begin,
                    finish_time=end,
                )
            )
        if stays:
            last = max(begin for begin, _ in stays)
            values = {"contact_id": contact, "journey_id": item.id, "start_time": last}
            connection.execute(sa.insert(journey_contact).values(values))
        allowed = entries.may_start(connection, item, [contact], NOW)
        connection.rollback()
    assert may_start(item, stays, NOW) == (contact in allowed)


@given(
    st.lists(st.integers(0, 8), min_size=1, max_size=12),
    st.sampled_from([0.01, 3.0, 200.0, 5000.0]),
    st.integers(1, 6),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_places_in_buckets(engine: Engine, wanted: list[int], per_second: float, burst: int) -> None:
    """Real questions at real moments, asked again in the simulation's time."""
    bucket = Bucket(f"b{new_id().hex}", per_second, burst)
    simulated = Buckets()
    start: datetime | None = None
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for count in wanted:
            grant = rates.take(connection, {bucket: count})[bucket]
            row = connection.execute(sa.select(rate_bucket).where(rate_bucket.c.key == bucket.key)).one()
            start = start or row.ask_time
            told = simulated.take(bucket, count, (row.ask_time - start).total_seconds())
            assert told.places == grant.places
            assert told.wait == pytest.approx(grant.wait, abs=1e-4)
            assert told.full == pytest.approx(grant.full, abs=1e-4)


def test_a_place_is_there_when_it_was_said_to_be() -> None:
    bucket, buckets = Bucket("one", 7.0, 3), Buckets()
    now, left = 0.0, 0
    for _ in range(1000):
        wait = buckets.wait(bucket, now)
        if wait:
            assert buckets.take(bucket, 1, now + wait * 0.999 - 1e-6).places == 0
        now += wait
        left += buckets.take(bucket, 1, now).places
    assert left == 1000
    assert now == pytest.approx(997 / 7)


@given(
    st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe"]),
    st.sampled_from(
        [
            Hours(quiet=(Span(22 * 60, 8 * 60),)),
            Hours(windows=(Span(9 * 60, 10 * 60, frozenset({2})), Span(130, 150))),
        ]
    ),
    st.lists(st.integers(0, 3 * 24 * 60), max_size=30),
)
@settings(max_examples=25, deadline=None)
def test_hours_are_not_looked_up_again_in_vain(zone: str, hours: Hours, minutes: list[int]) -> None:
    ahead = HoursAhead()
    # Around a night in which clocks are put forward.
    start = datetime(2026, 3, 28, tzinfo=UTC)
    for minute in minutes:
        moment = start + timedelta(minutes=minute)
        known = ZoneInfo(zone)
        assert ahead.next(hours, known, moment) == next_allowed(hours, known, moment)
