"""Whatever happens, each earlier time is told as it was: profiles, rules, members, entries and exits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.kit.plugins import TraitAnswer
from services.segmentation.store import past, past_members, segments, vocabulary
from services.segmentation.usecases import defining, history, previewing, traits, upkeep
from services.segmentation.usecases.defining import Change, compile_new
from tests.support.postgres import DatabaseFactory
from tests.support.segmentation import NOW, World, attribute_defined, contact, contact_id, days, order, world

PEOPLE = [contact_id(number) for number in range(200, 204)]
MOMENT = timedelta(microseconds=1)

State = dict[str, Any]
Order = tuple[datetime, Decimal]


def up_to(orders: list[Order], time: datetime) -> list[Order]:
    return [item for item in orders if item[0] <= time]


def ordered_within_a_day(state: State, orders: list[Order], time: datetime) -> bool:
    return any(time - at <= days(1) for at, _ in up_to(orders, time))


# What each rule means, in plain words: of a contact's state and orders at a time.
RULES: Mapping[str, Callable[[State, list[Order], datetime], bool]] = {
    'contact.region_code == "VN"': lambda s, o, t: s["region"] == "VN",
    '"vip" in contact.tags': lambda s, o, t: "vip" in s["tags"],
    'contact.consents.email_marketing == "granted"': lambda s, o, t: s["consent"] == "granted",
    "contact.score > 3": lambda s, o, t: s["score"] is not None and s["score"] > 3,
    "contact.traits.rfm_recency >= 4": lambda s, o, t: s["trait"] is not None and s["trait"] >= 4,
    "contact.order_count >= 2": lambda s, o, t: len(up_to(o, t)) >= 2,
    "contact.total_spent > 25.0": lambda s, o, t: sum(a for _, a in up_to(o, t)) > 25,
    "now - contact.last_order_time <= days(1)": ordered_within_a_day,
    "events.order_placed.exists(o, now - o.time <= days(1))": ordered_within_a_day,
    'contact.region_code == "VN" && events.order_placed.size() > 0': lambda s, o, t: (
        s["region"] == "VN" and bool(up_to(o, t))
    ),
}
OF_ORDERS = ("order", "total_spent")
"""Late orders and those of times to come make these answer otherwise afterwards."""
TIMELESS = [rule for rule in RULES if not any(word in rule for word in OF_ORDERS)]
IN_BASE = 'in_segment("segments/base")'
SEGMENT_RULES = [
    'contact.region_code == "VN"',
    '"vip" in contact.tags || contact.score > 3',
    "events.order_placed.exists(o, now - o.time <= days(1))",
    "contact.traits.rfm_recency >= 4 || contact.order_count >= 2",
    "true",
]

actions = st.one_of(
    st.tuples(st.just("later"), st.sampled_from([1, 5, 23, 24, 100])),
    st.tuples(
        st.just("contact"),
        st.sampled_from(PEOPLE),
        st.sampled_from(["VN", "US", ""]),
        st.sampled_from([[], ["vip"], ["vip", "a"]]),
        st.sampled_from([None, 2, 5]),
        st.sampled_from([None, "granted", "denied"]),
    ),
    st.tuples(st.just("again"), st.sampled_from(PEOPLE)),
    st.tuples(st.just("trait"), st.sampled_from(PEOPLE), st.sampled_from([None, 1, 4])),
    st.tuples(st.just("clear traits")),
    st.tuples(
        st.just("order"),
        st.sampled_from(PEOPLE),
        st.sampled_from([0, 0, -1, -30, -200, 3]),
        st.sampled_from(["5", "12.5", "40"]),
    ),
    st.tuples(st.just("define"), st.sampled_from(["base", "a", "b"]), st.integers(0, len(SEGMENT_RULES) - 1)),
    st.tuples(st.just("delete"), st.sampled_from(["a", "b"])),
    st.tuples(st.just("rebuild")),
)


@dataclass
class Instant:
    """What was seen at an instant, after all that happened in it."""

    members: dict[str, set[UUID]]
    versions: dict[str, int]
    answers: dict[str, set[UUID]]
    known: set[UUID]


@dataclass
class Model:
    """Keep what was told, in plain lists."""

    states: dict[UUID, list[tuple[datetime, State]]] = field(default_factory=dict)
    orders: dict[UUID, list[Order]] = field(default_factory=dict)
    revisions: dict[UUID, int] = field(default_factory=dict)
    seen: dict[datetime, Instant] = field(default_factory=dict)

    def state_at(self, key: UUID, time: datetime) -> State | None:
        """Return the last state up to a time, or the first one."""
        states = self.states.get(key, [])
        reached = [state for at, state in states if at <= time]
        return (reached[-1] if reached else states[0][1]) if states else None

    def change(self, key: UUID, now: datetime, **values: Any) -> None:
        """Put a state behind the others."""
        before = self.states.get(key, [])
        state = {"trait": None, **(before[-1][1] if before else {}), **values}
        self.states.setdefault(key, []).append((now, state))

    def matching(self, rule: str, time: datetime) -> set[UUID]:
        """Return the contacts for which a rule was true at a time, first known facts reaching back."""
        return {
            key
            for key in self.states
            if RULES[rule](self.state_at(key, time) or {}, self.orders.get(key, []), time)
        }


@pytest.fixture(scope="module")
def shared(make_module_database: DatabaseFactory) -> Iterator[World]:
    """The service on a database that the examples share, emptied before each."""
    with world(make_module_database.with_tables("segmentation")) as made:
        yield made


@given(st.lists(actions, min_size=4, max_size=30))
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_each_earlier_time_is_told_as_it_was(shared: World, work: list[tuple[Any, ...]]) -> None:
    seg, model = shared, Model()
    seg.empty()
    seg.deliver(attribute_defined("score", 2))
    with seg.db.transaction() as connection:
        vocabulary.put_traits(
            connection,
            {"rfm.scores": {"columns": {"rfm_recency": "int"}, "when_gone": "keep", "version": "1"}},
        )
        segments.bump(connection, names=True)
    seg.define("base", SEGMENT_RULES[0])
    observe(seg, model)
    for action in work:
        act(seg, model, *action)
        observe(seg, model)
    seg.clock.instant += timedelta(hours=1)
    check_profiles(seg, model)
    check_rules(seg, model)
    check_members(seg, model)
    check_changes(seg, model)


def act(seg: World, model: Model, kind: str, *values: Any) -> None:
    """Let something happen, and put it into the model."""
    now = seg.clock.now()
    if kind == "later":
        seg.clock.instant += timedelta(hours=values[0])
        while upkeep.expire(seg.service):
            pass
    elif kind == "contact":
        key, region, tags, score, consent = values
        model.revisions[key] = model.revisions.get(key, 0) + 1
        model.change(key, now, region=region, tags=tags, score=score, consent=consent)
        seg.deliver(snapshot(model, key))
    elif kind == "again" and values[0] in model.states:
        # A newer revision that says the same, and then an older one that says something else.
        (key,) = values
        model.revisions[key] += 1
        seg.deliver(snapshot(model, key))
        seg.deliver(contact(key, revision=1, region_code="XX"))
    elif kind == "trait":
        key, value = values
        if key in model.states:
            model.change(key, now, trait=value)
        answers = [[TraitAnswer(key, {"rfm_recency": value})]]
        traits._apply(seg.service, ["rfm_recency"], answers, lambda stage, changed: None)
    elif kind == "clear traits":
        for key in model.states:
            model.change(key, now, trait=None)
        traits.clear_trait(seg.service, ["rfm_recency"])
    elif kind == "order":
        key, hours, amount = values
        time = now + timedelta(hours=hours)
        model.orders.setdefault(key, []).append((time, Decimal(amount)))
        seg.deliver(order(key, time, amount, historical=hours < 0))
    elif kind == "define":
        id_, rule = values[0], SEGMENT_RULES[values[1]]
        if seg.query("SELECT id FROM segment WHERE id = :id", id=id_):
            with seg.db.transaction() as connection:
                defining.update_segment(seg.service, connection, id_, Change(rule=rule), "")
            seg.rebuild(id_)
        else:
            seg.define(id_, rule)
    elif kind == "delete" and seg.query("SELECT id FROM segment WHERE id = :id", id=values[0]):
        with seg.db.transaction() as connection:
            defining.delete_segment(seg.service, connection, values[0], "")
    elif kind == "rebuild":
        seg.rebuild()


def snapshot(model: Model, key: UUID) -> Any:
    """Return the present state of a contact as an event."""
    state = model.states[key][-1][1]
    return contact(
        key,
        revision=model.revisions[key],
        region_code=state["region"],
        tags=state["tags"],
        attributes={} if state["score"] is None else {"score": state["score"]},
        consents={} if state["consent"] is None else {"email_marketing": state["consent"]},
    )


def observe(seg: World, model: Model) -> None:
    """Note what is seen now; what was noted of this instant before is forgotten."""
    with seg.db.read() as connection:
        rows = connection.execute(sa.text("SELECT id, active_version FROM segment"))
        versions = {row.id: row.active_version or 0 for row in rows}
    model.seen[seg.clock.now()] = Instant(
        members=seg.everybody(),
        versions=versions,
        answers={rule: evaluated(seg, rule, None) for rule in [*TIMELESS, IN_BASE]},
        known=set(seg.query("SELECT contact_id FROM profile")),
    )


def evaluated(seg: World, rule: str, time: datetime | None) -> set[UUID]:
    found = previewing.evaluate_rule(seg.service, rule=rule, as_of=time, sample=100)
    assert found.members == len(found.sample)
    return set(found.sample)


def instants(model: Model) -> Iterator[tuple[datetime, Instant]]:
    """Yield each instant, and the last moment before the next one, with what was seen then."""
    times = sorted(model.seen)
    for at, following in zip(times, [*times[1:], None], strict=True):
        yield at, model.seen[at]
        if following is not None and following - MOMENT > at:
            yield following - MOMENT, model.seen[at]


def before_all(model: Model) -> tuple[datetime, Instant]:
    """Return a time before anything happened, when nobody was known and no segment there."""
    nothing: set[UUID] = set()
    answers = dict.fromkeys([*TIMELESS, IN_BASE], nothing)
    return NOW - days(3), Instant({}, {}, answers, nothing)


def check_profiles(seg: World, model: Model) -> None:
    for time, _ in (before_all(model), *instants(model)):
        with seg.db.read() as connection:
            relation = past.relation_at(time)
            rows = {row.contact_id: row for row in connection.execute(sa.select(relation))}
            for key in PEOPLE:
                assert past.find_at(connection, key, time) == rows.get(key)
        assert rows.keys() == model.states.keys()
        for key, row in rows.items():
            state, orders = model.state_at(key, time), up_to(model.orders.get(key, []), time)
            assert state is not None
            assert {
                "region": row.region_code or "",
                "tags": row.tags,
                "score": row.attributes.get("score"),
                "consent": row.consents.get("email_marketing"),
                "trait": row.traits.get("rfm_recency"),
            } == state
            assert (row.order_count, row.total_spent) == (len(orders), sum(amount for _, amount in orders))
            assert row.first_order_time == min((at for at, _ in orders), default=None)
            assert row.last_order_time == max((at for at, _ in orders), default=None)


def check_rules(seg: World, model: Model) -> None:
    for time, then in (before_all(model), *instants(model)):
        for rule in RULES:
            found = evaluated(seg, rule, time)
            assert found == model.matching(rule, time), (rule, time)
            with seg.db.read() as connection:
                relation = past.relation_at(time)
                condition = compile_new(seg.service, connection, rule).where(relation)
                statement = sa.select(relation.c.contact_id).where(condition)
                assert set(connection.execute(statement, {"now": time}).scalars()) == found
            if rule in TIMELESS:
                # For all who were known then, it is what was answered then.
                assert found & then.known == then.answers[rule], (rule, time)
        assert evaluated(seg, IN_BASE, time) == then.answers[IN_BASE] == then.members.get("base", set())


def check_members(seg: World, model: Model) -> None:
    for time, then in (before_all(model), *instants(model)):
        for id_ in {id_ for moment in model.seen.values() for id_ in moment.members}:
            found: list[UUID] = []
            with seg.db.read() as connection:
                while True:
                    page = history.members_at(
                        seg.service, connection, id_, time, after=found[-1] if found else None, limit=2
                    )
                    found += page.contacts
                    if len(page.contacts) < 2:
                        break
            assert found == sorted(then.members.get(id_, set())), (id_, time)
            assert page.version == then.versions.get(id_, 0), (id_, time)


def check_changes(seg: World, model: Model) -> None:
    found: list[past_members.Change] = []
    with seg.db.read() as connection:
        while True:
            page = history.changes(
                seg.service, connection, contact_id=None, segment=None, start=None, end=None,
                after=found[-1].key if found else None, limit=3,
            )  # fmt: skip
            found += page
            if len(page) < 3:
                break
        by_contact = {
            key: history.changes(
                seg.service,
                connection,
                contact_id=key,
                segment=None,
                start=None,
                end=None,
                after=None,
                limit=1000,
            )
            for key in PEOPLE
        }
    for key, of_contact in by_contact.items():
        assert of_contact == [change for change in found if change.contact_id == key]
    found.reverse()
    # Each is told once, as an event and here, in the same order.
    told: dict[tuple[str, UUID], list[bool]] = {}
    for type_, id_, key, _ in seg.told():
        told.setdefault((id_, key), []).append(type_ == "segment.left")
    listed: dict[tuple[str, UUID], list[bool]] = {}
    for change in found:
        listed.setdefault((change.segment, change.contact_id), []).append(change.left)
    assert listed == told
    for time, then in instants(model):
        members: dict[str, set[UUID]] = {}
        for change in found:
            if change.time <= time:
                if change.left:
                    members[change.segment].remove(change.contact_id)
                else:
                    members.setdefault(change.segment, set()).add(change.contact_id)
        assert {id_: keys for id_, keys in members.items() if keys} == {
            id_: keys for id_, keys in then.members.items() if keys
        }
    for change in found:
        then = model.seen[change.time]
        if change.segment in then.versions:
            assert change.version == then.versions[change.segment]
