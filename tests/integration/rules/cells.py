"""What a cell of the coverage table is: an operator, what its operands lack, and the macros around it.

``Observer`` interprets a rule on a profile and notes the cells that really occurred: an operand counts as missing or
unknown only when it was so for this profile, at this item, at this instant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import combinations
from typing import Any, NamedTuple

from services.segmentation.rules import CompiledRule, Profile, ir
from services.segmentation.rules.interpreter import ERR, Interpreter, _Scope
from services.segmentation.rules.moments import check_now
from services.segmentation.rules.registry import EventType

LISTS = (ir.Count, ir.Quantified, ir.Aggregate)


class Cell(NamedTuple):
    """One cell: ``operator`` as ``operators_of`` names it, ``position`` as ``positions_of`` does, ``nesting`` the macro
    around it, "nested ..." when that stands inside another; rows "of ..." know "inside" and "nested" alone.
    """

    operator: str
    position: str
    nesting: str


def operators_of(node: ir.Node) -> tuple[str, ...]:
    """Name the operator of a node, and in rows of their own ("of ...") what it works on."""
    name = type(node).__name__
    if isinstance(node, ir.Attr):
        special = node.group == "core" and node.name in ("age", "birth_date", "total_spent")
        return name, f"{name} of {node.group} {node.name if special else node.kind}"
    if isinstance(node, ir.EventField):
        return name, f"{name} of {node.payload.promoted or node.kind}"
    if isinstance(node, ir.Compare):
        return f"{name} {node.op}", f"{name} of {node.left.kind}"
    if isinstance(node, ir.Equal):
        kinds = {node.left.kind, node.right.kind}
        return (
            f"{name} {'!=' if node.negated else '=='}",
            f"{name} of {'null' if 'null' in kinds else kinds.pop()}",
        )
    if isinstance(node, ir.InValues):
        return name, f"{name} of {node.operand.kind}"
    if isinstance(node, ir.InTexts):
        return name, f"{name} of {node.attribute.group}"
    if isinstance(node, ir.Convert):
        return name, f"{name} of {node.operand.kind} to {node.kind}"
    if isinstance(node, ir.Count):
        return name, f"{name} of {_source(node)}"
    if isinstance(node, ir.Quantified):
        return f"{name} {node.role}", f"{name} of {_source(node)}"
    if isinstance(node, ir.Aggregate):
        role = f"{name} {node.role}{' exact' if node.exact else ''}"
        return role, f"{name} of {_source(node)}", f"{name} of {node.kind}"
    if isinstance(node, ir.Arith):
        return f"{name} {node.op}", f"{name} of {node.kind}"
    if isinstance(node, ir.Calendar | ir.NowCalendar):
        return name, f"{name} of {node.part}"
    if isinstance(node, ir.TextTest):
        return name, f"{name} of {node.op}"
    if isinstance(node, ir.Negate | ir.Const | ir.Ternary | ir.PluginValue):
        return name, f"{name} of {node.kind}"
    op = getattr(node, "op", None)
    return (f"{name} {op}" if op else name,)


def nesting_of(operator: str, nesting: str) -> str:
    """Return the nesting as it is told apart for an operator: what it works on is not tried inside each macro."""
    if " of " not in operator or nesting == "outside":
        return nesting
    return "nested" if nesting.startswith("nested") else "inside"


def _source(node: ir.Count | ir.Quantified | ir.Aggregate) -> str:
    source = node.items.source
    return "events" if isinstance(source, EventType) else f"{source.group} texts"


def state_of(value: Any) -> str:
    """Name what a value lacks."""
    if value is None:
        return "missing"
    return "unknown" if value is ERR else "present"


def truth_of(value: Any) -> str:
    """Name a truth value, or what it lacks."""
    return str(value).lower() if isinstance(value, bool) else state_of(value)


def positions_of(node: ir.Node, values: list[tuple[str, Any]]) -> list[str]:
    """Name the position of what is missing or unknown among a node's operands; of && and || for each pair of parts."""
    if isinstance(node, ir.Ternary):
        return [", ".join(f"{n} {truth_of(v) if n == 'condition' else state_of(v)}" for n, v in values)]
    if isinstance(node, ir.And | ir.Or):
        return [", ".join(pair) for pair in combinations((truth_of(v) for _, v in values), 2)]
    if isinstance(node, ir.Not):
        return [truth_of(v) for _, v in values]
    return [", ".join(f"{n} {state_of(v)}" for n, v in values)]


@dataclass
class _List:
    """A list node at work: which of its parts were seen lacking."""

    node: Any
    scope: Any
    seen: set[str]

    def note(self, node: ir.Node, value: Any) -> None:
        items = self.node.items
        for step in items.steps:
            if node is step.expr and step.role == "filter":
                self.seen.add(f"filter {truth_of(value)}")
        if isinstance(self.node, ir.Quantified) and node is self.node.predicate:
            self.seen.add(f"predicate {truth_of(value)}")
        if items.element is not None and node is items.element:
            self.seen.add(f"element {state_of(value)}")

    def positions(self) -> Iterable[str]:
        """Yield what one evaluation of the list shows."""
        lacking = {s for s in self.seen if s.endswith(("missing", "unknown"))}
        decided = {s for s in self.seen if s in ("predicate true", "predicate false")}
        yield from lacking
        yield from (f"{one} beside {other.split()[1]}" for one in lacking for other in decided)
        if not self.seen:
            yield "no items"
        elif not lacking:
            yield "nothing lacks"
        if "filter false" in self.seen:
            yield "an item dropped"


class Observer(Interpreter):
    """Interpret, and note the cells that occur."""

    def __init__(self, registry: Any) -> None:
        super().__init__(registry)
        self.cells: Counter[Cell] = Counter()
        self._known: dict[tuple[int, tuple[int, ...]], Any] = {}
        self._nestings: dict[int, str] = {}
        self._open: list[_List] = []

    def observe(self, rule: CompiledRule, profile: Profile, now: datetime) -> Any:
        """Note the cells of a rule on a profile; return the value of the rule."""
        self._known.clear()
        self._nestings = nestings(rule.ir)
        return self.value(rule.ir, self.prepare(profile), check_now(now))

    def _value(self, node: ir.Node, scope: _Scope) -> Any:
        key = (id(node), tuple(map(id, scope.items)))
        if key in self._known:
            value = self._known[key]
        elif isinstance(node, LISTS):
            self._open.append(_List(node, scope, set()))
            value = super()._value(node, scope)
            self._note(node, self._open.pop().positions())
        else:
            # Operands that the interpreter passes over count too: SQL evaluates them.
            values = [(name, self._value(child, scope)) for name, child in operands(node)]
            value = super()._value(node, scope)
            self._note(node, positions_of(node, values) if values else [truth_of_leaf(node, value)])
        self._known[key] = value
        if self._open:
            self._open[-1].note(node, value)
        return value

    def _note(self, node: ir.Node, positions: Iterable[str]) -> None:
        nesting = self._nestings[id(node)]
        names = operators_of(node)
        self.cells.update(Cell(n, position, nesting_of(n, nesting)) for position in positions for n in names)


def truth_of_leaf(node: ir.Node, value: Any) -> str:
    """Name the state of what has no operands; for a question, its answer."""
    if isinstance(node, ir.InSegment | ir.HasLocation):
        return truth_of(value)
    return state_of(value)


def operands(node: ir.Node) -> list[tuple[str, ir.Node]]:
    """Return the operands of a scalar node by name; those of && and || by number."""
    found: list[tuple[str, ir.Node]] = []
    for item in fields(node):
        value = getattr(node, item.name)
        if isinstance(value, ir.Node) and item.name != "attribute":
            found.append((item.name, value))
        elif isinstance(value, tuple):
            found += [(str(n), part) for n, part in enumerate(value) if isinstance(part, ir.Node)]
    return found


def nestings(root: ir.Node) -> dict[int, str]:
    """Name for each node below a root the macro around it."""
    found: dict[int, str] = {}

    def visit(node: ir.Node, around: tuple[str, ...]) -> None:
        found[id(node)] = around[0] if len(around) == 1 else f"nested {around[-1]}" if around else "outside"
        if not isinstance(node, LISTS):
            for child in node.children():
                visit(child, around)
            return
        for step in node.items.steps:
            visit(step.expr, (*around, "filter" if step.role == "filter" else "map"))
        if node.items.element is not None:
            visit(node.items.element, (*around, "map"))
        if isinstance(node, ir.Quantified):
            visit(node.predicate, (*around, node.role))

    visit(root, ())
    return found
