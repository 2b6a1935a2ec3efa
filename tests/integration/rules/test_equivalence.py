"""SQL and CEL's evaluator give the same answer: the test the engine stands on.

RAPPORT_RULE_EXAMPLES sets how many examples are drawn (each is a few rules on a few profiles).
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from services.segmentation.rules import CompiledRule, Event, Outcome, Profile, RuleError, compile_rule
from tests.integration.rules import store, table
from tests.integration.rules.cells import Observer
from tests.integration.rules.generator import profiles, rules
from tests.integration.rules.vocabulary import NOW, REGISTRY

EXAMPLES = int(os.environ.get("RAPPORT_RULE_EXAMPLES", "150"))
# What the compiler may refuse although CEL accepts it; any other refusal is a fault of the generator or the
# compiler.
REFUSALS = (
    "both missing and unknown",
    "can be unknown: guard it",
    "this duration is too long",
    "nested more than",
    "lists stand inside one another",
    "grows too large when it is compiled",
)


def compiled(text: str) -> CompiledRule | None:
    """Compile a rule, None when it is refused for a reason that is allowed."""
    try:
        return compile_rule(text, REGISTRY)
    except RuleError as error:
        if any(r in error.message for r in REFUSALS):
            return None
        raise


def check(connection: Connection, texts: list[str], people: list[Profile]) -> None:
    """Compare all engines and all shapes of SQL on some rules and profiles."""
    accepted = [(t, r) for t in texts if (r := compiled(t)) is not None]
    if not accepted:
        return
    people = store.with_ids(people)
    ids = store.put(connection, REGISTRY, people)
    wanted: dict[str, list[Outcome]] = {}
    changes: list[dict[int, object]] = []
    for text, rule in accepted:
        expected = [rule.evaluate(p, NOW) for p in people]
        assert Outcome.LIMIT not in expected
        wanted[text] = expected
        assert [rule.interpret(p, NOW) for p in people] == expected, f"interpreter: {text}"
        store.answer(connection, rule.plugin_calls, ids, people)
        members = {i for i, o in zip(ids, expected, strict=True) if o is Outcome.MEMBER}
        for grouped in (False, True):
            got = store.outcomes(connection, rule, NOW, grouped=grouped)
            assert [got[i] for i in ids] == expected, f"{'grouped' if grouped else 'correlated'}: {text}"
        assert store.members_by_rebuild(connection, rule, NOW) == members, f"rebuild: {text}"
        assert store.members_by_where(connection, rule, NOW) == members, f"where: {text}"
        by_sql = store.changes(connection, rule, NOW)
        swept = sorted(members), sorted(by_sql.items())
        assert store.swept(connection, rule, NOW, ids) == swept, f"sweep: {text}"
        exact = {i: rule.next_change(p, NOW) for i, p in zip(ids, people, strict=True)}
        for i, instant in exact.items():
            early = by_sql.get(i)
            assert early is None or early > NOW, f"next change in the past: {text}"
            assert instant is None or (early is not None and early <= instant), (
                f"next change too late: {text}"
            )
        changes.append({i: by_sql.get(i) for i in ids})  # type: ignore[misc]
    found = store.batch(connection, [r for _, r in accepted], ids, people, NOW)
    for position, contact_id in enumerate(ids):
        numbers, instant = found[contact_id]
        expected_numbers = {n for n, (t, _) in enumerate(accepted) if wanted[t][position] is Outcome.MEMBER}
        assert numbers == expected_numbers, f"batch: {[t for t, _ in accepted]}"
        single = [c[contact_id] for c in changes if c[contact_id] is not None]  # type: ignore[index]
        assert instant == (min(single) if single else None), (
            f"next change of the batch: {[t for t, _ in accepted]}"
        )


BEYOND_THE_END = Profile(
    attributes={"has_email": False, "order_count": 0, "total_spent": Decimal(0)},
    events=(Event(type="cart.added", time=datetime(9999, 12, 30, 1, tzinfo=UTC), payload={"amount": 0}),),
)
"""What comes after the end of time never comes, whoever says when a rule changes."""


# A generous number of examples may take as long as it needs.
@pytest.mark.timeout(300 + 3 * EXAMPLES)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(texts=st.lists(rules(), min_size=1, max_size=4), people=st.lists(profiles(), min_size=1, max_size=6))
@example(
    texts=["events.cart_added.filter(x, now - x.time <= days(30)).size() < 0"],
    people=[BEYOND_THE_END],
)
def test_sql_and_cel_agree(rule_tables: Connection, texts: list[str], people: list[Profile]) -> None:
    check(rule_tables, texts, people)
    # The draws reach nothing that the table of ``table`` does not know or takes for impossible.
    observer = Observer(REGISTRY)
    for rule in filter(None, map(compiled, texts)):
        for person in store.with_ids(people):
            observer.observe(rule, person, NOW)
    assert not set(observer.cells) - table.declared()
    assert not [cell for cell in observer.cells if table.impossible(cell)]
