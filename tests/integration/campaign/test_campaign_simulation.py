"""Simulated campaigns: they foretell what the senders then do, and touch nothing."""

from __future__ import annotations

import time as clock
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rapport.campaign.v1 import simulation_pb2 as pb
from rapport_sdk import OutboundMessage, SendResult

from services.campaign.domain.experiments import WAITING, Experiment, Variant
from services.campaign.domain.hours import Hours, Span
from services.campaign.domain.policies import Cap
from services.campaign.models import campaign, kit, message
from services.campaign.store import suppressions
from services.campaign.store.suppressions import Suppressed
from services.campaign.usecases import experiments, parting, simulating
from services.kit.clock import FixedClock
from services.kit.errors import Cancelled, FailedPrecondition, NotFound
from services.kit.names import parse_name
from services.kit.operations import store as operations
from tests.support.campaign import (
    DENIED,
    GRANTED,
    NOW,
    claim_operation,
    make_campaign,
    make_pool,
    plan,
)
from tests.support.campaign_limits import ACCEPTED, FAST, OTHER, Hall, cap, drain, open_hall, run_until
from tests.support.campaign_simulations import (
    know_channels,
    messages,
    others,
    simulate_campaign,
    summary,
)
from tests.support.partings import batch
from tests.support.postgres import DatabaseFactory

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NIGHT = Hours(quiet=(Span(22 * 60, 8 * 60),))
OFFICE = Hours(windows=(Span(9 * 60, 11 * 60, frozenset({1, 3})), Span(15 * 60, 16 * 60)))
UNDECIDED = 0


@pytest.fixture(scope="module")
def open_one(make_module_database: DatabaseFactory) -> Iterator[Hall]:
    url = make_module_database.with_tables("campaign")
    with open_hall(url, FixedClock(NOW)) as made:
        know_channels(made.runtime, made.manager)
        yield made


@pytest.fixture
def hall(open_one: Hall) -> Hall:
    empty(open_one)
    return open_one


def empty(hall: Hall) -> None:
    hall.empty()
    hall.world.members["segments/all"] = []


def key_of(name: str) -> UUID:
    return UUID(name.partition("/")[2])


def suppress(hall: Hall, address: str, since: datetime = NOW) -> None:
    with hall.runtime.db.transaction() as connection:
        suppressions.add(connection, [Suppressed("email", address, "asked", since)])


def experiment(hall: Hall, **values: Any) -> None:
    given: dict[str, Any] = {
        "campaign_id": "spring",
        "variants": (Variant(id="plain"), Variant(id="other", channel=OTHER, delay=5 * HOUR)),
        "hold_out_percent": 30.0,
        "test_percent": 70.0,
        "duration": 10 * DAY,
    }
    with hall.runtime.db.transaction() as connection:
        experiments.create(hall.runtime, connection, Experiment(**(given | values)))


@dataclass
class Became:
    """What became of a message: the decision, its reason, when it was sent, and why it waited before."""

    decision: str
    reason: str
    send_time: datetime | None
    deferral: str
    channel: str
    variant: str


def really(hall: Hall) -> dict[UUID, Became]:
    """Launch the campaign and send it, with the clock stepped to each moment at which something is due."""
    plan(hall.runtime)
    sender = hall.sender()
    waited: dict[UUID, str] = {}
    while True:
        drain(sender)
        with hall.runtime.db.read() as connection:
            rows = connection.execute(sa.select(message).where(message.c.origin == "campaigns/spring")).all()
        waiting = [row for row in rows if row.state == "planned" and row.due_time != WAITING]
        waited |= {row.contact_id: row.reason for row in waiting if row.reason}
        if not waiting:
            break
        hall.runtime.clock.instant = min(row.due_time for row in waiting)  # type: ignore[attr-defined]
    kinds = {"sent": "send", "suppressed": "refuse", "planned": "wait"}
    return {
        row.contact_id: Became(
            kinds[row.state],
            "WAITS_FOR_WINNER" if row.state == "planned" else row.reason if row.state != "sent" else "",
            row.send_time,
            waited.get(row.contact_id, ""),
            row.channel,
            row.variant,
        )
        for row in rows
    }


def foretold(hall: Hall, key: UUID) -> dict[UUID, Became]:
    return {
        item.contact_id: Became(
            item.decision, item.reason, item.send_time, item.deferral, item.channel, item.variant
        )
        for item in messages(hall.runtime, key)
    }


PEOPLE = st.lists(
    st.fixed_dictionaries(
        {
            "consent": st.sampled_from([GRANTED, GRANTED, GRANTED, DENIED, UNDECIDED]),
            "time_zone": st.sampled_from(
                ["Europe/Berlin", "Asia/Ho_Chi_Minh", "Pacific/Auckland", "Mars/Base", ""]
            ),
            "fate": st.sampled_from(["there", "there", "there", "no address", "blocked", "gone", "lately"]),
        }
    ),
    min_size=1,
    max_size=10,
)
CAPS = st.sampled_from([(), (cap(1, days=1),), (Cap(1, 3 * DAY, True), cap(1, hours=20))])


@given(
    PEOPLE,
    st.sampled_from([Hours(), NIGHT, OFFICE]),
    CAPS,
    st.booleans(),
    st.sampled_from([0.0, 40.0]),
    st.booleans(),
    st.sampled_from(["marketing", "transactional"]),
)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_foretold_is_what_happens(
    hall: Hall,
    people: list[dict[str, Any]],
    hours: Hours,
    caps: tuple[Cap, ...],
    defer: bool,
    held_out: float,
    compared: bool,
    topic: str,
) -> None:
    empty(hall)
    lately = []
    for person in people:
        fate = person["fate"]
        fields = {"consent": person["consent"], "time_zone": person["time_zone"]}
        [name] = hall.world.add(**(fields | ({"address": ""} if fate == "no address" else {})))
        if fate == "blocked":
            suppress(hall, hall.world.people[name].address)
        if fate == "gone":
            del hall.world.people[name]
        if fate == "lately":
            lately.append(name)
    hall.policy("counted", caps=caps or (cap(1000, days=9),))
    hall.campaign(lately, "before")
    drain(hall.sender())
    hall.policy("counted", hours=hours, caps=caps, defer=defer, transactional=defer)
    hall.runtime.clock.instant = NOW + HOUR  # type: ignore[attr-defined]
    experiments.set_hold_out(hall.runtime, held_out, 0)
    make_campaign(hall.runtime, channel=FAST, topic=topic)
    if compared:
        experiment(hall)
    before = others(hall.runtime)
    simulation = simulate_campaign(hall.runtime)
    assert others(hall.runtime) == before
    assert foretold(hall, simulation) == really(hall)


def test_nothing_but_the_simulation_is_written(hall: Hall) -> None:
    people = hall.world.add(30)
    hall.policy(caps=(cap(1, days=1),))
    hall.limit(5, burst=5)
    make_pool(hall.runtime)
    hall.campaign(people[:5], "before")
    drain(hall.sender())
    make_campaign(hall.runtime, channel=FAST, coupon_pool_id="gift")
    experiment(hall)
    before = others(hall.runtime)
    assert {"recent_send", "rate_bucket", "message", "coupon", "outbox"} <= before.keys()
    assert before["recent_send"]
    assert before["rate_bucket"]
    key = simulate_campaign(hall.runtime)
    assert summary(hall.runtime, key)["send_count"] != "0"
    assert others(hall.runtime) == before


def test_it_waits_for_rate_limits_in_its_own_time(hall: Hall) -> None:
    hall.world.add(25, time_zone="Europe/Berlin")
    hall.limit(1 / 60, burst=3)
    make_campaign(hall.runtime, channel=FAST)
    key = simulate_campaign(hall.runtime)
    minute = timedelta(minutes=1)
    times = [item.send_time for item in messages(hall.runtime, key)]
    assert times[:3] == [NOW] * 3
    expected = [NOW + number * minute for number in range(1, 23)]
    assert [round((at - NOW).total_seconds(), 3) for at in times[3:]] == [
        (at - NOW).total_seconds() for at in expected
    ]
    [told] = summary(hall.runtime, key)["channels"]
    assert (told["rate_limited_count"], told["longest_rate_wait"][:4]) == ("22", "1320")
    assert told["drain_time"].startswith("1260")
    # NOW is 13:00 in Berlin: those whose place comes at 13:10 wait for the next day.
    hall.policy(hours=Hours(windows=(Span(8 * 60, 13 * 60 + 10),)))
    key = simulate_campaign(hall.runtime)
    times = [item.send_time for item in messages(hall.runtime, key)]
    morning = datetime(2026, 3, 2, 7, tzinfo=UTC)
    assert sum(at < NOW + 10 * minute for at in times) == 12
    assert sorted(times)[12:15] == [morning] * 3
    assert summary(hall.runtime, key)["deferred_by_reason"] == {"RATE_LIMITED": "22", "SEND_WINDOW": "13"}


def test_no_message_leaves_before_it_was_foretold(hall: Hall) -> None:
    """Limits are about real time: a sender may be later than they allow, and never earlier."""
    hall.world.add(12)
    hall.limit(20, burst=2)
    make_campaign(hall.runtime, channel=FAST)
    found = messages(hall.runtime, simulate_campaign(hall.runtime))
    taken: list[tuple[UUID, float]] = []

    def answer(channel: str, item: OutboundMessage) -> SendResult:
        taken.append((UUID(item.contact_id), clock.monotonic()))
        return ACCEPTED

    hall.tape.answer = answer
    plan(hall.runtime)
    run_until([hall.sender()], lambda: len(taken) == 12)
    assert [contact for contact, _ in taken] == [item.contact_id for item in found]
    for item, (_, at) in zip(found, taken, strict=True):
        # What is noted here is noted a moment after the place was taken.
        assert at - taken[0][1] > (item.send_time - NOW).total_seconds() - 0.05


def test_limits_of_domains_hold_up_their_own_messages_only(hall: Hall) -> None:
    for number in range(6):
        hall.world.add(address=f"p{number}@slow.test")
        hall.world.add(address=f"p{number}@fast.test")
    hall.limit(0.1, "slow", burst=2, domain="slow.test")
    make_campaign(hall.runtime, channel=FAST)
    key = simulate_campaign(hall.runtime)
    found = messages(hall.runtime, key)
    at = sorted(round((item.send_time - NOW).total_seconds(), 3) for item in found)
    assert at == [0.0] * 8 + [10.0, 20.0, 30.0, 40.0]
    assert {item.deferral for item in found} == {"", "RATE_LIMITED: slow.test"}
    assert summary(hall.runtime, key)["deferred_by_reason"] == {"RATE_LIMITED": "4"}


def test_uploaded_codes_run_out(hall: Hall) -> None:
    hall.world.add(5)
    make_pool(hall.runtime)
    with hall.runtime.db.transaction() as connection:
        connection.execute(sa.text("UPDATE coupon_pool SET imported = true"))
    make_campaign(hall.runtime, channel=FAST, coupon_pool_id="gift")
    found = summary(hall.runtime, simulate_campaign(hall.runtime))
    assert found["refused_by_reason"] == {"COUPON_POOL_EMPTY": "5"}


def test_what_lies_beyond_its_end_waits(hall: Hall) -> None:
    hall.world.add(2, time_zone="Pacific/Auckland")
    hall.world.add(8, time_zone="Europe/Berlin")
    hall.world.add(consent=DENIED)
    hall.policy(hours=NIGHT)
    hall.limit(1 / 3600, burst=1)
    make_campaign(hall.runtime, channel=FAST)
    key = simulate_campaign(hall.runtime, end_time=NOW + 3 * HOUR + HOUR / 2)
    found = summary(hall.runtime, key)
    assert (found["send_count"], found["refused_by_reason"]) == ("4", {"CONSENT_DENIED": "1"})
    assert found["waiting_by_reason"] == {"QUIET_HOURS": "2", "RATE_LIMITED": "4"}
    assert [hour["send_count"] for hour in found["hours"]] == ["1"] * 4


def test_recipients_own_clocks(hall: Hall) -> None:
    [berlin] = hall.world.add(time_zone="Europe/Berlin")
    [saigon] = hall.world.add(time_zone="Asia/Ho_Chi_Minh")
    make_campaign(hall.runtime, channel=FAST)
    key = simulate_campaign(hall.runtime, recipient_local_time="2026-03-02T09:00")
    times = {item.contact_id: item.send_time for item in messages(hall.runtime, key)}
    assert times == {
        key_of(berlin): datetime(2026, 3, 2, 8, tzinfo=UTC),
        key_of(saigon): datetime(2026, 3, 2, 2, tzinfo=UTC),
    }


def test_a_past_time_is_asked_as_it_was(hall: Hall) -> None:
    then = NOW - 3 * DAY
    [kept] = hall.world.add()
    [changed] = hall.world.add(consent=DENIED)
    [late] = hall.world.add()
    suppress(hall, hall.world.people[late].address, since=NOW - DAY)
    [early] = hall.world.add()
    suppress(hall, hall.world.people[early].address, since=NOW - 5 * DAY)
    granted = 'contact.consents.email_marketing == "granted"'
    denied = 'contact.consents.email_marketing == "denied"'
    hall.world.rules = {
        granted: lambda name: name in (kept, changed, late, early),
        denied: lambda name: False,
    }
    make_campaign(hall.runtime, channel=FAST)
    key = simulate_campaign(hall.runtime, start_time=then)
    found = {item.contact_id: item for item in messages(hall.runtime, key)}
    assert {contact: item.decision for contact, item in found.items()} == {
        key_of(kept): "send",
        key_of(changed): "send",
        key_of(late): "send",
        key_of(early): "refuse",
    }
    assert {request.as_of_time.ToDatetime(tzinfo=UTC) for request in hall.world.matched} == {then}
    assert {item.send_time for item in found.values()} == {then, None}
    # What was sent by then counts, unless it is of the campaign itself.
    hall.world.rules.clear()
    hall.policy(caps=(cap(1, days=2),))
    hall.campaign([kept], "before")
    with hall.runtime.db.transaction() as connection:
        values = {"state": "sent", "send_time": then - DAY}
        connection.execute(sa.update(message).values(values))
    key = simulate_campaign(hall.runtime, start_time=then)
    told = summary(hall.runtime, key)
    assert told["refused_by_reason"] == {"FREQUENCY_CAP": "1", "CONSENT_DENIED": "1", "SUPPRESSED": "1"}
    unknown = "consents by email on marketing are those of now: no rule can ask about them"
    assert unknown in told["assumptions"]


def test_consents_that_a_message_does_not_need_are_not_spoken_of(hall: Hall) -> None:
    hall.world.add()
    make_campaign(hall.runtime, channel=FAST, topic="transactional")
    told = summary(hall.runtime, simulate_campaign(hall.runtime, start_time=NOW - DAY))
    assert told["send_count"] == "1"
    assert not [text for text in told["assumptions"] if text.startswith("consents by")]


def test_groups_and_costs(hall: Hall) -> None:
    hall.world.add(200)
    make_campaign(hall.runtime, channel=FAST)
    experiment(hall)
    with hall.runtime.db.transaction() as connection:
        connection.execute(
            sa.text("INSERT INTO channel_cost_history VALUES (:channel, 0.25, 'EUR')"), {"channel": FAST}
        )
    found = summary(hall.runtime, simulate_campaign(hall.runtime))
    groups = {(item.get("variant", ""), item.get("held_out", False)): item for item in found["groups"]}
    assert sum(int(item["message_count"]) for item in groups.values()) == 200
    assert groups.keys() == {("plain", False), ("other", False), ("", False), ("", True)}
    assert found["held_out_count"] == groups["", True]["message_count"]
    assert found["waiting_by_reason"] == {"WAITS_FOR_WINNER": groups["", False]["message_count"]}
    sent = int(groups["plain", False]["send_count"])
    cents = sent * 25
    cost = {"currency_code": "EUR", "units": str(cents // 100), "nanos": cents % 100 * 10_000_000}
    assert found["costs"] == [{key: value for key, value in cost.items() if value not in (0, "0")}]


def test_the_sample_of_an_evergreen_campaign(hall: Hall) -> None:
    """The first are in the sample, all others wait: as it will be."""
    hall.world.add(120)
    make_campaign(hall.runtime, channel=FAST, evergreen=True)
    sample = {"baseline_rate": 0.3, "minimal_effect": 0.6, "power": 0.8}
    experiment(hall, test_percent=100.0, **sample)
    seen = foretold(hall, simulate_campaign(hall.runtime))
    decisions = {item.decision for item in seen.values()}
    assert decisions == {"send", "refuse", "wait"}
    assert seen == really(hall)


def test_a_simulation_that_is_cancelled_leaves_nothing(hall: Hall) -> None:
    hall.world.add(3)
    make_campaign(hall.runtime, channel=FAST)
    made = simulating.start_campaign(hall.runtime, pb.SimulateCampaignRequest(name="campaigns/spring"), "")
    key = parse_name(made.name, "operations")
    op = claim_operation(hall.runtime, key)
    with hall.runtime.db.transaction() as connection:
        operations.request_cancel(connection, kit, key)
    with pytest.raises(Cancelled):
        simulating.simulate_campaign(hall.runtime, op)
    with pytest.raises(FailedPrecondition) as caught:
        messages(hall.runtime, key)
    assert caught.value.reason == "SIMULATION_RUNNING"
    with hall.runtime.db.read() as connection:
        assert not connection.execute(sa.text("SELECT 1 FROM simulated_message")).all()


def test_an_interrupted_simulation_begins_anew(hall: Hall) -> None:
    hall.world.add(3)
    make_campaign(hall.runtime, channel=FAST)
    made = simulating.start_campaign(hall.runtime, pb.SimulateCampaignRequest(name="campaigns/spring"), "")
    key = parse_name(made.name, "operations")
    for _ in range(2):
        simulating.simulate_campaign(hall.runtime, claim_operation(hall.runtime, key))
        assert len(messages(hall.runtime, key)) == 3


def test_simulations_are_forgotten(hall: Hall) -> None:
    [name] = hall.world.add()
    make_campaign(hall.runtime, channel=FAST)
    first, second = simulate_campaign(hall.runtime), simulate_campaign(hall.runtime)
    parting.let_go(hall.runtime, batch((key_of(name), None)))
    assert messages(hall.runtime, first) == []
    hall.runtime.clock.instant = NOW + 14 * DAY  # type: ignore[attr-defined]
    assert simulating.forget_old(hall.runtime) == 0
    hall.runtime.clock.instant += timedelta(seconds=1)  # type: ignore[attr-defined]
    assert simulating.forget_old(hall.runtime) == 2
    for key in (first, second):
        with pytest.raises(NotFound):
            simulating.get(hall.runtime, key)


def test_a_segment_that_is_gone(hall: Hall) -> None:
    make_campaign(hall.runtime, channel=FAST)
    with hall.runtime.db.transaction() as connection:
        connection.execute(sa.update(campaign).values(segment="segments/none"))
    with pytest.raises(NotFound):
        simulate_campaign(hall.runtime)
