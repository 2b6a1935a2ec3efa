"""Hours and caps at the moment of sending."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from rapport_sdk import Outcome, SendResult

from services.campaign.domain.hours import Hours, Span
from services.campaign.domain.policies import Cap
from services.campaign.models import message, recent_send
from services.campaign.store import gone, ledger
from services.campaign.usecases import upkeep
from services.kit.clock import FixedClock
from tests.support.campaign import NOW
from tests.support.campaign_limits import FAST, OTHER, Hall, cap, drain, open_hall, run_until
from tests.support.postgres import DatabaseFactory
from tests.support.schema import create_schema

NIGHT = Hours(quiet=(Span(22 * 60, 8 * 60),))


@pytest.fixture(scope="module")
def open_one(make_module_database: DatabaseFactory) -> Iterator[Hall]:
    url = make_module_database("campaign")
    create_schema("campaign", url)
    with open_hall(url, FixedClock(NOW)) as made:
        yield made


@pytest.fixture
def hall(open_one: Hall) -> Hall:
    open_one.empty()
    return open_one


def move(hall: Hall, instant: datetime) -> None:
    assert isinstance(hall.runtime.clock, FixedClock)
    hall.runtime.clock.instant = instant


def counts(hall: Hall, key: str = "spring") -> ledger.Counts:
    with hall.runtime.db.read() as connection:
        return ledger.counts(connection, [f"campaigns/{key}"])[f"campaigns/{key}"]


def places(hall: Hall) -> set[UUID]:
    with hall.runtime.db.read() as connection:
        return set(connection.scalars(sa.select(recent_send.c.message_id)))


def test_outside_of_the_hours_messages_wait_without_an_attempt(hall: Hall) -> None:
    hall.policy(hours=NIGHT)
    # NOW is 13:00 in Berlin, 19:00 in Ho Chi Minh City, 01:00 of the next day in Auckland.
    zones = ["Europe/Berlin", "Asia/Ho_Chi_Minh", "Pacific/Auckland", "Mars/Base", "../etc/passwd", ""]
    people = [hall.world.add(time_zone=zone)[0] for zone in zones]
    hall.campaign(people)
    sender = hall.sender()
    drain(sender)
    by_zone = {
        zone: row
        for row in hall.rows()
        for zone, name in zip(zones, people, strict=True)
        if name.endswith(str(row.contact_id))
    }
    assert {zone: row.state for zone, row in by_zone.items()} == {
        zone: "planned" if zone == "Pacific/Auckland" else "sent" for zone in zones
    }
    waiting = by_zone["Pacific/Auckland"]
    assert waiting.reason == "QUIET_HOURS: until 2026-03-02T08:00+13:00 in Pacific/Auckland"
    assert (waiting.due_time, waiting.attempt_count) == (datetime(2026, 3, 1, 19, tzinfo=UTC), 0)
    assert by_zone["Mars/Base"].reason == "TIME_ZONE_UNKNOWN: 'Mars/Base', so Europe/Berlin counted"
    assert by_zone["../etc/passwd"].reason.startswith("TIME_ZONE_UNKNOWN: ")
    assert by_zone[""].reason == ""
    assert counts(hall).waiting_by_reason == {"QUIET_HOURS": 1}
    assert counts(hall).by_state == {"sent": 5, "planned": 1}
    move(hall, waiting.due_time - timedelta(seconds=1))
    assert sender.run_once() == 0
    move(hall, waiting.due_time)
    drain(sender)
    assert counts(hall).by_state == {"sent": 6}
    assert counts(hall).waiting_by_reason == {}


def test_hours_count_in_the_zone_of_the_installation_when_there_is_none(hall: Hall) -> None:
    hall.policy(hours=Hours(windows=(Span(14 * 60, 15 * 60),)))
    hall.campaign([*hall.world.add(), *hall.world.add(time_zone="Nowhere/Land")])
    drain(hall.sender())
    due = datetime(2026, 3, 1, 13, tzinfo=UTC)
    assert {(row.due_time, row.reason) for row in hall.rows()} == {
        (due, "SEND_WINDOW: until 2026-03-01T14:00+01:00 in Europe/Berlin, by default"),
        (
            due,
            "SEND_WINDOW: until 2026-03-01T14:00+01:00 in Europe/Berlin, as the contact's time zone 'Nowhere/Land' "
            "is not known",
        ),
    }


def test_the_hours_of_the_most_specific_policy_alone_count(hall: Hall) -> None:
    hall.policy(hours=Hours(windows=(Span(0, 60),)))
    hall.policy("other", channel=OTHER, hours=Hours(windows=(Span(60, 120),)))
    hall.policy("news", topic="news")
    hall.policy("both", topic="news", channel=OTHER, hours=Hours(windows=(Span(120, 180),)))
    people = hall.world.add(2)
    for channel, topic in ((FAST, "marketing"), (OTHER, "marketing"), (FAST, "news"), (OTHER, "news")):
        hall.campaign(people, f"{channel[5:]}-{topic}", channel=channel, topic=topic)
    hall.campaign(people, "receipt", topic="transactional")
    drain(hall.sender())
    found = {(row.origin.partition("/")[2], row.state, row.due_time.hour) for row in hall.rows()}
    assert found == {
        ("fast-marketing", "planned", 23),
        ("other-marketing", "planned", 0),
        ("fast-news", "sent", 12),
        ("other-news", "planned", 1),
        ("receipt", "sent", 12),
    }


def test_over_a_cap_messages_are_suppressed_or_wait_and_places_come_back(hall: Hall) -> None:
    hall.policy(caps=(cap(2, days=7),))
    hall.policy("patient", topic="news", caps=(cap(2, days=7),), defer=True)
    [name] = hall.world.add()
    sender = hall.sender()
    hall.campaign([name], "receipt", topic="transactional")
    drain(sender)
    assert places(hall) == set(), "what is exempt is not counted"
    for day, key in enumerate(("first", "second")):
        move(hall, NOW + timedelta(days=day))
        hall.campaign([name], key, channel=(FAST, OTHER)[day])
        drain(sender)
    hall.campaign([name], "third")
    hall.campaign([name], "later", topic="news")
    drain(sender)
    assert counts(hall, "third").by_reason == {"FREQUENCY_CAP": 1}
    assert counts(hall, "later").waiting_by_reason == {"FREQUENCY_CAP": 1}
    [waiting] = [row for row in hall.rows() if row.state == "planned"]
    assert waiting.due_time == NOW + timedelta(days=7)
    assert waiting.reason == "FREQUENCY_CAP: 2 in 7 days, until 2026-03-08T12:00:00+00:00"
    assert waiting.attempt_count == 0
    move(hall, NOW + timedelta(days=7))
    drain(sender)
    assert counts(hall, "later").by_state == {"sent": 1}
    move(hall, NOW + timedelta(days=20))
    assert upkeep.forget_places(hall.runtime) == 3
    assert places(hall) == set()


def test_a_narrower_policy_lifts_no_cap_of_a_wider_one(hall: Hall) -> None:
    hall.policy(caps=(cap(2, days=7),))
    hall.policy("other", channel=OTHER, hours=Hours(windows=(Span(0, 1440),)))
    hall.policy("news", topic="news", caps=(cap(1, days=1), cap(5, days=7)), defer=True)
    [name] = hall.world.add()
    sender = hall.sender()
    for key, values in (
        ("a", {"channel": OTHER}),
        ("b", {"topic": "news"}),
        ("c", {"topic": "news"}),
        ("d", {"channel": OTHER}),
    ):
        move(hall, hall.runtime.clock.now() + timedelta(hours=13))
        hall.campaign([name], key, **values)
        drain(sender)
    assert [row.state for row in hall.rows()] == ["sent", "planned", "planned", "suppressed"]


def test_a_cap_of_a_channel_or_topic_counts_only_these(hall: Hall) -> None:
    hall.policy(caps=(Cap(1, timedelta(days=1), of_channel=True), Cap(1, timedelta(days=1), of_topic=True)))
    [name] = hall.world.add()
    sender = hall.sender()
    for key, channel, topic in (
        ("a", FAST, "one"),
        ("b", FAST, "two"),
        ("c", OTHER, "one"),
        ("d", OTHER, "two"),
    ):
        hall.campaign([name], key, channel=channel, topic=topic)
        drain(sender)
    assert [row.state for row in hall.rows()] == ["sent", "suppressed", "suppressed", "sent"]
    assert [row.reason for row in hall.rows()][1:3] == [
        "FREQUENCY_CAP: 1 in 1 days of the channel",
        "FREQUENCY_CAP: 1 in 1 days of the topic",
    ]


def test_what_certainly_failed_gives_its_place_back_and_unknown_keeps_it(hall: Hall) -> None:
    hall.policy(caps=(cap(1, days=1),))
    outcomes = {"permanent": Outcome.PERMANENT, "temporary": Outcome.TEMPORARY, "unknown": Outcome.UNKNOWN}
    people = {key: hall.world.add(display_name=key)[0] for key in (*outcomes, "accepted")}
    hall.tape.answer = lambda channel, item: SendResult(outcomes.get(item.to_name, Outcome.ACCEPTED))
    hall.campaign(list(people.values()))
    sender = hall.sender()
    drain(sender)
    kept = {row.id for row in hall.rows() if row.state in ("unknown", "sent")}
    assert (len(kept), places(hall)) == (2, kept)
    # An attempt after that of the temporary failure takes a place like the first one.
    outcomes.clear()
    move(hall, NOW + timedelta(minutes=2))
    hall.campaign(list(people.values()), "second")
    drain(sender)
    assert Counter(row.state for row in hall.rows()) == {
        "sent": 3,
        "failed": 1,
        "unknown": 1,
        "suppressed": 3,
    }


def test_places_follow_a_contact_that_is_merged_and_go_with_one_that_is_erased(hall: Hall) -> None:
    hall.policy(caps=(cap(1, days=1),))
    absorbed, heir, erased = hall.world.add(3)
    hall.campaign([absorbed, erased])
    sender = hall.sender()
    drain(sender)
    keys = {name: UUID(name.partition("/")[2]) for name in (absorbed, heir, erased)}
    with hall.runtime.db.transaction() as connection:
        gone.hand_over(connection, keys[absorbed], keys[heir], NOW)
        gone.empty(connection, [keys[erased]], NOW)
    hall.campaign([heir], "second")
    drain(sender)
    assert counts(hall, "second").by_reason == {"FREQUENCY_CAP": 1}
    assert len(places(hall)) == 1


@settings(max_examples=5, deadline=None)
@given(
    limit=st.integers(1, 3),
    per_channel=st.booleans(),
    people=st.integers(1, 6),
    campaigns=st.integers(2, 6),
    failing=st.sets(st.integers(0, 40), max_size=4),
)
def test_caps_hold_exactly_while_several_senders_write_to_the_same_people(
    open_one: Hall, limit: int, per_channel: bool, people: int, campaigns: int, failing: set[int]
) -> None:
    hall = open_one
    hall.empty()
    hall.policy(caps=(Cap(limit, timedelta(days=1), of_channel=per_channel),))
    numbers = iter(range(10_000))
    hall.tape.answer = lambda channel, item: SendResult(
        Outcome.PERMANENT if next(numbers) in failing else Outcome.ACCEPTED
    )
    names = hall.world.add(people)
    for number in range(campaigns):
        hall.campaign(names, f"c{number}", channel=(FAST, OTHER)[number % 2])
    senders = [hall.sender() for _ in range(3)]

    def settled() -> bool:
        with hall.runtime.db.read() as connection:
            query = sa.select(sa.func.count()).where(message.c.state.in_(["planned", "claimed", "sending"]))
            return connection.scalar(query) == 0

    run_until(senders, settled)
    got = Counter((item.contact_id, channel if per_channel else "") for channel, item in hall.tape.taken)
    assert max(got.values(), default=0) <= limit
    if not failing:
        per_key = (campaigns + 1) // 2 if per_channel else campaigns
        channels = 2 if per_channel else 1
        expected = {
            (name.partition("/")[2], channel): min(limit, per_key if index == 0 else campaigns - per_key)
            for name in names
            for index, channel in enumerate((FAST, OTHER) if per_channel else ("",))
        }
        assert len(got) == people * channels
        assert dict(got) == expected
    sent = {row.id for row in hall.rows() if row.state == "sent"}
    assert places(hall) == sent
