"""The typed tree a rule is lowered to; both the SQL compiler and the time analysis read it.

Every node knows its ``kind`` and the two ways in which it can lack a value: ``can_null`` (a missing field:
CEL's null) and ``can_err`` (CEL's error, "unknown"). Both are NULL in SQL, so no node may be both;
``lowering`` refuses those. ``offset`` is the place in the text and takes no part in equality, so equal parts
of different rules are found equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Literal

from services.segmentation.rules.registry import EventType, PayloadField

Kind = Literal["bool", "int", "double", "string", "time", "duration", "null", "location"]
CompareOp = Literal["<", "<=", ">", ">="]
ArithOp = Literal["+", "-", "*", "/", "%"]


@dataclass(frozen=True, kw_only=True)
class Node:
    """Base of all nodes."""

    kind: Kind = "bool"
    can_err: bool = False
    can_null: bool = False
    offset: int = field(default=0, compare=False)

    def children(self) -> Iterator[Node]:
        """Yield the direct sub-expressions, those inside lists included."""
        for name in _places(type(self)):
            value = getattr(self, name)
            if isinstance(value, Node):
                yield value
            elif isinstance(value, (tuple, ListExpr)):
                yield from _nodes(value)

    def walk(self) -> Iterator[Node]:
        """Yield the node and everything below it."""
        yield self
        for child in self.children():
            yield from child.walk()


_PLACES: dict[type[Node], tuple[str, ...]] = {}
"""The fields of each class of nodes in which others may be."""


def _places(kind: type[Node]) -> tuple[str, ...]:
    if kind not in _PLACES:
        # Its own: those that all nodes have hold none.
        common = {item.name for item in fields(Node)}
        _PLACES[kind] = tuple(item.name for item in fields(kind) if item.name not in common)
    return _PLACES[kind]


def _nodes(value: object) -> Iterator[Node]:
    if isinstance(value, Node):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _nodes(item)
    elif isinstance(value, ListExpr):
        yield from (step.expr for step in value.steps)
        yield from _nodes(value.element)
        yield from _nodes(value.source)


@dataclass(frozen=True, kw_only=True)
class Const(Node):
    """A literal; a duration is a timedelta, a time an aware datetime in UTC, null is None."""

    value: bool | int | float | str | datetime | timedelta | None


@dataclass(frozen=True, kw_only=True)
class Attr(Node):
    """A field of the contact: ``group`` is core, custom, trait, consent or location (latitude, longitude)."""

    group: Literal["core", "custom", "trait", "consent", "location"]
    name: str


@dataclass(frozen=True, kw_only=True)
class EventTime(Node):
    """The time of the event bound at nesting level ``var``."""

    var: int


@dataclass(frozen=True, kw_only=True)
class EventField(Node):
    """A payload field of the event bound at nesting level ``var``."""

    var: int
    payload: PayloadField


@dataclass(frozen=True, kw_only=True)
class Element(Node):
    """The text bound at nesting level ``var`` (an element of tags or of another list of texts)."""

    var: int


@dataclass(frozen=True, kw_only=True)
class Has(Node):
    """``has(x)`` of a field that may be missing; never unknown."""

    operand: Node


@dataclass(frozen=True, kw_only=True)
class HasLocation(Node):
    """``has(contact.location)``."""


@dataclass(frozen=True, kw_only=True)
class Arith(Node):
    """Guarded arithmetic on two ints or two doubles; ``+`` also joins texts."""

    op: ArithOp
    left: Node
    right: Node


@dataclass(frozen=True, kw_only=True)
class Negate(Node):
    """Unary minus of an int or double."""

    operand: Node


@dataclass(frozen=True, kw_only=True)
class TimeShift(Node):
    """A time plus a constant duration; unknown outside the years 1 to 9999."""

    operand: Node
    by: timedelta


@dataclass(frozen=True, kw_only=True)
class TimeDiff(Node):
    """The duration between two times, neither of which depends on now."""

    left: Node
    right: Node


@dataclass(frozen=True, kw_only=True)
class Compare(Node):
    """An ordered comparison of two values of one kind."""

    op: CompareOp
    left: Node
    right: Node


@dataclass(frozen=True, kw_only=True)
class NowCompare(Node):
    """``now op time + shift``: the only form in which ``now`` occurs."""

    op: Literal["<", "<=", ">", ">=", "==", "!="]
    time: Node
    shift: timedelta


@dataclass(frozen=True, kw_only=True)
class Calendar(Node):
    """A calendar value of a time in a zone: ``part`` is the name of CEL's function, a key of ``calendars.PARTS``."""

    operand: Node
    part: str
    zone: str


@dataclass(frozen=True, kw_only=True)
class NowCalendar(Node):
    """A calendar value of ``now + shift`` in a zone; never unknown."""

    part: str
    zone: str
    shift: timedelta


@dataclass(frozen=True, kw_only=True)
class Equal(Node):
    """``==``, or ``!=`` when ``negated``; null equals null, an error makes it unknown."""

    left: Node
    right: Node
    negated: bool = False


@dataclass(frozen=True, kw_only=True)
class InValues(Node):
    """Membership of a value in a list of literals, none of them null."""

    operand: Node
    values: tuple[bool | int | float | str, ...]


@dataclass(frozen=True, kw_only=True)
class InTexts(Node):
    """Membership of a text in a list attribute of the contact."""

    operand: Node
    attribute: Attr


@dataclass(frozen=True, kw_only=True)
class And(Node):
    """Kleene conjunction."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True)
class Or(Node):
    """Kleene disjunction."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True)
class Not(Node):
    """Kleene negation."""

    operand: Node


@dataclass(frozen=True, kw_only=True)
class Ternary(Node):
    """``condition ? then : otherwise``; unknown when the condition is."""

    condition: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, kw_only=True)
class TextTest(Node):
    """startsWith, endsWith or contains."""

    op: Literal["startsWith", "endsWith", "contains"]
    operand: Node
    part: Node


@dataclass(frozen=True, kw_only=True)
class TextSize(Node):
    """The number of code points of a text."""

    operand: Node


@dataclass(frozen=True, kw_only=True)
class Fold(Node):
    """The accent- and case-insensitive form of a text."""

    operand: Node


@dataclass(frozen=True, kw_only=True)
class Convert(Node):
    """double(int) or int(double)."""

    operand: Node


@dataclass(frozen=True, kw_only=True)
class Distance(Node):
    """Kilometres from the contact's location to a point."""

    latitude: Node
    longitude: Node


@dataclass(frozen=True, kw_only=True)
class Bucket(Node):
    """The bucket, of ``count`` equal ones, that a salt puts the contact in."""

    salt: str
    count: int


@dataclass(frozen=True, kw_only=True)
class InSegment(Node):
    """Membership in another segment, by its resource name."""

    segment: str


@dataclass(frozen=True, kw_only=True)
class PluginValue(Node):
    """What a plugin's function answers for the contact."""

    function: str
    params: tuple[bool | int | float | str, ...]


@dataclass(frozen=True)
class Step:
    """One step of a list: ``filter`` keeps elements for which it is true and spoils the list where it is
    unknown; ``strict`` spoils the list where its value is missing. ``expr`` is never evaluated on elements
    dropped before.
    """

    role: Literal["filter", "strict"]
    expr: Node


@dataclass(frozen=True)
class ListExpr:
    """A list: events of a type or the texts of an attribute, filtered; ``element`` is the mapped value, None
    the item itself.

    ``spoils`` tells that the list itself can be unknown. ``var`` is the nesting level its item is bound at.
    """

    source: EventType | Attr
    var: int
    steps: tuple[Step, ...] = ()
    element: Node | None = None
    spoils: bool = False


@dataclass(frozen=True, kw_only=True)
class Count(Node):
    """The number of elements."""

    items: ListExpr


@dataclass(frozen=True, kw_only=True)
class Quantified(Node):
    """exists, all or exists_one with its predicate."""

    role: Literal["exists", "all", "exists_one"]
    items: ListExpr
    predicate: Node


@dataclass(frozen=True, kw_only=True)
class Aggregate(Node):
    """sum, min or max of the elements; ``exact`` sums payload numbers as the decimals that are stored."""

    role: Literal["sum", "min", "max"]
    items: ListExpr
    exact: bool = False


def mentions_now(node: Node) -> bool:
    """Tell whether the value can change with time alone, future events apart."""
    return any(
        isinstance(n, NowCompare | NowCalendar)
        or (isinstance(n, Attr) and n.group == "core" and n.name == "age")
        for n in node.walk()
    )


def uses_var(node: Node, var: int) -> bool:
    """Tell whether the node reads the item bound at a nesting level."""
    return any(isinstance(n, EventTime | EventField | Element) and n.var == var for n in node.walk())


def lists_in(node: Node) -> Iterator[tuple[Node, ListExpr]]:
    """Yield the list nodes below (and at) a node, outermost first."""
    for n in node.walk():
        if isinstance(n, Count | Quantified | Aggregate):
            yield n, n.items


def replace_flags(node: Node, *, can_err: bool, can_null: bool) -> Node:
    """Return the node with other flags."""
    return replace(node, can_err=can_err, can_null=can_null)
