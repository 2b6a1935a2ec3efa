"""A plain interpreter of the lowered tree: no limit of steps, and the base of exact instants of change.

It is written apart from the SQL compiler and from CEL, so that three engines can be compared.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from services.segmentation.rules import ir, natives
from services.segmentation.rules.buckets import bucket_of
from services.segmentation.rules.calendars import calendar_value
from services.segmentation.rules.core import CORE_BY_NAME
from services.segmentation.rules.evaluator import Outcome
from services.segmentation.rules.moments import LAST_CHANGE, age_at, check_now, day_start
from services.segmentation.rules.profile import (
    Profile,
    check_names,
    checked_date,
    checked_location,
    checked_payload,
    checked_value,
)
from services.segmentation.rules.registry import EventType, Registry

ERR: Any = type("Unknown", (), {"__repr__": lambda _self: "ERR"})()
"""The value of what is unknown; a missing field is None."""

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True)
class SeenEvent:
    """An event with its payload in stored form."""

    time: datetime
    payload: dict[str, Any]
    id: UUID | None = None


@dataclass
class View:
    """A profile prepared for evaluation at any instant."""

    profile: Profile
    values: dict[tuple[str, str], Any]
    born: Any
    location: tuple[float | None, float | None]
    events: dict[str, list[SeenEvent]]
    tags: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Scope:
    view: View
    now: datetime
    items: tuple[Any, ...] = ()


class Interpreter:
    """Interpret trees lowered with one registry."""

    def __init__(self, registry: Registry, tick: Callable[[], None] | None = None) -> None:
        """Prepare. tick: called at each step, and may raise to give up, as nothing else bounds the work."""
        self.registry = registry
        self._tick = tick

    def outcome(self, root: ir.Node, profile: Profile, now: datetime) -> Outcome:
        """Return the outcome of a rule for a profile at ``now``."""
        value = self.value(root, self.prepare(profile), check_now(now))
        if value is True:
            return Outcome.MEMBER
        return Outcome.NOT_MEMBER if value is False else Outcome.UNKNOWN

    def prepare(self, profile: Profile) -> View:
        """Check a profile's values and index its events."""
        check_names(self.registry, profile)
        values: dict[tuple[str, str], Any] = {}
        texts: dict[str, tuple[str, ...]] = {}
        custom = {a.name: a.type for a in self.registry.attributes}
        for name, core in CORE_BY_NAME.items():
            if core.type not in ("strings",):
                values["core", name] = core.default
        for name, value in profile.attributes.items():
            if value is None or name == "birth_date":
                continue
            kind = CORE_BY_NAME[name].type if name in CORE_BY_NAME else custom[name]
            stored = checked_value(kind, value, name)
            if kind == "strings":
                texts[name] = stored
            else:
                values["core" if name in CORE_BY_NAME else "custom", name] = stored
        texts["tags"] = tuple(
            dict.fromkeys((*texts.get("tags", ()), *checked_value("strings", profile.tags, "tags")))
        )
        traits = {t.name: t.type for t in self.registry.traits}
        for name, value in profile.traits.items():
            values["trait", name] = None if value is None else checked_value(traits[name], value, name)
        for name, value in profile.consents.items():
            values["consent", name] = None if value is None else checked_value("string", value, name)
        events: dict[str, list[SeenEvent]] = {}
        for event in profile.events:
            event_type = self.registry.events_by_name.get(event.type)
            if event_type is not None:
                payload = checked_payload(event_type, event.payload)
                seen = SeenEvent(event.time.astimezone(UTC), payload, event.id)
                events.setdefault(event.type, []).append(seen)
        born = checked_date(profile.attributes.get("birth_date"))
        return View(profile, values, born, checked_location(profile.location), events, texts)

    def value(self, node: ir.Node, view: View, now: datetime, items: tuple[Any, ...] = ()) -> Any:
        """Return the value of a node: None when it is missing, ERR when it is unknown."""
        if self._tick is not None:
            self._tick()
        return self._value(node, _Scope(view, now, items))

    def items(self, used: ir.ListExpr, view: View, now: datetime) -> list[Any]:
        """Return the items of a list's source that are seen at ``now``: events, or texts."""
        return self._source(used, _Scope(view, now))

    def combinations(self, used: list[ir.ListExpr], view: View, now: datetime) -> Iterator[tuple[Any, ...]]:
        """Yield every choice of visible items for the lists, placed at their levels."""
        depth = max((i.var for i in used), default=-1) + 1

        def choose(index: int, chosen: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
            if index == len(used):
                yield chosen
                return
            for item in self._source(used[index], _Scope(view, now)):
                level = used[index].var
                yield from choose(index + 1, (*chosen[:level], item, *chosen[level + 1 :]))

        yield from choose(0, (None,) * depth)

    # -- values
    # -------------------------------------------------------------------------------------------------------

    def _value(self, node: ir.Node, scope: _Scope) -> Any:
        if isinstance(node, ir.Const):
            return node.value
        if isinstance(node, ir.Attr):
            return self._attribute(node, scope)
        if isinstance(node, ir.EventTime):
            return scope.items[node.var].time
        if isinstance(node, ir.EventField):
            value = scope.items[node.var].payload.get(node.payload.name)
            if value is None:
                return ERR if node.kind == "time" else None
            return float(value) if node.kind == "double" else value
        if isinstance(node, ir.Element):
            return scope.items[node.var]
        if isinstance(node, ir.Has):
            return self._value(node.operand, scope) not in (None, ERR)
        if isinstance(node, ir.HasLocation):
            return scope.view.location[0] is not None
        if isinstance(node, ir.And | ir.Or):
            return self._logic(node, scope)
        if isinstance(node, ir.Not):
            value = self._value(node.operand, scope)
            return ERR if value is ERR or value is None else not value
        if isinstance(node, ir.Ternary):
            condition = self._value(node.condition, scope)
            if condition is ERR or condition is None:
                return ERR
            return self._value(node.then if condition else node.otherwise, scope)
        if isinstance(node, ir.NowCalendar):
            return now_value(node, scope.now)
        if isinstance(node, ir.Bucket):
            contact_id = scope.view.profile.contact_id
            return ERR if contact_id is None else bucket_of(node.salt, node.count, contact_id)
        if isinstance(node, ir.InSegment):
            return node.segment in scope.view.profile.segments
        if isinstance(node, ir.PluginValue):
            return self._plugin(node, scope)
        if isinstance(node, ir.Count | ir.Quantified | ir.Aggregate):
            return self._list(node, scope)
        return self._operation(node, scope)

    def _attribute(self, node: ir.Attr, scope: _Scope) -> Any:
        view = scope.view
        if node.group == "location":
            return view.location[0 if node.name == "latitude" else 1]
        if node.group == "core" and node.name == "age" and view.born is not None:
            return age_at(view.born, scope.now, self.registry.time_zone)
        if node.group == "core" and node.name == "birth_date":
            return ERR if view.born is None else day_start(view.born, self.registry.time_zone)
        value = view.values.get((node.group, node.name))
        if value is None:
            return ERR if node.kind == "time" else None
        return float(value) if node.kind == "double" else value

    def _logic(self, node: ir.And | ir.Or, scope: _Scope) -> Any:
        decisive = isinstance(node, ir.Or)
        unknown = False
        for part in node.parts:
            value = self._value(part, scope)
            if value is decisive:
                return decisive
            unknown = unknown or value is ERR or value is None
        return ERR if unknown else not decisive

    def _plugin(self, node: ir.PluginValue, scope: _Scope) -> Any:
        returns = {"string": "string", "bool": "bool", "int": "int", "double": "double"}[node.kind]
        natives.FACTS.plugin_values = scope.view.profile.plugin_values
        try:
            return natives.plugin_caller(node.function, returns)(None, *node.params)
        except ValueError:
            return ERR
        finally:
            natives.FACTS.plugin_values = {}

    def _operation(self, node: ir.Node, scope: _Scope) -> Any:
        """Evaluate the strict operations: any missing or unknown operand makes the result unknown, ==
        apart.
        """
        if isinstance(node, ir.Equal):
            left, right = self._value(node.left, scope), self._value(node.right, scope)
            return ERR if left is ERR or right is ERR else (left == right) != node.negated
        if isinstance(node, ir.InValues):
            value = self._value(node.operand, scope)
            return ERR if value is ERR else value in node.values
        if isinstance(node, ir.InTexts):
            value = self._value(node.operand, scope)
            return ERR if value is ERR else value in scope.view.tags.get(node.attribute.name, ())
        operands = [self._value(child, scope) for child in node.children()]
        if any(o is None or o is ERR for o in operands):
            return ERR
        if isinstance(node, ir.Distance):
            latitude, longitude = scope.view.location
            if latitude is None or longitude is None:
                return ERR
            operands = [latitude, longitude, *operands]
        try:
            return _apply(node, operands, scope.now)
        except (ValueError, OverflowError, ZeroDivisionError):
            return ERR

    # -- lists
    # --------------------------------------------------------------------------------------------------------

    def _source(self, items: ir.ListExpr, scope: _Scope) -> list[Any]:
        if isinstance(items.source, EventType):
            return [e for e in scope.view.events.get(items.source.name, ()) if e.time <= scope.now]
        return list(scope.view.tags.get(items.source.name, ()))

    def _kept(self, items: ir.ListExpr, scope: _Scope) -> list[_Scope] | None:
        """Return a scope for each item kept; None when the list is unknown."""
        kept = []
        for item in self._source(items, scope):
            if self._tick is not None:
                self._tick()
            outer = scope.items[: items.var]
            # A part evaluated by itself leaves the levels around it empty.
            inner = _Scope(scope.view, scope.now, (*outer, *(None,) * (items.var - len(outer)), item))
            keep = True
            for step in items.steps:
                value = self._value(step.expr, inner)
                if value is None or value is ERR:
                    return None
                if step.role == "filter" and not value:
                    keep = False
                    break
            if keep:
                kept.append(inner)
        return kept

    def _list(self, node: ir.Count | ir.Quantified | ir.Aggregate, scope: _Scope) -> Any:
        kept = self._kept(node.items, scope)
        if kept is None:
            return ERR
        if isinstance(node, ir.Count):
            return len(kept)
        if isinstance(node, ir.Quantified):
            return _quantify(node.role, [self._value(node.predicate, inner) for inner in kept])
        return self._aggregated(node, kept)

    def aggregated(self, node: ir.Aggregate, view: View, kept: Sequence[tuple[Any, ...]]) -> Any:
        """Return a sum, min or max over items that are kept, each placed at its level; no element may read now."""
        return self._aggregated(node, [_Scope(view, LAST_CHANGE, items) for items in kept])

    def _aggregated(self, node: ir.Aggregate, kept: list[_Scope]) -> Any:
        element = node.items.element
        assert element is not None
        try:
            if node.exact:
                assert isinstance(element, ir.EventField)
                stored = [inner.items[element.var].payload[element.payload.name] for inner in kept]
                return natives.sum_exact(
                    [format(v, "f") if isinstance(v, Decimal) else repr(v) for v in stored]
                )
            values = [self._value(element, inner) for inner in kept]
            if node.role == "sum":
                return natives.sum_ints(values) if node.kind == "int" else natives.sum_doubles(values)
            return natives.smallest(values) if node.role == "min" else natives.largest(values)
        except ValueError:
            return ERR


def now_value(node: ir.NowCalendar, now: datetime) -> Any:
    """Return a calendar value of ``now``; ERR beyond the calendar, which only instants that changes are looked for at
    reach.
    """
    try:
        return calendar_value(now + node.shift, node.part, node.zone)
    except OverflowError:
        return ERR


def _quantify(role: str, verdicts: list[Any]) -> Any:
    unknown = any(v is None or v is ERR for v in verdicts)
    if role == "exists_one":
        return ERR if unknown else sum(v is True for v in verdicts) == 1
    decisive = role == "exists"
    if any(v is decisive for v in verdicts):
        return decisive
    return ERR if unknown else not decisive


def _apply(node: ir.Node, values: list[Any], now: datetime) -> Any:
    if isinstance(node, ir.Arith):
        return _arithmetic(node, *values)
    if isinstance(node, ir.Negate):
        return _whole(-values[0]) if node.kind == "int" else -values[0]
    if isinstance(node, ir.TimeShift):
        return _shifted(values[0], node.by)
    if isinstance(node, ir.Calendar):
        return calendar_value(values[0], node.part, node.zone)
    if isinstance(node, ir.TimeDiff):
        return values[0] - values[1]
    if isinstance(node, ir.NowCompare):
        return _ORDER[node.op](now - values[0], node.shift)
    if isinstance(node, ir.Compare):
        if node.left.kind == "string":
            values = [v.encode() for v in values]
        return _ORDER[node.op](*values)
    if isinstance(node, ir.TextTest):
        text, part = values
        return {"startsWith": text.startswith, "endsWith": text.endswith, "contains": text.__contains__}[
            node.op
        ](part)
    if isinstance(node, ir.TextSize):
        return len(values[0])
    if isinstance(node, ir.Fold):
        return natives.fold(values[0])
    if isinstance(node, ir.Convert):
        return float(values[0]) if node.kind == "double" else _truncated(values[0])
    if isinstance(node, ir.Distance):
        return natives.distance_km(*values)
    raise TypeError(f"no interpretation of {type(node).__name__}")


def _arithmetic(node: ir.Arith, left: Any, right: Any) -> Any:
    if node.kind == "string":
        return left + right
    if node.kind == "double":
        if node.op == "/":
            return natives.finite(left / right)
        return natives.finite({"+": operator.add, "-": operator.sub, "*": operator.mul}[node.op](left, right))
    if node.op in "/%":
        # CEL rounds toward zero; the remainder has the sign of the dividend.
        quotient = _whole(abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1))
        return quotient if node.op == "/" else left - right * quotient
    return _whole({"+": operator.add, "-": operator.sub, "*": operator.mul}[node.op](left, right))


def _whole(value: int) -> int:
    if not natives.INT_MIN <= value <= natives.INT_MAX:
        raise OverflowError
    return value


def _truncated(value: Any) -> int:
    if isinstance(value, int):
        return value
    if not -(2.0**63) < value < 2.0**63:
        raise OverflowError
    return int(value)


def _shifted(value: datetime, by: timedelta) -> datetime:
    return value + by
