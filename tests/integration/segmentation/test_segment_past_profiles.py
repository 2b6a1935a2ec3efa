"""Profiles as they were: what is kept of them, and what a rule sees of an earlier time."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from services.segmentation.rules import compile_rule
from services.segmentation.store import kept, past, profiles
from services.segmentation.vocabulary import load_names, make_registry
from tests.support.segmentation import NOW, World, attribute_defined, contact, contact_id, days, order

KEY, OTHER = contact_id(1), contact_id(2)


def at(seg: World, key: UUID, time: datetime) -> Any:
    with seg.db.read() as connection:
        return past.find_at(connection, key, time)


def matching(seg: World, rule: str, time: datetime) -> set[UUID]:
    """Return the contacts for which a rule was TRUE at a time, by a condition on the relation of that time."""
    with seg.db.read() as connection:
        registry = make_registry(load_names(connection), seg.service.catalog(), "UTC")
        relation = past.relation_at(time)
        statement = sa.select(relation.c.contact_id).where(compile_rule(rule, registry).where(relation))
        return set(connection.execute(statement, {"now": time}).scalars())


def set_traits(seg: World, key: UUID, **values: Any) -> None:
    with seg.db.transaction() as connection:
        profiles.put_traits(connection, [key], [json.dumps(values)], list(values), seg.clock.now())


def later(seg: World, **length: float) -> datetime:
    seg.clock.instant += timedelta(**length)
    return seg.clock.instant


def test_each_state_is_found_at_its_time_and_the_first_one_before(seg: World) -> None:
    seg.deliver(attribute_defined("score", 2))
    seg.deliver(contact(KEY, region_code="VN", tags=["a"], attributes={"score": 1}))
    moved = later(seg, days=1)
    seg.deliver(contact(KEY, revision=2, region_code="US", consents={"email_marketing": "granted"}))
    graded = later(seg, days=1)
    set_traits(seg, KEY, rfm_recency=5)
    moment = timedelta(microseconds=1)

    for time in (NOW - days(900), NOW, moved - moment):
        row = at(seg, KEY, time)
        assert (row.region_code, row.tags, row.attributes, row.revision) == ("VN", ["a"], {"score": 1}, 1)
        assert (row.consents, row.traits) == ({}, {})
    for time in (moved, graded - moment):
        row = at(seg, KEY, time)
        assert (row.region_code, row.tags, row.attributes, row.revision) == ("US", [], {}, 2)
        assert (row.consents, row.traits) == ({"email_marketing": "granted"}, {})
    assert at(seg, KEY, graded).traits == {"rfm_recency": 5}
    assert at(seg, OTHER, NOW) is None
    assert {column.name for column in past.relation_at(NOW).c} == {
        column.name for column in profiles.profile.c if column.name != "valid_from"
    }


def test_a_revision_that_says_nothing_new_keeps_nothing(seg: World) -> None:
    seg.deliver(contact(KEY, region_code="VN"))
    later(seg, hours=1)
    seg.deliver(contact(KEY, revision=2, region_code="VN"))
    seg.deliver(contact(KEY, revision=1, region_code="US"))
    set_traits(seg, KEY)
    assert seg.query("SELECT count(*) FROM profile_past") == [0]
    assert seg.query("SELECT valid_from FROM profile") == [None]
    assert seg.query("SELECT revision FROM profile") == [2]


def test_states_of_the_same_instant_leave_only_the_last(seg: World) -> None:
    seg.deliver(contact(KEY, region_code="VN"))
    time = later(seg, hours=1)
    for revision, region in ((2, "US"), (3, "FR"), (4, "DE")):
        seg.deliver(contact(KEY, revision=revision, region_code=region))
    assert seg.query("SELECT region_code FROM profile_past") == ["VN"]
    assert at(seg, KEY, time).region_code == "DE"
    # A clock that was set back makes no state end before it began.
    seg.clock.instant = time - timedelta(minutes=5)
    seg.deliver(contact(KEY, revision=5, region_code="IT"))
    assert seg.query("SELECT count(*) FROM profile_past WHERE valid_from >= valid_until") == [0]
    assert at(seg, KEY, time).region_code == "IT"
    assert at(seg, KEY, time - timedelta(minutes=1)).region_code == "VN"


def test_sums_of_orders_are_those_of_the_orders_up_to_the_time(seg: World) -> None:
    seg.deliver(contact(KEY), contact(OTHER))
    seg.deliver(order(KEY, NOW - days(2), "10.50"), order(KEY, NOW - days(1), "4"))
    later(seg, days=3)
    seg.deliver(contact(KEY, revision=2, region_code="VN"), order(KEY, NOW + days(2), "1"))
    seg.deliver(order(KEY, NOW - days(1.5), "100"))

    row = at(seg, KEY, NOW)
    assert (row.order_count, float(row.total_spent)) == (3, 114.5)
    assert (row.first_order_time, row.last_order_time) == (NOW - days(2), NOW - days(1))
    row = at(seg, KEY, NOW - days(2))
    assert (row.order_count, float(row.total_spent)) == (1, 10.5)
    row = at(seg, KEY, NOW - days(9))
    assert (row.order_count, row.total_spent, row.first_order_time, row.last_order_time) == (0, 0, None, None)
    assert at(seg, OTHER, NOW).order_count == 0
    assert matching(seg, "contact.order_count >= 3", NOW) == {KEY}
    assert matching(seg, "contact.order_count >= 3", NOW - days(1.2)) == set()
    assert matching(seg, "contact.total_spent == 0.0", NOW) == {OTHER}


def test_rules_see_attributes_tags_consents_and_traits_of_their_time(seg: World) -> None:
    seg.deliver(contact(KEY, region_code="VN", tags=["vip"]), contact(OTHER, region_code="US"))
    time = later(seg, days=1)
    seg.deliver(
        contact(KEY, revision=2, region_code="US", consents={"email_marketing": "granted"}),
        contact(OTHER, revision=2, region_code="VN", tags=["vip"]),
    )
    before = time - timedelta(microseconds=1)
    vip = '"vip" in contact.tags && contact.region_code == "VN"'
    assert matching(seg, vip, before) == {KEY}
    assert matching(seg, vip, time) == {OTHER}
    granted = 'contact.consents.email_marketing == "granted"'
    assert matching(seg, granted, before) == set()
    assert matching(seg, granted, time) == {KEY}
    assert matching(seg, 'contact.tags.exists(t, t.startsWith("v"))', before) == {KEY}


def test_the_past_of_contacts_can_be_forgotten(seg: World) -> None:
    seg.deliver(contact(KEY, region_code="VN"), contact(OTHER, region_code="VN"))
    later(seg, days=1)
    seg.deliver(contact(KEY, revision=2), contact(OTHER, revision=2))
    with seg.db.transaction() as connection:
        past.forget(connection, [KEY])
    assert seg.query("SELECT contact_id FROM profile_past") == [OTHER]


def test_old_states_are_removed_in_bounded_batches(seg: World) -> None:
    keys = [contact_id(number) for number in range(5)]
    seg.deliver(*(contact(key, region_code="VN") for key in keys))
    for revision in (2, 3):
        later(seg, days=1)
        seg.deliver(*(contact(key, revision=revision, region_code=str(revision)) for key in keys))
    removed = []
    while not removed or removed[-1]:
        with seg.db.transaction() as connection:
            removed.append(kept.remove_older(connection, "profiles", NOW + days(2), 2))
    assert removed == [2, 2, 1, 0]
    assert [at(seg, key, NOW + days(1.5)).region_code for key in keys] == ["2"] * 5
    assert [at(seg, key, NOW + days(2)).region_code for key in keys] == ["3"] * 5
