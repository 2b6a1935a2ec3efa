"""The table of what the engine supports: operator x position of what is missing or unknown x nesting of macros.

A new node class, or a new value of an `op`, `role` or `group`, must be entered in OPERATORS; a new name that rules can
call in FUNCTIONS. Cells that cannot exist are listed with the reason in IMPOSSIBLE. ``systematic`` writes the rules
that fill the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from itertools import product

from services.segmentation.rules import ir
from services.segmentation.rules.calendars import PARTS
from tests.integration.rules.cells import Cell, nesting_of

STATES = ("present", "missing", "unknown")
TRUTHS = ("true", "false", "missing", "unknown")
ORDERED = ("int", "double", "string", "bool", "time", "duration")
LITERAL = ("int", "double", "string", "bool")
NUMBERS = ("int", "double")
SOURCES = ("events", "core texts", "custom texts")
MACROS = ("filter", "map", "exists", "all", "exists_one")
NESTINGS = ("outside", *MACROS, *(f"nested {macro}" for macro in MACROS))


def _named(*names: str, states: Iterable[str] = STATES) -> tuple[str, ...]:
    states = tuple(states)
    return tuple(
        ", ".join(f"{n} {s}" for n, s in zip(names, combination, strict=True))
        for combination in product(states, repeat=len(names))
    )


_ONE, _TWO, _PART = _named("operand"), _named("left", "right"), _named("operand", "part")
_CHOICE = tuple(
    f"condition {condition}, then {then}, otherwise {otherwise}"
    for condition, then, otherwise in product(TRUTHS, STATES, STATES)
)
_LOGIC = tuple(", ".join(pair) for pair in product(TRUTHS, TRUTHS))
_KEPT = ("no items", "nothing lacks", "an item dropped", "filter missing", "filter unknown")
_PREDICATE = (
    *_KEPT,
    *(f"predicate {lack}" for lack in ("missing", "unknown")),
    *(
        f"predicate {lack} beside {decided}"
        for lack in ("missing", "unknown")
        for decided in ("true", "false")
    ),
)
_REDUCED = (*_KEPT, "element missing", "element unknown")


def _node(
    name: str, positions: Iterable[str], *of: str, ops: Iterable[str] = ("",)
) -> dict[str, tuple[str, ...]]:
    """Return the rows of a node class: one for each of its operators, and one for each of what it works on."""
    rows = (*(f"{name} {op}".strip() for op in ops), *(f"{name} of {what}" for what in of))
    return dict.fromkeys(rows, tuple(positions))


OPERATORS: Mapping[type[ir.Node], Mapping[str, tuple[str, ...]]] = {
    ir.Const: _node("Const", STATES, *LITERAL, "time", "duration", "null"),
    ir.Attr: _node(
        "Attr",
        STATES,
        *(f"core {n}" for n in ("age", "birth_date", "total_spent", "int", "string", "bool", "time")),
        *(f"{group} {kind}" for group in ("custom", "trait") for kind in (*LITERAL, "time")),
        "consent string",
        "location double",
    ),
    ir.EventTime: _node("EventTime", STATES),
    ir.EventField: _node("EventField", STATES, *LITERAL, "time", "category", "amount"),
    ir.Element: _node("Element", STATES),
    ir.Has: _node("Has", _ONE),
    ir.HasLocation: _node("HasLocation", ("true", "false")),
    ir.Arith: _node("Arith", _TWO, *NUMBERS, "string", ops="+-*/%"),
    ir.Negate: _node("Negate", _ONE, *NUMBERS),
    ir.TimeShift: _node("TimeShift", _ONE),
    ir.TimeDiff: _node("TimeDiff", _TWO),
    ir.Compare: _node("Compare", _TWO, *ORDERED, ops=("<", "<=", ">", ">=")),
    ir.NowCompare: _node("NowCompare", _named("time"), ops=("<", "<=", ">", ">=", "==", "!=")),
    ir.Calendar: _node("Calendar", _ONE, *PARTS),
    ir.NowCalendar: _node("NowCalendar", STATES, *(name for name, part in PARTS.items() if part.follows_now)),
    ir.Equal: _node("Equal", _TWO, *ORDERED, "null", ops=("==", "!=")),
    ir.InValues: _node("InValues", _ONE, *LITERAL),
    ir.InTexts: _node("InTexts", _ONE, "core", "custom"),
    ir.And: _node("And", _LOGIC),
    ir.Or: _node("Or", _LOGIC),
    ir.Not: _node("Not", TRUTHS),
    ir.Ternary: _node("Ternary", _CHOICE, *LITERAL, "time", "duration", "null"),
    ir.TextTest: _node("TextTest", _PART, "startsWith", "endsWith", "contains"),
    ir.TextSize: _node("TextSize", _ONE),
    ir.Fold: _node("Fold", _ONE),
    ir.Convert: _node("Convert", _ONE, *(f"{a} to {b}" for a in NUMBERS for b in NUMBERS)),
    ir.Distance: _node("Distance", _named("latitude", "longitude")),
    ir.Bucket: _node("Bucket", STATES),
    ir.InSegment: _node("InSegment", ("true", "false")),
    ir.PluginValue: _node("PluginValue", STATES, *LITERAL),
    ir.Count: _node("Count", _KEPT, *SOURCES),
    ir.Quantified: _node("Quantified", _PREDICATE, *SOURCES, ops=("exists", "all", "exists_one")),
    ir.Aggregate: _node(
        "Aggregate", _REDUCED, *SOURCES, *NUMBERS, "time", ops=("sum", "sum exact", "min", "max")
    ),
}
"""Names of the operators of each node class, with the positions of each: which operands lack a value. What a node works
on ("of string", "of events") has rows of its own, in which macros are not told apart.
"""

FUNCTIONS: Mapping[str, tuple[type[ir.Node], ...]] = {
    "days": (ir.Const,),
    "hours": (ir.Const,),
    "minutes": (ir.Const,),
    "sum": (ir.Aggregate,),
    "min": (ir.Aggregate,),
    "max": (ir.Aggregate,),
    "fold": (ir.Fold,),
    "bucket": (ir.Bucket,),
    "in_segment": (ir.InSegment,),
    "distance_km": (ir.Distance,),
}
"""Functions that we add to CEL by name, and the nodes they become; those of plugins apart."""


def _starts(*prefixes: str) -> Callable[[Cell], bool]:
    return lambda cell: cell.operator.startswith(prefixes)


def _lacks(*words: str) -> Callable[[Cell], bool]:
    return lambda cell: any(word in cell.position for word in words)


def _both(*tests: Callable[[Cell], bool]) -> Callable[[Cell], bool]:
    return lambda cell: all(test(cell) for test in tests)


def _ends(*suffixes: str) -> Callable[[Cell], bool]:
    return lambda cell: cell.operator.endswith(suffixes)


def _unsafe_choice(cell: Cell) -> bool:
    """Tell whether a ternary would be both missing and unknown."""
    if not cell.operator.startswith("Ternary"):
        return False
    _, then, otherwise = (part.split()[1] for part in cell.position.split(", "))
    unknown = cell.position.startswith(("condition missing", "condition unknown"))
    states = {then, otherwise}
    return "missing" in states and (unknown or "unknown" in states)


def _null_side(cell: Cell) -> bool:
    return (
        cell.operator.startswith("Equal")
        and cell.operator.endswith("null")
        and "missing" not in cell.position
    )


IMPOSSIBLE: tuple[tuple[str, Callable[[Cell], bool]], ...] = (
    (
        "a literal is present; null is missing",
        lambda c: c.operator.startswith("Const")
        and c.position
        not in {"Const of null": ("missing",), "Const": ("present", "missing")}.get(c.operator, ("present",)),
    ),
    (
        "these attributes have a default and are never missing",
        _both(
            _starts("Attr of core total_spent", "Attr of core int", "Attr of core bool"),
            _lacks("missing", "unknown"),
        ),
    ),
    (
        "a missing time is unknown, never null",
        _both(_starts("Attr", "EventField"), _ends("time", "birth_date"), _lacks("missing")),
    ),
    (
        "a missing field that is no time is null, never unknown",
        lambda c: c.operator.startswith(("Attr of", "EventField of"))
        and not c.operator.endswith(("time", "birth_date"))
        and c.position == "unknown",
    ),
    ("an event has a time", _both(_starts("EventTime"), _lacks("missing", "unknown"))),
    ("a text of a list is present", _both(_starts("Element"), _lacks("missing", "unknown"))),
    ("a plugin that gives no answer is unknown", _both(_starts("PluginValue"), _lacks("missing"))),
    ("events and items exist inside macros only",
     lambda c: c.operator.startswith(("EventTime", "EventField", "Element")) and c.nesting == "outside"),
    ("a missing time is unknown, so no operand that is a time or a duration is missing",
     lambda c: c.operator.startswith(("Compare", "Equal", "Ternary")) and c.operator.endswith(("time", "duration"))
     and any(f"{name} missing" in c.position for name in ("left", "right", "then", "otherwise"))),
    ("a missing time is unknown",
     _both(_starts("NowCompare", "TimeShift", "TimeDiff", "Calendar"), _lacks("missing"))),
    ("now has a calendar, and a contact a bucket",
     _both(_starts("NowCalendar", "Bucket"), _lacks("missing", "unknown"))),
    ("what could be missing and unknown is refused", _unsafe_choice),
    ("`== null` has null on one side", _null_side),
    ("the branches of a choice between nulls are missing",
     lambda c: c.operator == "Ternary of null" and ("then missing" not in c.position
                                                 or "otherwise missing" not in c.position)),
    ("a payload number is missing, never unknown",
     _both(_starts("Aggregate sum exact"), _lacks("element unknown"))),
    ("a missing time is unknown, so no element that is a time is missing",
     lambda c: c.operator == "Aggregate of time" and c.position == "element missing"),
)  # fmt: skip
"""Why cells cannot exist; a cell that occurs in spite of it is a fault of this table."""


@cache
def declared() -> frozenset[Cell]:
    """Return all cells of the table, the impossible ones included."""
    return frozenset(
        Cell(operator, position, nesting_of(operator, nesting))
        for operators in OPERATORS.values()
        for operator, positions in operators.items()
        for position in positions
        for nesting in NESTINGS
    )


def impossible(cell: Cell) -> str | None:
    """Return why a cell cannot exist; None when it can."""
    return next((reason for reason, test in IMPOSSIBLE if test(cell)), None)


@cache
def supported() -> frozenset[Cell]:
    """Return the cells that must occur."""
    return frozenset(cell for cell in declared() if impossible(cell) is None)
