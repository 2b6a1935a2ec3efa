"""Many windows of the same events in one statement, answered by a search, give what each of them gives alone."""

from __future__ import annotations

import os
from datetime import timedelta
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from services.segmentation.rules import Event, Outcome, Profile, compile_rule, pass_statement
from services.segmentation.rules.sql import timing
from tests.integration.rules import store
from tests.integration.rules.generator import profiles, rules
from tests.integration.rules.test_equivalence import compiled
from tests.integration.rules.vocabulary import NOW, REGISTRY, US

EXAMPLES = max(1, int(os.environ.get("RAPPORT_RULE_EXAMPLES", "150")) // 4)
DAYS = range(1, 7)
FORMS = (
    "events.cart_added.exists(e, now - e.time <= days({n}))",
    "events.cart_added.exists(e, now - e.time < days({n}))",
    "events.cart_added.filter(e, now - e.time <= days({n})).size() >= 2",
    "sum(events.cart_added.filter(e, now - e.time <= days({n})).map(e, e.amount)) >= 2",
    "sum(events.cart_added.filter(e, e.amount > 1 && now - e.time < days({n})).map(e, e.amount)) == 2",
)


def people() -> list[Profile]:
    """Return people with one event or two, on the edges of the windows and beside them."""
    spans = [timedelta(days=n) + US * off for n in (0, *DAYS, 7) for off in (-1, 0, 1)]
    spans = [span for span in spans if span >= timedelta(0)]
    alone = [(span,) for span in spans]
    pairs = [(first, second) for first in spans[::4] for second in spans[1::5]]
    return [
        Profile(
            events=tuple(Event("cart.added", NOW - span, {"amount": 1 + at}) for at, span in enumerate(some))
        )
        for some in [(), *alone, *pairs]
    ]


def test_windows_end_one_after_the_other(rule_tables: Connection) -> None:
    accepted = [compile_rule(form.format(n=n), REGISTRY) for form in FORMS for n in DAYS]
    everybody = people()
    ids = store.put(rule_tables, REGISTRY, everybody)
    found = store.batch(rule_tables, accepted, ids, everybody, NOW)
    for id_, person in zip(ids, everybody, strict=True):
        members = {
            number for number, rule in enumerate(accepted) if rule.interpret(person, NOW) is Outcome.MEMBER
        }
        changes = [at for rule in accepted if (at := rule.next_change(person, NOW)) is not None]
        assert found[id_][0] == members
        # A sum is asked again whenever an event leaves its window, whether that changes what it says or not.
        assert (found[id_][1] is None) <= (not changes)
        assert not changes or found[id_][1] <= min(changes)  # type: ignore[operator]
    plain = [rule for rule in accepted if "sum(" not in rule.text]
    found = store.batch(rule_tables, plain, ids, everybody, NOW)
    for id_, person in zip(ids, everybody, strict=True):
        changes = [at for rule in plain if (at := rule.next_change(person, NOW)) is not None]
        assert found[id_][1] == min(changes, default=None), person


@pytest.mark.timeout(300 + 3 * EXAMPLES)
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(rules(), min_size=1, max_size=6), people=st.lists(profiles(), min_size=1, max_size=6))
def test_a_search_finds_what_comparisons_find(
    rule_tables: Connection, texts: list[str], people: list[Profile]
) -> None:
    accepted = [rule for text in texts if (rule := compiled(text)) is not None]
    ids = store.put(rule_tables, REGISTRY, people)
    with mock.patch.object(timing, "MANY", 1_000_000):
        wanted = store.batch(rule_tables, accepted, ids, people, NOW)
    with mock.patch.object(timing, "MANY", 1):
        assert store.batch(rule_tables, accepted, ids, people, NOW) == wanted
        rows = rule_tables.execute(
            pass_statement(list(enumerate(accepted))).select, {"now": NOW, **store.EVERYBODY}
        )
        assert {row.contact_id: (set(row.segments), row.next_change) for row in rows} == wanted
