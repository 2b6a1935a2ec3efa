"""The tree behind a rule: one form for every use of now, equal parts equal, statements that can be kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.dialects import postgresql

from services.segmentation.rules import EventType, Registry, batch_statement, compile_rule, ir
from services.segmentation.rules.sql.values import interval, literal, quoted

REGISTRY = Registry(
    event_types=(
        EventType.parse("order.placed", {"category": "string", "amount": "double", "note": "string?"}),
        EventType.parse("page.visited", {}),
    ),
)
DAY = timedelta(days=1)


def root(text: str) -> ir.Node:
    return compile_rule(text, REGISTRY).ir


@pytest.mark.parametrize(
    ("text", "op", "shift"),
    [
        ("now - contact.create_time <= days(3)", "<=", 3 * DAY),
        ("days(3) >= now - contact.create_time", "<=", 3 * DAY),
        ("contact.create_time >= now - days(3)", "<=", 3 * DAY),
        ("now - days(3) <= contact.create_time", "<=", 3 * DAY),
        ("contact.create_time - now > days(3)", "<", -3 * DAY),
        ("now > contact.create_time", ">", timedelta(0)),
        ("contact.create_time > now", "<", timedelta(0)),
        ("now + hours(1) == contact.create_time", "==", timedelta(hours=-1)),
        ("now - contact.create_time + days(1) < days(3) - days(1)", "<", DAY),
        ('now - contact.create_time != duration("1h30m")', "!=", timedelta(minutes=90)),
    ],
)
def test_now_has_one_form(text: str, op: str, shift: timedelta) -> None:
    node = root(text)
    assert isinstance(node, ir.NowCompare)
    assert (node.op, node.shift) == (op, shift)
    assert node.time == ir.Attr(kind="time", group="core", name="create_time", can_err=True)


def test_macros_are_recognised() -> None:
    node = root('events.order_placed.filter(e, e.amount > 1.0).map(e, e.category).exists(c, c == "a")')
    assert isinstance(node, ir.Quantified)
    assert node.role == "exists"
    assert [s.role for s in node.items.steps] == ["filter"]
    assert isinstance(node.predicate, ir.Equal)
    assert isinstance(node.predicate.left, ir.EventField)
    assert isinstance(root("events.order_placed.all(e, e.amount > 1.0)"), ir.Quantified)
    # map with a filter inside, and a filter written as a map of the item itself
    assert root("events.order_placed.map(e, e.amount > 1.0, e.amount).size() > 1") == root(
        "events.order_placed.filter(x, x.amount > 1.0).map(y, y.amount).size() > 1"
    )


@pytest.mark.parametrize(
    ("text", "can_err"),
    [
        ("contact.order_count > 3", False),
        ("contact.age > 3", True),
        ("contact.age == 3", False),
        ("contact.age + 1 == 3", True),
        ("has(contact.age)", False),
        ("contact.has_email", False),
        ("events.order_placed.exists(e, e.amount > 1.0)", False),
        ('events.order_placed.exists(e, e.note.startsWith("a"))', True),
        ('events.order_placed.exists(e, e.note == "a")', False),
        ("events.order_placed.size() > 1", False),
        ('events.order_placed.filter(e, e.note.startsWith("a")).size() > 1', True),
        ("sum(events.order_placed.map(e, e.amount)) > 1.0", True),
    ],
)
def test_what_can_be_unknown(text: str, can_err: bool) -> None:
    assert root(text).can_err is can_err


def test_leaves() -> None:
    text = "!(now > contact.create_time || events.page_visited.size() > 3) && contact.age > 3 && contact.has_email"
    assert len(compile_rule(text, REGISTRY).leaves) == 3
    assert (
        len(compile_rule("events.page_visited.exists(v, now > v.time || now < v.time)", REGISTRY).leaves) == 1
    )
    # a condition of ?: inside a comparison is a leaf of its own
    assert len(compile_rule("(now > contact.create_time ? 1 : 2) == 2", REGISTRY).leaves) == 2
    assert compile_rule("contact.order_count > 1", REGISTRY).leaves == ()


def sql(statement: Any) -> str:
    return str(statement.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]


def test_only_now_and_the_contacts_are_bound() -> None:
    rule = compile_rule(
        "events.order_placed.exists(e, e.category == 'x' && now - e.time < days(3))", REGISTRY
    )
    assert set(rule.rebuild_select.compile(dialect=postgresql.dialect()).params) == {"now"}  # type: ignore[no-untyped-call]
    batch = batch_statement([(1, rule), (2, compile_rule("contact.age > 3", REGISTRY))])
    compiled = batch.select.compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]
    assert set(compiled.params) == {"now", "contact_ids"}


def test_rebuilds_use_semi_joins_and_batches_read_events_once() -> None:
    texts = [
        "events.order_placed.filter(e, now - e.time <= days(30)).size() >= 2",
        "events.order_placed.filter(e, now - e.time <= days(60)).size() >= 2",
        "!events.order_placed.exists(e, now - e.time <= days(90))",
    ]
    rules = [compile_rule(t, REGISTRY) for t in texts]
    assert "contact_id IN (SELECT" in sql(rules[0].rebuild_select)
    assert "NOT (EXISTS" in sql(rules[2].rebuild_select)
    assert all("LEFT OUTER JOIN" not in sql(r.rebuild_select) for r in rules)
    together = sql(batch_statement(list(enumerate(rules))).select)
    # One pass for the verdicts, one probe for events that have not happened yet.
    assert together.count("FROM event") == 2
    assert "- '7776000.000000 seconds'::interval" in together


def test_batches_are_of_one_vocabulary_and_of_distinct_numbers() -> None:
    rule = compile_rule("contact.age > 3", REGISTRY)
    with pytest.raises(ValueError, match="different registries"):
        batch_statement([(1, rule), (2, compile_rule("contact.age > 3", Registry()))])
    with pytest.raises(ValueError, match="same segment number"):
        batch_statement([(1, rule), (1, rule)])
    assert batch_statement([]).plugin_calls == ()


def test_literals() -> None:
    assert quoted("it's \\ %") == "'it''s \\ %'"
    with pytest.raises(ValueError, match="U\\+0000"):
        quoted("\0")
    assert str(interval(timedelta(days=-1, microseconds=1))) == "'-86399.999999 seconds'::interval"
    assert str(literal(-(2**63))) == "'-9223372036854775808'::bigint"
    with pytest.raises(TypeError):
        literal(b"x")
