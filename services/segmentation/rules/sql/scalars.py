"""SQL of single values. What is missing or unknown in the tree is NULL in SQL; `==` restores the
difference.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol

from sqlalchemy import (
    TIMESTAMP,
    BigInteger,
    Boolean,
    Date,
    Float,
    Numeric,
    Text,
    and_,
    case,
    cast,
    func,
    literal_column,
    not_,
    or_,
)
from sqlalchemy.sql.elements import ColumnElement, Grouping
from sqlalchemy.sql.selectable import FromClause

from services.segmentation.rules import ir
from services.segmentation.rules.sql import calendar
from services.segmentation.rules.sql.values import TEXT_C, TIME, interval, literal, quoted, text_literal

Column = ColumnElement[Any]
TRUE: Column = literal_column("true", Boolean())
FALSE: Column = literal_column("false", Boolean())
NULL_BOOL: Column = literal_column("NULL::boolean", Boolean())

_ARITH = {"+": "rule_add", "-": "rule_subtract", "*": "rule_multiply", "/": "rule_divide", "%": "rule_modulo"}
_OBJECTS = {"custom": "attributes", "trait": "traits", "consent": "consents"}
_TYPES: dict[str, Any] = {
    "bool": Boolean(),
    "int": BigInteger(),
    "double": Float(53),
    "string": TEXT_C,
    "time": TIME,
}


class Frame(Protocol):
    """Where an expression is placed: who is the contact, what is bound, and how lists are answered."""

    now: Column
    time_zone: str

    def profile(self) -> FromClause:
        """Return the profile the expression is about."""

    def contact_id(self) -> Column:
        """Return the id of the contact the expression is about."""

    def within(self, contact_id: Column) -> list[Column]:
        """Return the condition that leaves out contacts which the statement is not of, for each table that it reads."""

    def shared(self, node: ir.Attr, column: Column) -> Column:
        """Return a column computed from the profile, or a reference to where it is computed once."""

    def once(self, column: Column) -> Column:
        """Return an expression of now and constants, computed once a statement where that is worth it."""

    def item(self, var: int) -> FromClause:
        """Return the relation of the item bound at a nesting level."""

    def list_value(self, node: ir.Count | ir.Quantified | ir.Aggregate) -> Column:
        """Return the value of a list node."""

    def condition(self, node: ir.Node) -> Column | None:
        """Return a condition that the frame answers in a better way than by its parts, None for others."""

    def in_segment(self, segment: str) -> Column:
        """Return whether the contact is a member of a segment."""

    def plugin_value(self, node: ir.PluginValue) -> Column:
        """Return the JSON value a plugin answered."""


def compile_value(node: ir.Node, frame: Frame, *, truth: bool = False) -> Column:
    """Compile a node. With ``truth`` only TRUE matters, so NULL may be given where the value is false."""
    compiler: Callable[[Any, Frame, bool], Column] = _COMPILERS[type(node)]
    return compiler(node, frame, truth)


def _typed(column: Any, kind: str) -> Column:
    result: Column = column
    result.type = _TYPES[kind]
    return result


def _call(name: str, kind: str, *arguments: Column) -> Column:
    called: Column = getattr(func, name)(*arguments, type_=_TYPES[kind])
    return called


# -- fields
# -----------------------------------------------------------------------------------------------------------


def _const(node: ir.Const, frame: Frame, truth: bool) -> Column:
    return literal(node.value)


def today_of(frame: Frame) -> Column:
    """Return the date at ``now`` on the business's calendar."""
    return cast(func.timezone(text_literal(frame.time_zone), frame.now), Date())


def birth_instant(profile: FromClause, time_zone: str) -> Column:
    """Return the first instant of the birth date in the business's zone."""
    return func.rule_day_start(profile.c.birth_date, text_literal(time_zone), type_=TIME)


def json_value(column: Column, name: str, kind: str) -> Column:
    """Read a key of a JSON object; a value of another type, or beyond the type's range, is NULL."""
    part = column.op("->")(literal_column(f"{quoted(name)}"))
    if kind == "string":
        return _call("rule_json_text", "string", part)
    return _call(f"rule_json_{kind}", kind, part)


def _attr(node: ir.Attr, frame: Frame, truth: bool) -> Column:
    profile = frame.profile()
    if node.group in _OBJECTS:
        return frame.shared(node, json_value(profile.c[_OBJECTS[node.group]], node.name, node.kind))
    if node.name == "age":
        age = _call("rule_age", "int", profile.c.birth_date, profile.c.stated_age, today_of(frame))
        return frame.shared(node, age)
    if node.name == "birth_date":
        return frame.shared(node, birth_instant(profile, frame.time_zone))
    if node.name == "total_spent":
        return frame.shared(node, cast(profile.c.total_spent, Float(53)))
    return profile.c[node.name]


def _event_time(node: ir.EventTime, frame: Frame, truth: bool) -> Column:
    return frame.item(node.var).c.occurred_at


def _event_field(node: ir.EventField, frame: Frame, truth: bool) -> Column:
    event = frame.item(node.var)
    if node.payload.promoted == "category":
        return event.c.category
    if node.payload.promoted == "amount":
        return cast(event.c.amount, Float(53))
    return json_value(event.c.payload, node.payload.name, node.kind)


def exact_number(node: ir.Node, frame: Frame, *, stored: bool) -> Column:
    """Return a double as an exact decimal: the one that is stored, or the shortest text of the double."""
    if stored and isinstance(node, ir.EventField):
        event = frame.item(node.var)
        if node.payload.promoted == "amount":
            return event.c.amount
        return func.rule_json_numeric(event.c.payload.op("->")(literal_column(quoted(node.payload.name))))
    return cast(cast(compile_value(node, frame), Text()), Numeric())


def _element(node: ir.Element, frame: Frame, truth: bool) -> Column:
    return frame.item(node.var).c.item


def _has(node: ir.Has, frame: Frame, truth: bool) -> Column:
    operand = node.operand
    return compile_value(operand, frame).is_not(None) if operand.can_null or operand.can_err else TRUE


def _has_location(node: ir.HasLocation, frame: Frame, truth: bool) -> Column:
    return frame.profile().c.latitude.is_not(None)


# -- operators
# --------------------------------------------------------------------------------------------------------


def _arith(node: ir.Arith, frame: Frame, truth: bool) -> Column:
    left, right = compile_value(node.left, frame), compile_value(node.right, frame)
    if node.kind == "string":
        return _typed(left.op("||")(right), "string")
    return _call(_ARITH[node.op], node.kind, left, right)


def _negate(node: ir.Negate, frame: Frame, truth: bool) -> Column:
    operand = compile_value(node.operand, frame)
    if node.kind == "int":
        return _call("rule_subtract", "int", literal(0), operand)
    return _typed(-operand, "double")


def _shift(node: ir.TimeShift, frame: Frame, truth: bool) -> Column:
    return _call("rule_shift", "time", compile_value(node.operand, frame), interval(node.by))


def _diff(node: ir.TimeDiff, frame: Frame, truth: bool) -> Column:
    return compile_value(node.left, frame) - compile_value(node.right, frame)


def _order(op: str, left: Column, right: Column) -> Column:
    return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[op]


def _compare(node: ir.Compare, frame: Frame, truth: bool) -> Column:
    if (known := frame.condition(node)) is not None:
        return known
    left, right = compile_value(node.left, frame), compile_value(node.right, frame)
    # Order is byte by byte; one explicit collation decides for both sides. Equality is so under any
    # collation.
    return _order(node.op, left.collate("C") if node.left.kind == "string" else left, right)


def _now_compare(node: ir.NowCompare, frame: Frame, truth: bool) -> Column:
    return compare_with_now(node.op, node.shift, compile_value(node.time, frame), frame)


def compare_with_now(op: str, shift: timedelta, time: Column, frame: Frame) -> Column:
    """Return ``now op time + shift``, written with the time alone on the left so that an index on it serves."""
    edge = frame.once(frame.now - interval(shift)) if shift != timedelta(0) else frame.now
    return {
        "<": time > edge,
        "<=": time >= edge,
        ">": time < edge,
        ">=": time <= edge,
        "==": time == edge,
        "!=": time != edge,
    }[op]


def _equal(node: ir.Equal, frame: Frame, truth: bool) -> Column:
    if (known := frame.condition(node)) is not None:
        return known
    left, right = node.left, node.right
    a, b = compile_value(left, frame), compile_value(right, frame)
    if left.kind == "null" or right.kind == "null":
        other, column = (right, b) if left.kind == "null" else (left, a)
        if other.kind == "null" and isinstance(other, ir.Const):
            return FALSE if node.negated else TRUE
        if not other.can_null and not other.can_err:
            return TRUE if node.negated else FALSE
        if other.can_err:
            # Never null: false wherever it is known.
            return case((column.is_not(None), TRUE if node.negated else FALSE))
        return column.is_not(None) if node.negated else column.is_(None)
    if truth and not node.negated and not (left.can_null and right.can_null):
        return a == b
    if left.can_null and right.can_null:
        return a.is_distinct_from(b) if node.negated else a.is_not_distinct_from(b)
    plain = a != b if node.negated else a == b
    if left.can_null or right.can_null:
        plain = func.coalesce(plain, TRUE if node.negated else FALSE)
        erring = [c for n, c in ((left, a), (right, b)) if n.can_err]
        if erring:
            return case((erring[0].is_not(None), plain))
    return plain


def _in_values(node: ir.InValues, frame: Frame, truth: bool) -> Column:
    operand = compile_value(node.operand, frame)
    if not node.values:
        return case((operand.is_not(None), FALSE)) if node.operand.can_err else FALSE
    found = operand.in_([literal(v) for v in node.values])
    return func.coalesce(found, FALSE) if node.operand.can_null and not truth else found


def texts_of(attribute: ir.Attr, frame: Frame) -> Column:
    """Return the column of a list attribute: text[] for tags, JSON for custom ones."""
    profile = frame.profile()
    if attribute.group == "core":
        return profile.c[attribute.name]
    return profile.c.attributes.op("->")(literal_column(quoted(attribute.name)))


def _in_texts(node: ir.InTexts, frame: Frame, truth: bool) -> Column:
    operand, column = compile_value(node.operand, frame), texts_of(node.attribute, frame)
    if node.attribute.group == "core":
        # SQLAlchemy puts ANY to the left of what it compares; written out, it stays where PostgreSQL wants
        # it.
        found: Column = operand.op("=", is_comparison=True)(func.any(column))
        if node.operand.can_null and not truth:
            found = func.coalesce(found, FALSE)
    else:
        # The key may be absent: then the list is empty.
        is_list = func.jsonb_typeof(column) == literal_column("'array'")
        found = func.coalesce(and_(is_list, func.jsonb_exists(column, operand)), FALSE)
    if node.operand.can_err and not truth:
        return case((operand.is_not(None), found))
    return found


def _and(node: ir.And, frame: Frame, truth: bool) -> Column:
    return and_(*(compile_value(p, frame, truth=truth) for p in node.parts))


def _or(node: ir.Or, frame: Frame, truth: bool) -> Column:
    return or_(*(compile_value(p, frame, truth=truth) for p in node.parts))


def _not(node: ir.Not, frame: Frame, truth: bool) -> Column:
    # Grouped, because SQLAlchemy writes `NOT x IS NULL` for (NOT x) IS NULL.
    return Grouping(not_(compile_value(node.operand, frame)))


def _ternary(node: ir.Ternary, frame: Frame, truth: bool) -> Column:
    condition = compile_value(node.condition, frame)
    then, otherwise = compile_value(node.then, frame), compile_value(node.otherwise, frame)
    if node.kind != "null":
        then, otherwise = (
            cast(c, Text() if node.kind == "string" else _TYPES[node.kind]) if n.kind == "null" else c
            for n, c in ((node.then, then), (node.otherwise, otherwise))
        )
    # An unknown condition gives NULL: both branches must be chosen explicitly.
    return case((TRUE, then), (FALSE, otherwise), value=condition)


# -- functions
# --------------------------------------------------------------------------------------------------------


def _text_test(node: ir.TextTest, frame: Frame, truth: bool) -> Column:
    text, part = compile_value(node.operand, frame), compile_value(node.part, frame)
    if node.op == "startsWith":
        return func.starts_with(text, part, type_=Boolean())
    if node.op == "contains":
        return func.strpos(text, part) > literal_column("0")
    return func.right(text, func.char_length(part)) == part


def _text_size(node: ir.TextSize, frame: Frame, truth: bool) -> Column:
    return cast(func.char_length(compile_value(node.operand, frame)), BigInteger)


def _fold(node: ir.Fold, frame: Frame, truth: bool) -> Column:
    return _call("rule_fold", "string", compile_value(node.operand, frame))


def _convert(node: ir.Convert, frame: Frame, truth: bool) -> Column:
    operand = compile_value(node.operand, frame)
    if node.kind == node.operand.kind:
        return operand
    return cast(operand, Float(53)) if node.kind == "double" else _call("rule_to_int", "int", operand)


def _calendar(node: ir.Calendar, frame: Frame, truth: bool) -> Column:
    if calendar.of_birth_date(node, frame.time_zone):
        return calendar.part_of(cast(frame.profile().c.birth_date, TIMESTAMP()), node.part)
    time = compile_value(node.operand, frame)
    return calendar.part_of(calendar.local_time(time, node.zone), node.part)


def _now_calendar(node: ir.NowCalendar, frame: Frame, truth: bool) -> Column:
    return calendar.calendar_of_now(node, frame.now)


def _bucket(node: ir.Bucket, frame: Frame, truth: bool) -> Column:
    return calendar.bucket(node, frame.contact_id())


def _distance(node: ir.Distance, frame: Frame, truth: bool) -> Column:
    profile = frame.profile()
    to = (compile_value(node.latitude, frame), compile_value(node.longitude, frame))
    return _call("rule_distance_km", "double", profile.c.latitude, profile.c.longitude, *to)


def _in_segment(node: ir.InSegment, frame: Frame, truth: bool) -> Column:
    return frame.in_segment(node.segment)


def _plugin(node: ir.PluginValue, frame: Frame, truth: bool) -> Column:
    value = frame.plugin_value(node)
    name = {"string": "text", "bool": "bool", "int": "int", "double": "double"}[node.kind]
    return _call(f"rule_json_{name}", node.kind, value)


def _list(node: Any, frame: Frame, truth: bool) -> Column:
    known = frame.condition(node) if isinstance(node, ir.Quantified) else None
    return frame.list_value(node) if known is None else known


_COMPILERS: dict[type, Callable[[Any, Frame, bool], Column]] = {
    ir.Const: _const,
    ir.Attr: _attr,
    ir.EventTime: _event_time,
    ir.EventField: _event_field,
    ir.Element: _element,
    ir.Has: _has,
    ir.HasLocation: _has_location,
    ir.Arith: _arith,
    ir.Negate: _negate,
    ir.TimeShift: _shift,
    ir.TimeDiff: _diff,
    ir.Compare: _compare,
    ir.NowCompare: _now_compare,
    ir.Equal: _equal,
    ir.InValues: _in_values,
    ir.InTexts: _in_texts,
    ir.And: _and,
    ir.Or: _or,
    ir.Not: _not,
    ir.Ternary: _ternary,
    ir.TextTest: _text_test,
    ir.TextSize: _text_size,
    ir.Fold: _fold,
    ir.Convert: _convert,
    ir.Calendar: _calendar,
    ir.NowCalendar: _now_calendar,
    ir.Bucket: _bucket,
    ir.Distance: _distance,
    ir.InSegment: _in_segment,
    ir.PluginValue: _plugin,
    ir.Count: _list,
    ir.Quantified: _list,
    ir.Aggregate: _list,
}
