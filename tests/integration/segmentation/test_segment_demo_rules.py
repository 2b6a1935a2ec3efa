"""The five segments of the demo, with members worked out by hand."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.segmentation.usecases import upkeep
from tests.support.segmentation import (
    DEMO_RULES,
    NOW,
    World,
    contact,
    contact_id,
    days,
    order,
    page_visited_defined,
    visit,
)

A, B, C, D, E, F, G = (contact_id(n) for n in range(7))

FACTS = [
    # A: three visits within 30 days, the order came before the first of them: browses; that order is 40 days old.
    visit(A, NOW - days(29)), visit(A, NOW - days(20)), visit(A, NOW - days(1)), order(A, NOW - days(40)),
    # B: three visits, an order between them: does not browse. Its only order is young: newcomer.
    visit(B, NOW - days(29)), visit(B, NOW - days(20)), visit(B, NOW - days(1)), order(B, NOW - days(25)),
    # C: ordered once, 91 days ago: lapsed. Two visits only.
    visit(C, NOW - days(3)), visit(C, NOW - days(2)), order(C, NOW - days(91)),
    # D: five orders, the last 30 days old to the microsecond: loyal; two within 60 days: repeat.
    *(order(D, NOW - days(n)) for n in (30, 59, 100, 200, 300)),
    # E: two orders exactly 60 days ago: repeat still. The third visit is a microsecond too old.
    order(E, NOW - days(60)), order(E, NOW - days(60)),
    visit(E, NOW - days(30) - timedelta(microseconds=1)), visit(E, NOW - days(30)), visit(E, NOW),
    # F: nothing at all.
    # G: an order that is dated tomorrow is not there yet.
    order(G, NOW + days(1)),
]  # fmt: skip

EXPECTED = {
    "browsers": {A},
    "lapsed": {C},
    "loyal": {D},
    "newcomers": {B},
    "repeat": {D, E},
}


@pytest.mark.parametrize("first", ["facts", "segments"])
def test_members_are_those_worked_out_by_hand(seg: World, first: str) -> None:
    """Whether the facts or the segments come first, by rebuild or by increments, the members are the same."""
    seg.deliver(page_visited_defined())
    people = [contact(key) for key in (A, B, C, D, E, F, G)]

    def define() -> None:
        for id_, rule in DEMO_RULES.items():
            seg.define(id_, rule)

    if first == "segments":
        define()
    seg.deliver(*people)
    for fact in FACTS:
        seg.deliver(fact)
    if first == "facts":
        define()
    assert seg.everybody() == EXPECTED
    assert seg.sizes() == {id_: len(members) for id_, members in EXPECTED.items()}
    if first == "facts":
        assert {(t, s, c) for t, s, c, _ in seg.told()} == {
            ("segment.entered", id_, key) for id_, members in EXPECTED.items() for key in members
        }


def test_members_change_as_time_passes(seg: World) -> None:
    """Two microseconds later the edges have passed; a day later the future order is there."""
    seg.deliver(page_visited_defined(), *(contact(key) for key in (A, B, C, D, E, F, G)), *FACTS)
    for id_, rule in DEMO_RULES.items():
        seg.define(id_, rule)
    seg.clock.instant = NOW + timedelta(microseconds=1)
    assert upkeep.expire(seg.service) >= 2
    # D's last order is now older than 30 days, E's orders older than 60.
    assert seg.everybody() == {**EXPECTED, "loyal": set(), "repeat": {D}}
    seg.clock.instant = NOW + days(1)
    upkeep.expire(seg.service)
    assert seg.everybody() == {
        "browsers": {A},  # its first visit is exactly 30 days old
        "lapsed": {C},
        "loyal": set(),
        "newcomers": {B, G},
        "repeat": set(),  # D's second order is exactly 60 days old, its first 31: still two
    } | {"repeat": {D}}
