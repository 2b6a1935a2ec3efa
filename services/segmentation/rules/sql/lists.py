"""SQL of lists: what size, exists, all, sum, min and max become over the rows of a relation.

A list node becomes one aggregate expression over its items' rows. ``spoilt`` rows make it NULL: those on
which a filter is unknown, or a mapped value is missing, while every earlier filter was true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import BigInteger, Float, and_, case, cast, func, literal_column, or_, select
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import ColumnClause, ColumnElement
from sqlalchemy.sql.selectable import FromClause

from services.segmentation.rules import ir
from services.segmentation.rules.registry import EventType
from services.segmentation.rules.scope import unsure
from services.segmentation.rules.sql.scalars import (
    FALSE,
    NULL_BOOL,
    TRUE,
    Frame,
    compile_value,
    exact_number,
    texts_of,
)
from services.segmentation.rules.sql.values import literal, text_literal
from services.segmentation.rules.tables import event_table

Column = ColumnElement[Any]
ListNode = ir.Count | ir.Quantified | ir.Aggregate


@dataclass
class ItemFrame:
    """Place expressions inside a list: one more item is bound than in ``outer``."""

    outer: Frame
    var: int
    relation: FromClause
    profile_relation: FromClause | None = None
    """Set where the outer profile cannot be seen: a grouped sub-select joins its own."""
    profile_used: bool = False

    def __post_init__(self) -> None:
        self.now = self.outer.now
        self.time_zone = self.outer.time_zone

    def profile(self) -> FromClause:
        """Return the profile the expression is about."""
        self.profile_used = True
        return self.profile_relation if self.profile_relation is not None else self.outer.profile()

    def shared(self, node: ir.Attr, column: Column) -> Column:
        """Return a column of the profile, or a reference to where it is computed once."""
        return self.outer.shared(node, column) if self.profile_relation is None else column

    def once(self, column: Column) -> Column:
        """Return an expression of now and constants, computed once where that is worth it."""
        return self.outer.once(column)

    def contact_id(self) -> Column:
        """Return the id of the contact the item belongs to."""
        if "contact_id" in self.relation.c:
            return self.relation.c.contact_id
        return self.outer.contact_id()

    def within(self, contact_id: Column) -> list[Column]:
        """Return the condition that leaves out contacts which the statement is not of."""
        found: list[Column] = self.outer_lookup().within(contact_id)
        return found

    def item(self, var: int) -> FromClause:
        """Return the relation of the item bound at a nesting level."""
        return self.relation if var == self.var else self.outer.item(var)

    def list_value(self, node: ListNode) -> Column:
        """Answer a nested list by a correlated sub-select."""
        return correlated(node, self)

    def condition(self, node: ir.Node) -> Column | None:
        """Return None: inside of a list everything is answered by its parts."""
        return None

    def in_segment(self, segment: str) -> Column:
        """Return whether the contact is a member of a segment."""
        found: Column = self.outer_lookup().in_segment_of(segment, self.contact_id())
        return found

    def plugin_value(self, node: ir.PluginValue) -> Column:
        """Return the JSON value a plugin answered."""
        value: Column = self.outer_lookup().plugin_value_of(node, self.contact_id())
        return value

    def outer_lookup(self) -> Any:
        """Return the root frame, which knows segments and plugin answers."""
        frame: Any = self.outer
        while isinstance(frame, ItemFrame):
            frame = frame.outer
        return frame


def visible(event: FromClause, event_type: EventType, now: Column) -> list[Column]:
    """Return the conditions under which a row is an event of that type that has happened."""
    return [event.c.type == text_literal(event_type.name), event.c.occurred_at <= now]


def kept(items: ir.ListExpr, frame: Frame) -> list[Column]:
    """Return the conditions of the list's filters."""
    return [compile_value(s.expr, frame, truth=True) for s in items.steps if s.role == "filter"]


def _spoilt(items: ir.ListExpr, frame: Frame) -> list[Column]:
    """Return conditions one of which holds on a row that makes the whole list unknown."""
    conditions: list[Column] = []
    before: list[Column] = []
    last = max((index for index, step in enumerate(items.steps) if unsure(step.expr)), default=-1)
    for index, step in enumerate(items.steps[: last + 1]):
        if unsure(step.expr):
            conditions.append(and_(*before, compile_value(step.expr, frame).is_(None)))
        if step.role == "filter" and index < last:
            before.append(compile_value(step.expr, frame, truth=True))
    return conditions


def aggregate(node: ListNode, frame: ItemFrame) -> Column:
    """Return the aggregate expression of a list node over the rows of its items."""
    items = node.items
    keep = kept(items, frame)
    spoilt = _spoilt(items, frame)
    if isinstance(node, ir.Count):
        value = _count(keep, frame)
    elif isinstance(node, ir.Aggregate):
        value = _reduce(node, keep, frame)
    else:
        return _quantify(node, keep, spoilt, frame)
    if spoilt:
        return case((_any(spoilt, frame).is_not(TRUE), value))
    return value


def _own(relation: FromClause, conditions: Sequence[Column]) -> list[Column]:
    """Return a filter that makes an aggregate belong to its own sub-select.

    SQL takes an aggregate that reads only columns of an outer query for one of that outer query.
    """
    read = any(
        isinstance(part, ColumnClause) and part.table is relation
        for c in conditions
        for part in visitors.iterate(c)
    )
    return [] if read or not conditions else [next(iter(relation.c)).is_not(None)]


def _filtered(call: Any, reads: list[Column], keep: list[Column], frame: ItemFrame) -> Column:
    conditions = [*keep, *_own(frame.relation, [*reads, *keep])]
    aggregated: Column = call.filter(and_(*conditions)) if conditions else call
    return aggregated


def _count(keep: list[Column], frame: ItemFrame) -> Column:
    return _filtered(func.count(literal_column("*")), [], keep, frame)


def _any(conditions: list[Column], frame: ItemFrame) -> Column:
    condition = or_(*conditions) if len(conditions) > 1 else conditions[0]
    return _filtered(func.bool_or(condition), [condition], [], frame)


def _reduce(node: ir.Aggregate, keep: list[Column], frame: ItemFrame) -> Column:
    element = node.items.element
    assert element is not None
    value = compile_value(element, frame)
    if node.role != "sum":
        return _filtered(func.min(value) if node.role == "min" else func.max(value), [value], keep, frame)
    if node.kind == "double":
        value = exact_number(element, frame, stored=node.exact)
    found = _filtered(func.sum(value), [value], keep, frame)
    double = node.kind == "double"
    if double and node.exact and isinstance(element, ir.EventField) and element.payload.promoted == "amount":
        # What the column holds cannot sum up to anything that a double does not reach. The sum of nothing, which is
        # most of what short windows have, need not be cast.
        return func.coalesce(cast(found, Float(53)), literal_column("0::float8"))
    total = func.coalesce(found, literal_column("0::numeric"))
    if double:
        return func.rule_to_double(total, type_=Float(53))
    return func.rule_to_int(total, type_=BigInteger())


def _quantify(node: ir.Quantified, keep: list[Column], spoilt: list[Column], frame: ItemFrame) -> Column:
    exact = compile_value(node.predicate, frame)
    unknown = [and_(*keep, exact.is_(None))] if unsure(node.predicate) else []
    if node.role == "exists_one":
        found = _count([*keep, compile_value(node.predicate, frame, truth=True)], frame) == literal_column(
            "1"
        )
        doubts = [*spoilt, *unknown]
        return case((_any(doubts, frame).is_not(TRUE), found)) if doubts else found
    if node.role == "exists":
        decisive, answer, otherwise = compile_value(node.predicate, frame, truth=True), TRUE, FALSE
    else:
        decisive, answer, otherwise = exact.is_(False), FALSE, TRUE
    decided = _any([and_(*keep, decisive)], frame)
    if not spoilt and not unknown:
        return func.coalesce(decided, FALSE) if node.role == "exists" else decided.is_not(TRUE)
    branches: list[tuple[Column, Column]] = []
    if spoilt:
        branches.append((_any(spoilt, frame).is_(TRUE), NULL_BOOL))
    branches.append((decided.is_(TRUE), answer))
    if unknown:
        branches.append((_any(unknown, frame).is_(TRUE), NULL_BOOL))
    return case(*branches, else_=otherwise)


def empty_value(node: ListNode) -> Column:
    """Return the value of a list node when there are no items."""
    if isinstance(node, ir.Count):
        return literal(0)
    if isinstance(node, ir.Quantified):
        return TRUE if node.role == "all" else FALSE
    if node.role == "sum":
        return literal(0.0 if node.kind == "double" else 0)
    return literal_column(
        {"int": "NULL::bigint", "double": "NULL::float8", "time": "NULL::timestamptz"}[node.kind]
    )


def correlated(node: ListNode, frame: Frame) -> Column:
    """Answer a list node by a sub-select about the contact of the frame."""
    items = node.items
    if isinstance(items.source, ir.Attr):
        return _over_texts(node, frame)
    event = event_table.alias()
    inner = ItemFrame(frame, items.var, event)
    where = [event.c.contact_id == frame.contact_id(), *visible(event, items.source, frame.now)]
    if (
        isinstance(node, ir.Quantified)
        and node.role == "exists"
        and not items.spoils
        and not unsure(node.predicate)
    ):
        found = compile_value(node.predicate, inner, truth=True)
        # It may become a join, for which the contact at hand is no bound.
        where += frame.within(event.c.contact_id)
        return (
            select(literal_column("1"))
            .select_from(event)
            .where(*where, *kept(items, inner), found)
            .correlate_except(event)
            .exists()
        )
    if not items.spoils and not isinstance(node, ir.Quantified):
        # Sure filters go to WHERE, where an index can serve them.
        where += kept(items, inner)
        node = _without_steps(node)
    return (
        select(aggregate(node, inner))
        .select_from(event)
        .where(*where)
        .correlate_except(event)
        .scalar_subquery()
    )


def _without_steps(node: ir.Count | ir.Aggregate) -> ir.Count | ir.Aggregate:
    return replace(node, items=replace(node.items, steps=()))


def texts_relation(attribute: ir.Attr, frame: Frame) -> FromClause:
    """Return the texts of a list attribute as a relation with the column ``item``."""
    column = texts_of(attribute, frame)
    if attribute.group == "core":
        return func.unnest(column).table_valued("item").render_derived()
    is_list = func.jsonb_typeof(column) == literal_column("'array'")
    rows = func.jsonb_array_elements_text(case((is_list, column), else_=literal_column("'[]'::jsonb")))
    return rows.table_valued("item").render_derived()


def _over_texts(node: ListNode, frame: Frame) -> Column:
    items = node.items
    assert isinstance(items.source, ir.Attr)
    if items.source.group == "core" and isinstance(node, ir.Count) and not items.steps:
        return cast(func.cardinality(texts_of(items.source, frame)), BigInteger)
    texts = texts_relation(items.source, frame)
    inner = ItemFrame(frame, items.var, texts)
    return select(aggregate(node, inner)).select_from(texts).correlate_except(texts).scalar_subquery()


def window_of(node: ListNode) -> timedelta | None:
    """Return d when only events with time >= now - d (or later) can matter to the node, else None."""
    items = node.items
    shortest: timedelta | None = None
    conditions: list[ir.Node] = []
    for step in items.steps:
        if step.role == "filter":
            conditions.append(step.expr)
        if unsure(step.expr):
            # A row that a later filter drops could still spoil the list here.
            break
    else:
        if isinstance(node, ir.Quantified) and node.role != "all":
            conditions.append(node.predicate)
    for condition in conditions:
        for part in condition.parts if isinstance(condition, ir.And) else (condition,):
            time = part.time if isinstance(part, ir.NowCompare) and part.op in ("<", "<=", "==") else None
            if isinstance(part, ir.NowCompare) and isinstance(time, ir.EventTime) and time.var == items.var:
                shortest = part.shift if shortest is None else min(shortest, part.shift)
    return shortest
