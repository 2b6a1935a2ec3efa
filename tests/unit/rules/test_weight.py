"""How large the SQL of a rule may become: told before it is built, never less than it is."""

from __future__ import annotations

import pytest
from sqlalchemy.dialects import postgresql

from services.segmentation.rules import RuleError, RuleTooLargeError, compile_rule
from services.segmentation.rules.tables import profile
from services.segmentation.rules.weight import MAX_NESTED_LISTS, MAX_WEIGHT, weight
from tests.integration.rules import edges, selection, sides
from tests.integration.rules.vocabulary import REGISTRY

PART = 100
"""Characters of SQL that one part takes at the most."""


@pytest.mark.parametrize("offset", range(4))
def test_the_weight_bounds_the_sql(offset: int) -> None:
    texts = [*selection.chosen(), *edges.windows(), *edges.instants(), *edges.kept()][offset::12]
    for text in texts:
        rule = compile_rule(text, sides.REGISTRY)
        sql = str(rule.where(profile).compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
        assert len(sql) <= PART * weight(rule.ir), text


@pytest.mark.parametrize(
    ("form", "core", "levels"),
    [
        ("((@) == contact.vip)", "contact.age > 1", 9),
        ("((@ ? 1 : contact.age + 1) + 1 == contact.visits)", "contact.age > 1", 4),
        ("(@ ? contact.visits > 1 : contact.visits < 2)", "contact.vip", 10),
        ('((@ ? "a" : fold("b")) in contact.tags)', "contact.age > 1", 7),
        ('events.order_placed.exists(a, a.note.startsWith("a") || @)', "true", 3),
        ("(sum(events.order_placed.filter(a, @).map(b, b.discount)) > 1.0)", "true", 3),
        ("events.order_placed.exists_one(a, a.gift && @)", "contact.vip", 3),
    ],
)
def test_what_nesting_repeats_is_counted(form: str, core: str, levels: int) -> None:
    text = core
    for _ in range(levels):
        text = form.replace("@", text)
        rule = compile_rule(text, REGISTRY)
        sql = str(rule.where(profile).compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
        assert len(sql) <= PART * weight(rule.ir), text


def test_too_much_sql_is_refused() -> None:
    text = "contact.age > 1"
    for _ in range(27):
        text = f"({text}) == contact.vip"
    with pytest.raises(RuleTooLargeError, match="split it into several segments"):
        compile_rule(text, REGISTRY)


def test_lists_too_deep_are_refused_at_their_place() -> None:
    text = "true"
    for level in range(MAX_NESTED_LISTS):
        text = f"events.page_visited.exists(v{level}, {text})"
    assert compile_rule(text, REGISTRY).event_types == {"page.visited"}
    text = text.replace("true", "contact.tags.exists(t, true)")
    with pytest.raises(RuleError, match="inside one another") as raised:
        compile_rule(text, REGISTRY)
    assert (
        text[raised.value.column - 1 :].startswith(".exists(t")
        or "exists(t" in text[raised.value.column - 8 :]
    )


def test_the_longest_flat_rules_are_light() -> None:
    for text in (
        " || ".join(f"contact.visits == {n}" for n in range(500)),
        " || ".join(f"events.order_placed.filter(e, e.quantity > {n}).size() > 1" for n in range(150)),
    ):
        rule = compile_rule(text[:20_000].rsplit(" || ", 1)[0], REGISTRY)
        assert weight(rule.ir) < MAX_WEIGHT / 2
