"""Laws of explanations, of random rules and profiles: the outcome, the nearest change, and when time turns it.

RAPPORT_RULE_EXAMPLES sets how many examples are drawn: a quarter of it for each law.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import combinations, product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from services.segmentation.rules import Outcome, Profile
from services.segmentation.rules.explanation import Explanation, Part, explain
from services.segmentation.rules.structure import (
    Branch,
    Truth,
    alike,
    can_change,
    cheapest_flip,
    structure_of,
    truth_of,
)
from tests.integration.rules import store
from tests.integration.rules.generator import profiles, rules
from tests.integration.rules.test_equivalence import compiled
from tests.integration.rules.vocabulary import DAY, NOW, REGISTRY, US

# The laws are many; the equivalence test has the most generous share.
EXAMPLES = max(1, int(os.environ.get("RAPPORT_RULE_EXAMPLES", "150")) // 4)
_OUTCOMES = {True: Outcome.MEMBER, False: Outcome.NOT_MEMBER, None: Outcome.UNKNOWN}

# Only of a contact that has an id it is known in which bucket it is.
known = profiles().map(lambda profile: store.with_ids([profile])[0])
drawn = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.timeout(300 + 3 * EXAMPLES)
@drawn
@given(text=rules(), people=st.lists(profiles(), min_size=1, max_size=4))
def test_the_explained_outcome_is_that_of_every_engine(
    rule_tables: Connection, text: str, people: list[Profile]
) -> None:
    rule = compiled(text)
    if rule is None:
        return
    people = store.with_ids(people)
    ids = store.put(rule_tables, REGISTRY, people)
    store.answer(rule_tables, rule.plugin_calls, ids, people)
    by_sql = store.outcomes(rule_tables, rule, NOW, grouped=False)
    for contact_id, profile in zip(ids, people, strict=True):
        explained = explain(rule, profile, NOW)
        assert _OUTCOMES[explained.outcome] is by_sql[contact_id] is rule.interpret(profile, NOW), text
        check_places(explained.tree, text)
        for leaf in explained.leaves:
            assert text[leaf.place.start : leaf.place.end] == leaf.place.text


def check_places(part: Part, text: str) -> None:
    """A part stands within what holds it, apart from its neighbours; its text reads as a rule by itself."""
    alone = compiled(part.place.text)
    assert alone is None or structure_of(alone.ir)[0].op == part.op, (text, part.place.text)
    ends = part.place.start
    for below in part.parts:
        assert part.place.start <= below.place.start
        assert below.place.end <= part.place.end
        assert below.place.start >= ends, (text, below.place.text)
        ends = below.place.end
        check_places(below, text)


@st.composite
def formulas(draw: st.DrawFn) -> str:
    """Draw a rule over few leaves, of which some stand in it more than once and some can never change."""
    leaves = ("contact.vip", "contact.has_email", "contact.age > 3", "has(contact.nick)", "true", "1 > 2",
              'in_segment("segments/vip")', "contact.visits == 2")  # fmt: skip

    def formula(left: int) -> str:
        if left <= 1:
            return draw(st.sampled_from(leaves))
        form = draw(st.sampled_from(("&&", "||", "!", "?:") if left > 2 else ("&&", "||", "!")))
        if form == "!":
            return f"!({formula(left - 1)})"
        if form == "?:":
            third = left // 3
            return f"({formula(third)} ? {formula(third)} : {formula(left - 2 * third)})"
        first = draw(st.integers(1, left - 1))
        return f"({formula(first)} {form} {formula(left - first)})"

    return formula(draw(st.integers(1, 8)))


def turned(root: Branch, values: list[Truth], was: Truth) -> bool:
    value = truth_of(root, values)
    return value is not True if was is True else value is True


def check_flip(root: Branch, leaves: tuple, values: list[Truth]) -> None:  # type: ignore[type-arg]
    groups = alike(leaves)
    was = truth_of(root, values)
    found = cheapest_flip(root, leaves, values)
    assert found is None or found.certain
    free = sorted({group for number, group in enumerate(groups) if can_change(leaves[number])})

    def forced(changes: dict[int, bool]) -> list[Truth]:
        return [changes.get(group, values[number]) for number, group in enumerate(groups)]

    most = len(free) if found is None else len(found.turns) - 1
    for size in range(most + 1):
        for chosen in combinations(free, size):
            for to in product((True, False), repeat=size):
                assert not turned(root, forced(dict(zip(chosen, to, strict=True))), was), (
                    "a smaller set turns it"
                )
    if found is not None:
        assert all(turn.leaf in free and values[turn.leaf] is not turn.to for turn in found.turns)
        assert turned(root, forced({turn.leaf: turn.to for turn in found.turns}), was)


@drawn
@given(text=formulas(), data=st.data())
def test_the_nearest_change_turns_the_outcome_and_none_smaller_does(text: str, data: st.DataObject) -> None:
    rule = compiled(text)
    if rule is None or len(structure_of(rule.ir)[1]) > 8:
        return
    root, leaves = structure_of(rule.ir)
    groups = alike(leaves)
    drawn_values = [data.draw(st.sampled_from((True, False, None))) for _ in leaves]
    check_flip(root, leaves, [drawn_values[group] for group in groups])


@drawn
@given(text=rules(), profile=known)
def test_the_nearest_change_of_real_rules_is_the_smallest(text: str, profile: Profile) -> None:
    rule = compiled(text)
    if rule is None or len(structure_of(rule.ir)[1]) > 8:
        return
    explained = explain(rule, profile, NOW)
    root, leaves = structure_of(rule.ir)
    check_flip(root, leaves, [leaf.value for leaf in explained.leaves])
    assert all(change.hint for change in explained.changes or ())


GRID = sorted(
    {
        NOW + base + shift + step
        for base in (
            timedelta(0),
            DAY,
            2 * DAY,
            30 * DAY,
            -DAY,
            -2 * DAY,
            -30 * DAY,
            90 * DAY,
            timedelta(hours=1),
        )
        for shift in (timedelta(0), DAY, 2 * DAY, 30 * DAY, -DAY, timedelta(hours=1))
        for step in (-2 * US, -US, timedelta(0), US, 2 * US, 3 * US)
    }
    | {datetime(year, 3, day, 17, tzinfo=NOW.tzinfo) - DAY for year in range(2026, 2060) for day in (1, 2, 3)}
)


@drawn
@given(text=rules(), profile=known)
def test_time_turns_the_outcome_at_the_instant_told_and_not_before(text: str, profile: Profile) -> None:
    rule = compiled(text)
    if rule is None:
        return
    explained = explain(rule, profile, NOW)
    check_outlook(explained, lambda at: rule.interpret(profile, at))


@drawn
@given(text=rules(), other=rules(), profile=known)
def test_time_turns_the_outcome_through_another_segment(text: str, other: str, profile: Profile) -> None:
    name = "segments/churned"
    rule = compiled(f'in_segment("{name}") ? {text} : !({text})')
    named = compiled(other)
    if rule is None or named is None or named.segments:
        return

    def seen(at: datetime) -> Profile:
        member = named.interpret(profile, at) is Outcome.MEMBER
        return replace(profile, segments=(profile.segments - {name}) | ({name} if member else set()))

    explained = explain(rule, seen(NOW), NOW, others={name: named})
    check_outlook(explained, lambda at: rule.interpret(seen(at), at))


def check_outlook(explained: Explanation, ask) -> None:  # type: ignore[no-untyped-def]
    told, was = explained.outlook, _OUTCOMES[explained.outcome]
    if told.at is not None:
        assert told.at > NOW
        if told.at.year < 8999:
            assert ask(told.at) is _OUTCOMES[told.value] is not was
            assert ask(told.at - US) is was
    else:
        assert told.value is None
    until = told.at or told.known_until
    for at in GRID:
        if at > NOW and (until is None or at < until):
            assert ask(at) is was, f"turns at {at}, told {told}"
