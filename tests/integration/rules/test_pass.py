"""One pass over everybody gives each contact what a batch gives it."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from services.segmentation.rules import Profile, pass_statement
from tests.integration.rules import store
from tests.integration.rules.generator import profiles, rules
from tests.integration.rules.test_equivalence import compiled
from tests.integration.rules.vocabulary import NOW, REGISTRY

EXAMPLES = max(1, int(os.environ.get("RAPPORT_RULE_EXAMPLES", "150")) // 4)


@pytest.mark.timeout(300 + 3 * EXAMPLES)
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@example(
    texts=[
        "events.cart_added.filter(e, now - e.time <= days(30) && contact.score == contact.score).size() > 1"
    ],
    people=[Profile(attributes={"score": 1.0}), Profile()],
)
@given(texts=st.lists(rules(), min_size=1, max_size=6), people=st.lists(profiles(), min_size=1, max_size=6))
def test_a_pass_and_a_batch_agree(rule_tables: Connection, texts: list[str], people: list[Profile]) -> None:
    accepted = [rule for text in texts if (rule := compiled(text)) is not None]
    ids = store.put(rule_tables, REGISTRY, people)
    wanted = store.batch(rule_tables, accepted, ids, people, NOW)
    statement = pass_statement(list(enumerate(accepted))).select
    rows = [
        row
        for first, last in store.spans(ids)
        for row in rule_tables.execute(statement, {"now": NOW, "first": first, "last": last})
    ]
    assert len(rows) == len(wanted)
    assert {row.contact_id: (set(row.segments), row.next_change) for row in rows} == wanted
