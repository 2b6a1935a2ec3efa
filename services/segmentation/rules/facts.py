"""What stands behind the value of a leaf: attributes, events, other segments and plugins' answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from services.segmentation.rules import ir
from services.segmentation.rules.interpreter import ERR, Interpreter, SeenEvent, View
from services.segmentation.rules.registry import EventType
from services.segmentation.rules.spans import Source

SHOWN_EVENTS = 5
"""Events of a list that are named; all are counted."""


class Missing:
    """Stand for a value that is missing; ``str()`` says so."""

    def __repr__(self) -> str:
        return "missing"


MISSING = Missing()


@dataclass(frozen=True)
class AttributeFact:
    """Hold what a profile says: ``name`` as rules write it, ``value`` MISSING when there is none."""

    name: str
    value: Any


@dataclass(frozen=True)
class EventFact:
    """Hold one event; ``why``: for one that did not count, the condition that it does not meet."""

    event: SeenEvent
    why: str = ""


@dataclass(frozen=True)
class EventsFact:
    """Hold the events of a list.

    type: as rules write it. role: count, exists, all, exists_one, sum, min or max. counted: how many met what the list
    asks; for an ``all`` that is FALSE, how many break it. newest: the newest of those, newest first. seen: all events
    of the type up to the instant. unknown: how many could not be decided, for lack of a value. nearest: for a leaf that
    is not TRUE, the event that failed the fewest conditions, the newest of them, or the first one yet to come.
    within: time of the event of an outer list for which this list was asked.
    """

    type: str
    role: str
    counted: int
    seen: int
    unknown: int
    newest: tuple[EventFact, ...]
    nearest: EventFact | None = None
    oldest: SeenEvent | None = None
    within: datetime | None = None


@dataclass(frozen=True)
class SegmentFact:
    """Hold whether the contact is stored as a member of another segment."""

    segment: str
    member: bool


@dataclass(frozen=True)
class PluginFact:
    """Hold a plugin's answer; MISSING when it gave none."""

    function: str
    params: tuple[Any, ...]
    answer: Any


Fact = AttributeFact | EventsFact | SegmentFact | PluginFact


@dataclass(frozen=True)
class Side:
    """Hold one side of a comparison: its text and its value, MISSING when it has none."""

    text: str
    value: Any


def operands_of(leaf: ir.Node) -> tuple[ir.Node, ...]:
    """Return the parts of a leaf whose values explain it."""
    if isinstance(leaf, ir.Compare | ir.Equal):
        return tuple(part for part in (leaf.left, leaf.right) if part.kind != "null")
    if isinstance(leaf, ir.InValues | ir.InTexts | ir.TextTest):
        return (leaf.operand,)
    return (leaf.time,) if isinstance(leaf, ir.NowCompare) else ()


@dataclass(frozen=True)
class Facts:
    """Read facts of one profile at one instant; given: values of parts that another engine computed."""

    interpreter: Interpreter
    view: View
    now: datetime
    source: Source
    given: Mapping[ir.Node, Any] = field(default_factory=dict)

    def value(self, node: ir.Node) -> Any:
        """Return a node's value; MISSING when it is missing or unknown. Values that were given are not computed."""
        if node in self.given:
            return MISSING if self.given[node] is None else self.given[node]
        value = self.interpreter.value(node, self.view, self.now)
        return MISSING if value is None or value is ERR else value

    def sides(self, leaf: ir.Node) -> tuple[Side, ...]:
        """Return both sides of a comparison, nothing for other leaves."""
        texts = self.source.sides(leaf)
        if texts is None:
            return ()
        left, right = texts
        if isinstance(leaf, ir.Compare | ir.Equal):
            return Side(left, self.value(leaf.left)), Side(right, self.value(leaf.right))
        if isinstance(leaf, ir.InValues):
            return Side(left, self.value(leaf.operand)), Side(right, list(leaf.values))
        if isinstance(leaf, ir.InTexts):
            return Side(left, self.value(leaf.operand)), Side(right, self._texts(leaf.attribute))
        if isinstance(leaf, ir.NowCompare):
            time = self.value(leaf.time)
            age = MISSING if time is MISSING else self.now - time
            return Side(f"now - {self.source.place(leaf.time).text}", age), Side(right, leaf.shift)
        return ()

    def of(self, leaf: ir.Node, value: Any) -> tuple[Fact, ...]:
        """Return the facts behind a leaf that has a value."""
        found: dict[Any, Fact] = {}
        for node in leaf.walk():
            for fact in self._simple(node):
                found.setdefault((type(fact), getattr(fact, "name", None), repr(fact)), fact)
        events: list[Fact] = []
        for fact in self._lists(leaf, (), None, value):
            if fact not in events:
                events.append(fact)
        return (*found.values(), *events)

    def _simple(self, node: ir.Node) -> Iterator[Fact]:
        if isinstance(node, ir.Attr):
            if node.group in ("core", "custom") and node.name in self._list_attributes:
                return
            yield AttributeFact(path_of(node), self.value(node))
            if node.name == "age" and node.group == "core" and self.view.born is not None:
                yield AttributeFact("contact.birth_date", self.view.born)
        elif isinstance(node, ir.HasLocation | ir.Distance):
            latitude, longitude = self.view.location
            value = MISSING if latitude is None else {"latitude": latitude, "longitude": longitude}
            yield AttributeFact("contact.location", value)
        elif isinstance(node, ir.InTexts):
            yield AttributeFact(path_of(node.attribute), self._texts(node.attribute))
        elif isinstance(node, ir.InSegment):
            yield SegmentFact(node.segment, node.segment in self.view.profile.segments)
        elif isinstance(node, ir.PluginValue):
            answer = self.view.profile.plugin_values.get((node.function, node.params))
            yield PluginFact(node.function, node.params, MISSING if answer is None else answer)
        elif isinstance(node, ir.Count | ir.Quantified | ir.Aggregate) and isinstance(
            node.items.source, ir.Attr
        ):
            yield AttributeFact(path_of(node.items.source), self._texts(node.items.source))

    @cached_property
    def _list_attributes(self) -> set[str]:
        return {"tags"} | {a.name for a in self.interpreter.registry.attributes if a.type == "strings"}

    def _texts(self, attribute: ir.Attr) -> list[str]:
        return list(self.view.tags.get(attribute.name, ()))

    # -- events
    # ------------------------------------------------------------------------------------------------------

    def _lists(
        self, node: ir.Node, around: tuple[Any, ...], within: datetime | None, value: Any
    ) -> Iterator[EventsFact]:
        if not isinstance(node, ir.Count | ir.Quantified | ir.Aggregate):
            for child in node.children():
                yield from self._lists(child, around, within, value)
            return
        chosen: Any = None
        if isinstance(node.items.source, EventType):
            fact, chosen = self._events(node, around, within, value)
            yield fact
        inner = (*around[: node.items.var], *(None,) * (node.items.var - len(around)), chosen)
        below = [
            *(step.expr for step in node.items.steps),
            *([node.predicate] if isinstance(node, ir.Quantified) else []),
            *([node.items.element] if node.items.element is not None else []),
        ]
        for part in dict.fromkeys(below):
            if any(items.source for _, items in ir.lists_in(part)) and (
                chosen is not None or not ir.uses_var(part, node.items.var)
            ):
                time = chosen.time if isinstance(chosen, SeenEvent) else within
                yield from self._lists(part, inner, time, value)

    def _events(
        self,
        node: ir.Count | ir.Quantified | ir.Aggregate,
        around: tuple[Any, ...],
        within: datetime | None,
        value: Any,
    ) -> tuple[EventsFact, SeenEvent | None]:
        """Return the fact of a list, and the event by which lists inside of it are shown."""
        assert isinstance(node.items.source, EventType)
        tests = conditions_of(node)
        breaks = isinstance(node, ir.Quantified) and node.role == "all"
        counted: list[SeenEvent] = []
        unknown: list[SeenEvent] = []
        others: list[tuple[int, SeenEvent, tuple[ir.Node, ...]]] = []
        seen = self.interpreter.items(node.items, self.view, self.now)
        for event in seen:
            scope = (*around[: node.items.var], *(None,) * (node.items.var - len(around)), event)
            failed, doubtful = self._failed(tests, scope)
            if not failed and (doubtful or self._lacks(node, scope)):
                unknown.append(event)
            elif not failed:
                counted.append(event)
            else:
                others.append((len(failed), event, failed))
        role = node.role if isinstance(node, ir.Quantified | ir.Aggregate) else "count"
        if breaks:
            assert isinstance(node, ir.Quantified)
            kept = self._kept_by_all(node, around, seen)
            counted = [e for e, holds in kept if holds is (value is not False)]
            unknown = [e for e, holds in kept if holds is None]
            others = []
        nearest = None if value is True or breaks else self._nearest(node.items.source, unknown, others)
        newest = sorted(counted, key=_age)[:SHOWN_EVENTS]
        fact = EventsFact(
            node.items.source.cel_name,
            role,
            len(counted),
            len(seen),
            len(unknown),
            tuple(EventFact(event) for event in newest),
            nearest,
            min(counted, key=lambda e: e.time, default=None),
            within,
        )
        shown = newest[0] if newest else nearest.event if nearest is not None else None
        return fact, shown

    def _failed(self, tests: Sequence[ir.Node], scope: tuple[Any, ...]) -> tuple[tuple[ir.Node, ...], bool]:
        failed, doubtful = [], False
        for test in tests:
            value = self.interpreter.value(test, self.view, self.now, scope)
            if value is False:
                failed.append(test)
            elif value is not True:
                doubtful = True
        return tuple(failed), doubtful

    def _lacks(self, node: ir.Count | ir.Quantified | ir.Aggregate, scope: tuple[Any, ...]) -> bool:
        """Tell whether a value that the list must have of each event is missing."""
        strict = [step.expr for step in node.items.steps if step.role == "strict"]
        values = (self.interpreter.value(expr, self.view, self.now, scope) for expr in strict)
        return any(value is None or value is ERR for value in values)

    def _kept_by_all(
        self, node: ir.Quantified, around: tuple[Any, ...], seen: Sequence[SeenEvent]
    ) -> list[tuple[SeenEvent, bool | None]]:
        found: list[tuple[SeenEvent, bool | None]] = []
        filters = [step.expr for step in node.items.steps if step.role == "filter"]
        for event in seen:
            scope = (*around[: node.items.var], *(None,) * (node.items.var - len(around)), event)
            failed, doubtful = self._failed(filters, scope)
            if failed:
                continue
            holds = self.interpreter.value(node.predicate, self.view, self.now, scope)
            found.append((event, None if doubtful or holds is ERR else holds))
        return found

    def _nearest(
        self,
        kind: EventType,
        unknown: Sequence[SeenEvent],
        others: Sequence[tuple[int, SeenEvent, tuple[ir.Node, ...]]],
    ) -> EventFact | None:
        if unknown:
            return EventFact(min(unknown, key=_age), "a value that the rule asks for is missing")
        if others:
            _, event, failed = min(others, key=lambda other: (other[0], _age(other[1])))
            place = self.source.place
            texts = (self.source.flat(place(test).start, place(test).end) for test in failed)
            return EventFact(event, " and ".join(texts))
        to_come = [e for e in self.view.events.get(kind.name, ()) if e.time > self.now]
        if to_come:
            return EventFact(min(to_come, key=lambda event: event.time), "it has not happened yet")
        return None


def _age(event: SeenEvent) -> tuple[timedelta, str]:
    """Order events from the newest to the oldest."""
    return _LAST - event.time, str(event.id)


_LAST = datetime.max.replace(tzinfo=UTC)


def conditions_of(node: ir.Count | ir.Quantified | ir.Aggregate) -> tuple[ir.Node, ...]:
    """Return the conditions that an item must meet to count, one by one."""
    found: list[ir.Node] = []
    filters = [step.expr for step in node.items.steps if step.role == "filter"]
    predicates = [node.predicate] if isinstance(node, ir.Quantified) and node.role != "all" else []
    for part in (*filters, *predicates):
        found.extend(_conjuncts(part))
    return tuple(found)


def _conjuncts(node: ir.Node) -> Iterator[ir.Node]:
    if isinstance(node, ir.And):
        for part in node.parts:
            yield from _conjuncts(part)
    else:
        yield node


def path_of(attribute: ir.Attr) -> str:
    """Return an attribute's name as rules write it."""
    prefix = {"trait": "traits.", "consent": "consents.", "location": "location."}.get(attribute.group, "")
    return f"contact.{prefix}{attribute.name}"
