"""Merged contacts leave all they have to those that remain; of erased ones nothing is kept, and nothing comes back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rapport.events.v1 import events_pb2

from services.kit.errors import InvalidArgument
from services.segmentation import models
from tests.integration.segmentation.test_segment_interleaving import at_once
from tests.integration.segmentation.test_segment_lists import make_list, put
from tests.support.postgres import DatabaseFactory
from tests.support.segmentation import (
    NOW,
    World,
    contact,
    contact_id,
    days,
    erased,
    merged,
    order,
    page_visited_defined,
    visit,
    world,
)
from tests.support.segmentation_scratch import agrees_with_scratch

ABSORBED, SURVIVOR, THIRD = (contact_id(number) for number in range(300, 303))
PEOPLE = [contact_id(number) for number in range(310, 316)]


def rows_of(seg: World, key: UUID) -> set[str]:
    """Return the tables that have a row of a contact."""
    found = set()
    for table in models.metadata.sorted_tables:
        if "contact_id" in table.c and seg.query(
            f"SELECT 1 FROM {table.name} WHERE contact_id = :key LIMIT 1", key=key
        ):
            found.add(table.name)
    return found


def test_a_survivor_takes_over_events_sums_and_places_in_lists(seg: World) -> None:
    """The absorbed contact leaves all it was in, the survivor enters what it now belongs to, each told once."""
    make_list(seg, "guests")
    seg.define("buyers", "events.order_placed.size() >= 2")
    seg.define("small", "events.order_placed.size() < 2")
    seg.define("invited", 'in_segment("segments/guests") && contact.region_code == "VN"')
    seg.deliver(
        contact(ABSORBED, region_code="US"),
        contact(SURVIVOR, region_code="VN"),
        order(ABSORBED, NOW - days(9), "3.5"),
        order(SURVIVOR, NOW - days(4), "2"),
    )
    put(seg, "guests", ABSORBED)
    before = len(seg.told())
    seg.deliver(merged(ABSORBED, SURVIVOR))
    assert seg.everybody() == {
        "guests": {SURVIVOR},
        "buyers": {SURVIVOR},
        "small": set(),
        "invited": {SURVIVOR},
    }
    assert sorted(seg.told()[before:], key=str) == sorted(
        [
            ("segment.left", "guests", ABSORBED, False),
            ("segment.left", "small", ABSORBED, False),
            ("segment.entered", "guests", SURVIVOR, False),
            ("segment.left", "small", SURVIVOR, False),
            ("segment.entered", "buyers", SURVIVOR, False),
            ("segment.entered", "invited", SURVIVOR, False),
        ],
        key=str,
    )
    assert seg.query("SELECT order_count FROM profile") == [2]
    assert seg.query("SELECT total_spent FROM profile") == [Decimal("5.5")]
    assert seg.query("SELECT first_order_time FROM profile") == [NOW - days(9)]
    assert seg.query("SELECT last_order_time FROM profile") == [NOW - days(4)]
    # That it was a member stays true of the past.
    assert rows_of(seg, ABSORBED) == {"contact_gone", "membership_past", "outbox"}
    agrees_with_scratch(seg)


def test_what_is_told_of_an_absorbed_contact_later_reaches_the_survivor(seg: World) -> None:
    """Through any number of merges, in the order in which nobody would tell them; its snapshots are ignored."""
    seg.deliver(page_visited_defined())
    seg.define("buyers", "events.order_placed.size() >= 1")
    seg.deliver(contact(THIRD), merged(SURVIVOR, THIRD))
    seg.deliver(merged(ABSORBED, SURVIVOR))
    seg.deliver(
        order(ABSORBED, NOW, "7"), visit(SURVIVOR, NOW), contact(ABSORBED, revision=7, region_code="US")
    )
    assert seg.members("buyers") == {THIRD}
    assert seg.query("SELECT DISTINCT contact_id FROM event") == [THIRD]
    assert seg.query("SELECT contact_id FROM profile") == [THIRD]
    assert seg.query('SELECT DISTINCT "into" FROM contact_gone') == [THIRD]


def test_a_merge_of_the_past_starts_no_journey(seg: World) -> None:
    """What follows from it is told as historical, beside live changes in the same batch."""
    seg.define("buyers", "events.order_placed.size() >= 1")
    seg.define("local", 'contact.region_code == "VN"')
    seg.deliver(contact(ABSORBED), contact(SURVIVOR), contact(THIRD), order(ABSORBED, NOW, historical=True))
    seg.deliver(merged(ABSORBED, SURVIVOR, historical=True), contact(THIRD, revision=2, region_code="VN"))
    assert seg.told() == [
        ("segment.entered", "buyers", ABSORBED, True),
        ("segment.left", "buyers", ABSORBED, True),
        ("segment.entered", "buyers", SURVIVOR, True),
        ("segment.entered", "local", THIRD, False),
    ]


def test_nothing_of_an_erased_contact_stays_or_comes_back(seg: World) -> None:
    """Nor of those that were merged into it; what others were told of it must still be told."""
    make_list(seg, "guests")
    seg.define("buyers", "events.order_placed.size() >= 1")
    seg.deliver(
        contact(ABSORBED), contact(SURVIVOR, region_code="VN"), order(ABSORBED, NOW), order(SURVIVOR, NOW)
    )
    put(seg, "guests", ABSORBED, SURVIVOR)
    seg.clock.instant += days(1)
    seg.deliver(contact(SURVIVOR, revision=2, region_code="US"), merged(ABSORBED, SURVIVOR))
    assert "profile_past" in rows_of(seg, SURVIVOR)
    seg.deliver(erased(SURVIVOR))
    for key in (ABSORBED, SURVIVOR):
        assert rows_of(seg, key) == {"contact_gone", "outbox"}
    assert seg.everybody() == {"guests": set(), "buyers": set()}
    assert {item[:3] for item in seg.told()[-2:]} == {
        ("segment.left", "guests", SURVIVOR),
        ("segment.left", "buyers", SURVIVOR),
    }
    seg.deliver(
        order(ABSORBED, NOW),
        order(SURVIVOR, NOW, historical=True),
        contact(SURVIVOR, revision=9),
        erased(SURVIVOR),
    )
    for key in (ABSORBED, SURVIVOR):
        assert rows_of(seg, key) == {"contact_gone", "outbox"}
    agrees_with_scratch(seg)


def test_a_contact_that_is_merged_into_an_erased_one_is_erased(seg: World) -> None:
    """Whichever is told first."""
    seg.deliver(contact(ABSORBED), order(ABSORBED, NOW), erased(SURVIVOR))
    seg.deliver(merged(ABSORBED, SURVIVOR))
    assert rows_of(seg, ABSORBED) == {"contact_gone"}


def test_merges_in_a_circle_are_refused(seg: World) -> None:
    """They go to the dead letters and change nothing, in one batch or in two."""
    seg.deliver(contact(ABSORBED), contact(SURVIVOR))
    for circle in (
        [merged(ABSORBED, ABSORBED)],
        [merged(ABSORBED, SURVIVOR), merged(SURVIVOR, THIRD), merged(THIRD, ABSORBED)],
    ):
        with pytest.raises(InvalidArgument, match="circle") as caught:
            seg.deliver(*circle)
        assert caught.value.reason == "MERGE_CIRCLE"
    assert seg.query("SELECT count(*) FROM contact_gone") == [0]
    seg.deliver(merged(ABSORBED, SURVIVOR))
    with pytest.raises(InvalidArgument, match="circle"):
        seg.deliver(merged(SURVIVOR, ABSORBED))
    assert seg.query("SELECT contact_id FROM profile") == [SURVIVOR]


RULES = {
    "local": 'contact.region_code == "VN"',
    "buyers": "events.order_placed.size() >= 2",
    "spenders": "contact.total_spent > 20.0",
    "unseen": "events.page_visited.size() == 0",
    "guests_abroad": 'in_segment("segments/guests") && !in_segment("segments/local")',
}


@dataclass
class Told:
    """A plain model: everything that was told, whatever the order, and what must follow from it."""

    snapshots: dict[UUID, tuple[int, str]] = field(default_factory=dict)
    orders: dict[str, tuple[UUID, datetime, Decimal]] = field(default_factory=dict)
    visits: dict[str, UUID] = field(default_factory=dict)
    into: dict[UUID, UUID | None] = field(default_factory=dict)
    guests: set[UUID] = field(default_factory=set)

    def end(self, key: UUID | None) -> UUID | None:
        while key in self.into:
            key = self.into[key]  # type: ignore[index]
        return key

    def expected(self) -> tuple[dict[str, set[UUID]], dict[UUID, tuple[str, int, Decimal]]]:
        """Return the members of all segments, and region, number and sum of orders of all contacts."""
        people = {}
        members: dict[str, set[UUID]] = {id_: set() for id_ in (*RULES, "guests")}
        guests = {self.end(key) for key in self.guests}
        for key, (_, region) in self.snapshots.items():
            if key in self.into:
                continue
            spent = [amount for owner, _, amount in self.orders.values() if self.end(owner) == key]
            seen = [owner for owner in self.visits.values() if self.end(owner) == key]
            people[key] = (region, len(spent), sum(spent, Decimal(0)))
            verdicts = {
                "guests": key in guests,
                "local": region == "VN",
                "buyers": len(spent) >= 2,
                "spenders": sum(spent, Decimal(0)) > 20,
                "unseen": not seen,
                "guests_abroad": key in guests and region != "VN",
            }
            for id_, verdict in verdicts.items():
                if verdict:
                    members[id_].add(key)
        return members, people


indices = st.integers(0, len(PEOPLE) - 1)
partings = st.lists(st.tuples(indices, st.one_of(indices, indices, st.none())), min_size=2, max_size=6)
facts = st.lists(
    st.tuples(st.sampled_from(["order", "contact", "visit"]), indices, st.integers(2, 6), st.booleans()),
    min_size=12,
    max_size=24,
)


@pytest.fixture(scope="module")
def shared(make_module_database: DatabaseFactory) -> Iterator[World]:
    """The service on a database that the examples share, emptied before each."""
    with world(make_module_database.with_tables("segmentation")) as made:
        yield made


@given(partings, facts, st.sets(indices), st.integers(0, 2), st.integers(0, 2**32 - 1))
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_any_interleaving_of_merges_and_erasures_ends_like_the_plain_model(
    shared: World,
    gone: list[tuple[int, int | None]],
    told: list[tuple[str, int, int, bool]],
    guests: set[int],
    rebuilds: int,
    seed: int,
) -> None:
    """Shuffled, repeated and cut anyhow among orders, visits and snapshots, by two workers, beside rebuilds."""
    seg, draw, model = shared, random.Random(seed), Told()
    seg.empty()
    seg.deliver(page_visited_defined(), *(contact(key, region_code="US") for key in PEOPLE))
    model.snapshots = dict.fromkeys(PEOPLE, (1, "US"))
    make_list(seg, "guests")
    for id_, rule in RULES.items():
        seg.define(id_, rule, build=False)
    seg.rebuild()
    if guests:
        put(seg, "guests", *(PEOPLE[at] for at in guests))
    model.guests = {PEOPLE[at] for at in guests}

    messages: list[events_pb2.Event] = []
    for at, other in gone:
        key = PEOPLE[at]
        if key in model.into:
            continue
        into = None if other is None else PEOPLE[other]
        if into is None:
            messages.append(erased(key))
        # Nobody is merged into a contact that is gone, so there is no circle.
        elif into == key or into in model.into:
            continue
        else:
            messages.append(merged(key, into))
        model.into[key] = into
    for kind, at, number, flag in told:
        key = PEOPLE[at]
        if kind == "contact":
            region = "VN" if number % 2 else "US"
            messages.append(contact(key, revision=number, region_code=region))
            if model.snapshots[key][0] < number:
                model.snapshots[key] = (number, region)
        elif kind == "order":
            item = order(key, NOW - days(number), f"{number}.5", historical=flag)
            messages.append(item)
            model.orders[item.id] = (key, NOW - days(number), Decimal(f"{number}.5"))
        else:
            item = visit(key, NOW - days(number), historical=flag)
            messages.append(item)
            model.visits[item.id] = key

    def stream(consumer: str, share: float) -> Any:
        items = [item for item in messages if draw.random() < share]
        draw.shuffle(items)
        items += draw.sample(items, len(items) // 3)
        cuts = [items[at : at + 3] for at in range(0, len(items), 3)]

        def run() -> None:
            for batch in cuts:
                seg.deliver(*batch, consumer=consumer)

        return run

    def rebuild() -> None:
        for _ in range(rebuilds):
            seg.rebuild()

    # Between them the two say everything; another consumer's record of what it processed is another.
    at_once(stream("segmentation.one", 0.7), stream("segmentation.two", 0.7), rebuild)
    draw.shuffle(messages)
    seg.deliver(*messages, consumer="segmentation.three")

    members, people = model.expected()
    assert seg.everybody() == members
    with seg.db.read() as connection:
        rows = connection.exec_driver_sql(
            "SELECT contact_id, region_code, order_count, total_spent FROM profile"
        ).all()
    assert {row[0]: tuple(row[1:]) for row in rows} == people
    owners = [model.end(owner) for owner, *_ in model.orders.values()]
    owners += [model.end(owner) for owner in model.visits.values()]
    assert sorted(seg.query("SELECT contact_id FROM event")) == sorted(
        key for key in owners if key is not None
    )
    for key in model.into:
        left = (
            {"contact_gone", "outbox"}
            if model.end(key) is None
            else {"contact_gone", "outbox", "membership_past"}
        )
        assert rows_of(seg, key) <= left
    agrees_with_scratch(seg)
