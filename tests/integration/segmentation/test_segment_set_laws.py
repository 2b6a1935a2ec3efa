"""The laws of sets hold for segments over lists, against Python's sets, however the lists change."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.segmentation.test_segment_lists import make_list, put
from tests.support.postgres import DatabaseFactory
from tests.support.segmentation import World, attribute_defined, contact, contact_id, world
from tests.support.segmentation_scratch import agrees_with_scratch

PEOPLE = [contact_id(number) for number in range(8)]
BASE = frozenset(PEOPLE)
LISTS = ("a", "b", "c")


def within(id_: str) -> str:
    return f'in_segment("segments/{id_}")'


A, B, C = map(within, LISTS)
LAWS = {
    "union": (f"{A} || {B}", lambda a, b, c: a | b),
    "intersection": (f"{A} && {B}", lambda a, b, c: a & b),
    "exclusion": (f"!{A}", lambda a, b, c: BASE - a),
    "difference": (f"{A} && !{B}", lambda a, b, c: a - b),
    "either": (f"{A} != {B}", lambda a, b, c: a ^ b),
    "no_union": (f"!({A} || {B})", lambda a, b, c: (BASE - a) & (BASE - b)),
    "no_intersection": (f"!({A} && {B})", lambda a, b, c: (BASE - a) | (BASE - b)),
    "spread": (f"{A} && ({B} || {C})", lambda a, b, c: (a & b) | (a & c)),
    "gathered": (f"{A} || ({B} && {C})", lambda a, b, c: (a | b) & (a | c)),
    "twice_not": (f"!!{A}", lambda a, b, c: a),
    "absorbed": (f"{A} || ({A} && {B})", lambda a, b, c: a),
    "nobody": (f"{A} && !{A}", lambda a, b, c: frozenset()),
    "everybody": (f"{A} || !{A}", lambda a, b, c: BASE),
}
"""Rules, and what Python's sets make of the same members."""

# Pairs of segments over segments that a law says are the same, and a third level above.
DEEP = {
    "de_morgan_or": (f"{within('no_union')} == (!{A} && !{B})", BASE),
    "de_morgan_and": (f"{within('no_intersection')} == (!{A} || !{B})", BASE),
    "parted": (
        f"({within('difference')} || {within('intersection')}) == {A}"
        f" && !({within('difference')} && {within('intersection')})",
        BASE,
    ),
    "above": (f"{within('de_morgan_or')} && {within('de_morgan_and')} && {within('parted')}", BASE),
}


@pytest.fixture(scope="module")
def shared(make_module_database: DatabaseFactory) -> Iterator[World]:
    """Eight contacts, three lists, and a segment for each law."""
    with world(make_module_database.with_tables("segmentation")) as made:
        made.deliver(*(contact(key) for key in PEOPLE))
        for id_ in LISTS:
            make_list(made, id_)
        for id_, (rule, _) in {**LAWS, **DEEP}.items():
            made.define(id_, rule)
        yield made


changes = st.lists(
    st.tuples(st.sampled_from(LISTS), st.booleans(), st.lists(st.sampled_from(PEOPLE), max_size=6)),
    max_size=5,
)


@given(changes)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_segments_over_lists_are_what_sets_are(
    shared: World, work: list[tuple[str, bool, list[UUID]]]
) -> None:
    model: dict[str, set[UUID]] = {id_: shared.members(id_) for id_ in LISTS}
    for id_, entered, keys in work:
        new = set(keys) - model[id_] if entered else set(keys) & model[id_]
        assert put(shared, id_, *keys, entered=entered) == len(new)
        model[id_] = model[id_] | new if entered else model[id_] - new
    found = shared.everybody()
    assert {id_: found[id_] for id_ in LISTS} == model
    for id_, (_, law) in LAWS.items():
        assert found[id_] == law(*(frozenset(model[name]) for name in LISTS)), id_
    for id_, (_, expected) in DEEP.items():
        assert found[id_] == expected, id_


def test_afterwards_members_sizes_and_events_agree_with_a_rebuild(shared: World) -> None:
    agrees_with_scratch(shared)


def test_a_segment_excludes_those_for_whom_its_rule_is_unknown_and_the_rule_itself_does_not(
    make_database: DatabaseFactory,
) -> None:
    with world(make_database.with_tables("segmentation")) as seg:
        seg.deliver(
            attribute_defined("score", 2),
            *(contact(key, attributes={} if at == 0 else {"score": at}) for at, key in enumerate(PEOPLE[:3])),
        )
        seg.define("good", "contact.score > 1")
        seg.define("not_rule", "!(contact.score > 1)")
        seg.define("not_in", f"!{within('good')}")
        assert seg.everybody() == {
            "good": {PEOPLE[2]},
            "not_rule": {PEOPLE[1]},
            "not_in": {PEOPLE[0], PEOPLE[1]},
        }
