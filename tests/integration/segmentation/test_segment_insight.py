"""Insight against plain Python on random contacts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.kit.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from services.segmentation.rules import Event, EventType, Profile, Registry, Trait, compile_rule
from services.segmentation.rules.fields import field_of
from services.segmentation.statistics import compare
from services.segmentation.store import insight as queries
from services.segmentation.usecases import insight, previewing
from services.segmentation.usecases.insight import Distribution, Target
from tests.integration.rules import store as rule_store
from tests.support.postgres import DatabaseFactory
from tests.support.segmentation import NOW, World, contact, contact_id, order, world

ZONE = "Europe/London"
REGISTRY = Registry(
    attributes=(),
    event_types=(EventType.parse("order.placed", {"amount": "double"}), EventType.parse("page.visited", {})),
    traits=(Trait("rfm_recency", "int"), Trait("rfm_frequency", "int")),
    time_zone=ZONE,
)
# Around the ends of months and weeks, and the nights when clocks change.
MOMENTS = st.one_of(
    st.datetimes(datetime(2025, 10, 1), datetime(2026, 3, 5), timezones=st.just(UTC)),
    st.builds(
        lambda day, minutes: day + timedelta(minutes=minutes),
        st.sampled_from(
            [
                datetime(2025, 10, 26, tzinfo=UTC),
                datetime(2026, 3, 1, tzinfo=UTC),
                datetime(2025, 12, 1, tzinfo=UTC),
            ]
        ),
        st.integers(-120, 120),
    ),
)
AMOUNTS = st.decimals("-50", "1000", places=2)
ORDERS = st.builds(lambda t, a: Event("order.placed", t, {"amount": a}), MOMENTS, AMOUNTS)
VISITS = st.builds(lambda t: Event("page.visited", t), MOMENTS)
SCORES = st.one_of(st.none(), st.integers(1, 5))
PEOPLE = st.builds(
    lambda region, tags, spent, count, seen, r, f, events, consent: Profile(
        {"region_code": region, "total_spent": spent, "order_count": count, "create_time": seen},
        tuple(tags),
        {"email_marketing": consent} if consent else {},
        {"rfm_recency": r, "rfm_frequency": f} if r and f else {},
        events=tuple(events),
    ),
    st.one_of(st.none(), st.sampled_from(["VN", "US", "NO", "é"])),
    st.lists(st.sampled_from(["vip", "a", "b"]), max_size=3),
    AMOUNTS,
    st.integers(0, 4),
    st.one_of(st.none(), MOMENTS),
    SCORES,
    SCORES,
    st.lists(st.one_of(ORDERS, VISITS), max_size=4),
    st.one_of(st.none(), st.sampled_from(["granted", "revoked"])),
)
RULES = {
    'contact.region_code == "VN"': lambda p: p.attributes["region_code"] == "VN",
    "contact.order_count >= 2": lambda p: p.attributes["order_count"] >= 2,
    "true": lambda p: True,
    "false": lambda p: False,
}
many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def place(make_module_database: DatabaseFactory) -> Iterator[World]:
    """The service in London, at NOW."""
    with world(make_module_database.with_tables("segmentation"), time_zone=ZONE) as made:
        with made.db.transaction() as connection:
            connection.exec_driver_sql("INSERT INTO event_type (name, fields) VALUES ('page.visited', '[]')")
            connection.exec_driver_sql(
                "INSERT INTO trait (name, record, available) VALUES ('rfm.scores', "
                """'{"columns": {"rfm_recency": "int", "rfm_frequency": "int"}}', true)"""
            )
        yield made


def put(place: World, people: list[Profile]) -> None:
    """Make these contacts all there are."""
    with place.db.transaction() as connection:
        rule_store.put(connection, REGISTRY, people)


def groups(found: Distribution) -> list[tuple[Any, int, int]]:
    def key(group: insight.DistributionGroup) -> Any:
        return "other" if group.other else group.bin if group.bin is not None else group.value

    return [(key(group), group.members, group.contacts) for group in found.groups]


def check_shares(found: Distribution) -> None:
    for group in found.groups:
        assert group.share == compare(group.members, found.members, group.contacts, found.contacts)
        assert group.members <= group.contacts <= found.contacts


@many
@given(st.lists(PEOPLE, max_size=25), st.sampled_from(list(RULES)), st.integers(1, 5))
def test_distribution_by_a_text(place: World, people: list[Profile], rule: str, most: int) -> None:
    put(place, people)
    chosen = [person for person in people if RULES[rule](person)]
    for attribute, of in (
        ("region_code", lambda p: p.attributes["region_code"]),
        ("contact.consents.email_marketing", lambda p: p.consents.get("email_marketing")),
    ):
        found = insight.distribution(place.service, Target(rule=rule), attribute, values=most)
        contacts, members = Counter(map(of, people)), Counter(map(of, chosen))
        values = sorted(
            (v for v in contacts if v is not None), key=lambda v: (-members[v], -contacts[v], v.encode())
        )
        expected = [(v, members[v], contacts[v]) for v in values[:most]]
        if None in contacts:
            expected.append((None, members[None], contacts[None]))
        if values[most:]:
            rest = values[most:]
            expected.append(("other", sum(members[v] for v in rest), sum(contacts[v] for v in rest)))
        assert groups(found) == expected
        assert (found.members, found.contacts) == ((len(chosen), len(people)) if people else (0, 0))
        assert found.omitted == len(values[most:])
        check_shares(found)


@many
@given(st.lists(PEOPLE, max_size=25), st.sampled_from(list(RULES)), st.integers(1, 5))
def test_distribution_by_a_list(place: World, people: list[Profile], rule: str, most: int) -> None:
    put(place, people)
    found = insight.distribution(place.service, Target(rule=rule), "tags", values=most)
    contacts: Counter[str | None] = Counter()
    members: Counter[str | None] = Counter()
    for person in people:
        for tag in set(person.tags) or {None}:
            contacts[tag] += 1
            members[tag] += RULES[rule](person)
    values = sorted((v for v in contacts if v is not None), key=lambda v: (-members[v], -contacts[v], v))
    expected = [(v, members[v], contacts[v]) for v in values[:most]]
    if None in contacts:
        expected.append((None, members[None], contacts[None]))
    assert groups(found) == expected
    assert found.omitted == len(values[most:])
    check_shares(found)


@many
@given(
    st.lists(PEOPLE, max_size=25),
    st.sampled_from(list(RULES)),
    st.lists(st.integers(-60, 1010), min_size=1, max_size=5, unique=True).map(sorted),
)
def test_distribution_in_given_bins(
    place: World, people: list[Profile], rule: str, limits: list[int]
) -> None:
    put(place, people)
    found = insight.distribution(place.service, Target(rule=rule), "total_spent", limits=limits)
    expected = []
    for low, high in zip([None, *limits], [*limits, None], strict=True):
        inside = [
            p
            for p in people
            if (low is None or p.attributes["total_spent"] >= low)
            and (high is None or p.attributes["total_spent"] < high)
        ]
        if inside:
            expected.append(((low, high), sum(map(RULES[rule], inside)), len(inside)))
    assert groups(found) == expected
    check_shares(found)


@many
@given(st.lists(PEOPLE, max_size=40), st.sampled_from(list(RULES)), st.integers(1, 6))
def test_distribution_in_bins_of_its_own(place: World, people: list[Profile], rule: str, bins: int) -> None:
    put(place, people)
    for attribute in ("total_spent", "order_count", "traits.rfm_recency"):
        found = insight.distribution(place.service, Target(rule=rule), attribute, bins=bins)

        def of(person: Profile, attribute: str = attribute) -> Any:
            if attribute.startswith("traits."):
                return person.traits.get("rfm_recency")
            return person.attributes[attribute]

        known = sorted(Decimal(value) for p in people if (value := of(p)) is not None)
        got = groups(found)
        if any(of(person) is None for person in people):
            missing = [p for p in people if of(p) is None]
            assert got.pop() == (None, sum(map(RULES[rule], missing)), len(missing))
        if len(set(known)) <= bins:
            counts = Counter(known)
            assert [(Decimal(v), c) for v, _, c in got] == sorted(counts.items())
        else:
            # The limits are the values at the fractions 1/bins, 2/bins, … of those sorted (percentile_disc).
            at = {known[-(-step * len(known) // bins) - 1] for step in range(1, bins)}
            limits = sorted(value for value in at if value > known[0])
            bounds = list(zip([None, *limits], [*limits, None], strict=True))
            for (low, high), members, contacts in got:
                inside = [
                    p
                    for p in people
                    if of(p) is not None and (low is None or of(p) >= low) and (high is None or of(p) < high)
                ]
                assert (members, contacts) == (sum(map(RULES[rule], inside)), len(inside))
            assert [bound for bound, _, _ in got] == bounds
        assert sum(contacts for _, _, contacts in got) == len(known)
        check_shares(found)


def period_start(moment: datetime, unit: str) -> date:
    day = moment.astimezone(ZoneInfo(ZONE)).date()
    if unit == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if unit == "month" else day.replace(month=1, day=1)


@many
@given(
    st.lists(PEOPLE, max_size=25),
    st.sampled_from(list(RULES)),
    st.sampled_from(["week", "month", "year"]),
    st.integers(1, 6),
)
def test_distribution_by_time(place: World, people: list[Profile], rule: str, unit: Any, most: int) -> None:
    put(place, people)
    found = insight.distribution(place.service, Target(rule=rule), "create_time", period=unit, values=most)

    def of(person: Profile) -> date | None:
        moment = person.attributes["create_time"]
        return None if moment is None else period_start(moment, unit)

    contacts = Counter(map(of, people))
    members = Counter(of(p) for p in people if RULES[rule](p))
    days = sorted(day for day in contacts if day is not None)
    expected: list[Any] = [(d.isoformat(), members[d], contacts[d]) for d in days[-most:]]
    if None in contacts:
        expected.append((None, members[None], contacts[None]))
    if old := days[:-most]:
        expected.append(("other", sum(members[d] for d in old), sum(contacts[d] for d in old)))
    assert groups(found) == expected
    check_shares(found)


@many
@given(
    st.lists(PEOPLE, max_size=25),
    st.sampled_from([None, *RULES]),
    st.sampled_from(["week", "month"]),
    st.sampled_from([("", ""), ("order_placed", "page.visited"), ("page.visited", "order.placed")]),
    st.integers(1, 8),
)
def test_cohorts(
    place: World, people: list[Profile], rule: str | None, unit: Any, types: tuple[str, str], count: int
) -> None:
    put(place, people)
    first, active = (t.replace("_", ".") or "order.placed" for t in types)
    expected: dict[date, set[int]] = defaultdict(set)
    events: dict[tuple[date, date], list[tuple[int, Decimal]]] = defaultdict(list)
    for number, person in enumerate(people):
        if rule is not None and not RULES[rule](person):
            continue
        seen = [event for event in person.events if event.time <= NOW]
        starts = [event.time for event in seen if event.type == first]
        if not starts:
            continue
        cohort = period_start(min(starts), unit)
        expected[cohort].add(number)
        for event in seen:
            if event.type == active:
                amount = event.payload.get("amount", Decimal(0))
                events[cohort, period_start(event.time, unit)].append((number, amount))
    periods = [period_start(NOW, unit)]
    while len(periods) < count:
        periods.insert(
            0, period_start(datetime.combine(periods[0], datetime.min.time(), UTC) - timedelta(days=1), unit)
        )
    found, as_of = insight.cohorts(
        place.service, Target(rule=rule), first=types[0], active=types[1], period=unit, count=count
    )
    assert as_of == NOW
    assert [(c.start, c.contacts) for c in found] == sorted(
        (start, len(who)) for start, who in expected.items() if start >= periods[0]
    )
    for cohort in found:
        assert [p.start for p in cohort.periods] == [p for p in periods if p >= cohort.start]
        for item in cohort.periods:
            within = events[cohort.start, item.start]
            assert item.active == len({number for number, _ in within})
            assert item.amount == sum((amount for _, amount in within), Decimal(0))
            assert item.share == item.active / cohort.contacts
            assert item.complete == (item.start != periods[-1])
        if first == active:
            assert cohort.periods[0].active == cohort.contacts


@many
@given(st.lists(PEOPLE, max_size=40), st.sampled_from(list(RULES)))
def test_cells_of_rfm(place: World, people: list[Profile], rule: str) -> None:
    put(place, people)
    with place.db.read() as connection:
        columns = [field_of(REGISTRY, f"traits.{name}").column for name in insight.RFM_TRAITS]
        who = compile_rule(rule, REGISTRY).rebuild_select
        found = queries.rfm(connection, who, columns[0], columns[1], NOW)
    expected: dict[Any, list[Decimal]] = defaultdict(list)
    for person in people:
        if RULES[rule](person):
            key = (person.traits.get("rfm_recency"), person.traits.get("rfm_frequency"))
            expected[key].append(person.attributes["total_spent"])
    assert {(c.recency, c.frequency): (c.contacts, c.amount) for c in found} == {
        key: (len(amounts), sum(amounts)) for key, amounts in expected.items()
    }


def test_a_segment_is_looked_at_as_its_members_are(place: World) -> None:
    place.empty()
    place.deliver(*(contact(contact_id(n), region_code="VN" if n < 3 else "US") for n in range(5)))
    place.deliver(order(contact_id(0), NOW - timedelta(days=40)), order(contact_id(0), NOW))
    place.define("vn", 'contact.region_code == "VN"')
    found = insight.distribution(place.service, Target(segment="vn"), "region_code")
    assert groups(found) == [("VN", 3, 3), ("US", 0, 2)]
    assert [round(g.share.lift, 4) for g in found.groups] == [1.6667, 0]
    cohorts, _ = insight.cohorts(place.service, Target(segment="vn"))
    assert [(c.start, [p.active for p in c.periods]) for c in cohorts] == [(date(2026, 1, 1), [1, 0, 1])]
    with pytest.raises(NotFound):
        insight.distribution(place.service, Target(segment="none"), "region_code")


def test_what_cannot_be_is_refused(place: World) -> None:
    def refused(reason: str, said: str, call: Any) -> None:
        with pytest.raises(InvalidArgument) as caught:
            call()
        assert caught.value.reason == reason
        assert said in caught.value.message

    all_of = Target(rule="true")
    for name in ("regoin_code", "traits", "location", "consents.x", "events", ""):
        refused(
            "UNKNOWN_ATTRIBUTE",
            "is not known",
            lambda name=name: insight.distribution(place.service, all_of, name),
        )
    refused(
        "INVALID_RULE",
        "agee",
        lambda: insight.distribution(place.service, Target(rule="contact.agee > 1"), "kind"),
    )
    for limits, attribute in (([2, 1], "age"), ([1, 1], "age"), ([float("nan")], "age"), ([1], "kind")):
        refused(
            "INVALID_BINS",
            "",
            lambda limits=limits, attribute=attribute: insight.distribution(
                place.service, all_of, attribute, limits=limits
            ),
        )
    refused("UNKNOWN_EVENT_TYPE", "did you mean order.placed?",
            lambda: insight.cohorts(place.service, Target(), first="order.place"))  # fmt: skip
    with pytest.raises(FailedPrecondition) as caught:
        insight.rfm_grid(place.service, Target())
    assert caught.value.reason == "TRAITS_MISSING"


def test_what_takes_too_long_is_refused(place: World, monkeypatch: pytest.MonkeyPatch) -> None:
    place.empty()
    place.deliver(*(contact(contact_id(n)) for n in range(300)))
    place.deliver(*(order(contact_id(1), NOW - timedelta(minutes=n)) for n in range(400)))
    monkeypatch.setattr(previewing, "LONGEST_SECONDS", 0.05)
    slow = "events.order_placed.exists(a, events.order_placed.exists(b, events.order_placed.exists(c, "
    slow += "a.time != b.time && b.time != c.time && a.amount + b.amount + c.amount > 1e9)))"
    for call in (
        lambda: insight.distribution(place.service, Target(rule=slow), "kind"),
        lambda: insight.cohorts(place.service, Target(rule=slow)),
    ):
        with pytest.raises(ResourceExhausted) as caught:
            call()
        assert caught.value.reason == "RULE_TOO_COSTLY"
