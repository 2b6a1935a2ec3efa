"""Rules that fill the table of ``table``: each operator on operands that are sure, may be missing or may be unknown,
inside each macro.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product

from services.segmentation.rules.calendars import PARTS
from tests.integration.rules.sides import CALLS, KINDS

# -- operands
# -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where operands come from: the contact (``left`` empty), or events bound to the variables ``left`` and ``right``;
    ``text`` is a text bound around.
    """

    left: str = ""
    right: str = ""
    text: str = ""

    def field(self, side: str, kind: str) -> str:
        """Name a field that may lack a value."""
        variable = self.right if side == "right" else self.left
        if variable:
            return f"{variable}.{side}_{kind}"
        return f"contact.{'traits.' if side in ('right', 'test') else ''}{side}_{kind}"

    def sure(self, kind: str) -> str:
        """Name a value that is always there."""
        if kind == "duration":
            return "days(2)"
        if kind == "null":
            return "null"
        if self.left:
            return f"{self.left}.time" if kind == "time" else f"{self.left}.sure_{kind}"
        return {
            "int": "contact.order_count",
            "double": "contact.total_spent",
            "string": "contact.kind",
            "bool": "contact.has_email",
            "time": 'timestamp("2026-02-27T09:30:00.123456Z")',
        }[kind]

    def operand(self, side: str, kind: str, way: str) -> str:
        """Write an operand that is ``sure``, may be missing (``null``) or may be unknown (``err``)."""
        if way == "sure":
            return self.sure(kind)
        if kind == "duration":
            return f"({self.field(side, 'time')} - {self.sure('time')})"
        field = self.field(side, kind)
        if way == "null" or kind == "time":
            return field
        return {
            "int": f"({field} + 1)",
            "double": f"({field} * 2.0)",
            "string": f"fold({field})",
            "bool": f"(!{field})",
        }[kind]


def _ways(kind: str) -> tuple[str, ...]:
    return ("sure", "err") if kind in ("time", "duration") else ("sure", "null", "err")


def _pairs(kind: str) -> list[tuple[str, str]]:
    ways = _ways(kind)
    return [("sure", "sure"), ("sure", ways[-1]), *product(ways[1:], repeat=2)]


def _truth(kind: str, value: str, place: Place) -> str:
    """Make a condition of a value that keeps unknown unknown and shows more than one value."""
    if kind == "bool":
        return value
    limit = {"int": "3", "double": "3.5", "string": '"b"', "duration": "days(1)",
             "time": 'timestamp("2026-02-26T00:00:00Z")'}[kind]  # fmt: skip
    return f"({value} <= {limit})"


# -- operators
# ----------------------------------------------------------------------------------------------------------

_TYPICAL = {part: {"getFullYear": 2026, "getMonth": 1}.get(part, 17) for part in PARTS}
Template = Callable[[Place], Iterator[str]]
_ORDERED = ("int", "double", "string", "bool", "time", "duration")
_LITERALS = {"int": "[3, 5]", "double": "[3.5, 5.0]", "string": '["b", ""]', "bool": "[true]"}


def fields_alone(place: Place) -> Iterator[str]:
    """Write each kind of field and literal."""
    for kind in KINDS:
        for field in (place.field("left", kind), place.field("right", kind), place.sure(kind)):
            yield _truth(kind, field, place)
            if kind != "bool":
                yield f"({field} == {field})"
        if kind in CALLS:
            yield _truth(kind, call(kind), place)
    for text, kind in (
        ("contact.age", "int"),
        ("contact.birth_date", "time"),
        ("contact.create_time", "time"),
        ("contact.last_order_time", "time"),
        ("contact.left_bool", "bool"),
        ("contact.left_int", "int"),
        ("contact.left_double", "double"),
        ("contact.left_string", "string"),
        ("contact.left_time", "time"),
        ("contact.traits.test_bool", "bool"),
        ("contact.traits.right_int", "int"),
        ("contact.traits.right_double", "double"),
        ("contact.traits.right_string", "string"),
        ("contact.traits.right_time", "time"),
        ("contact.order_count", "int"),
        ("contact.total_spent", "double"),
        ("contact.has_email", "bool"),
        ("contact.region_code", "string"),
        ("contact.consents.email_marketing", "string"),
        ("contact.location.latitude", "double"),
        ("contact.location.longitude", "double"),
    ):
        yield _truth(kind, text, place)
        if kind != "time":
            yield f"({text} == {_literal(kind)})"
    if place.left:
        yield f'({place.left}.category == "b")'
        yield f"({place.left}.amount < 3.5)"
        yield f"{place.left}.sure_bool"
        yield f"({place.left}.time <= {place.right}.time)"
    if place.text:
        yield f'({place.text} == "a")'
        yield f"({place.text} > contact.left_string)"


def _literal(kind: str) -> str:
    return {"int": "3", "double": "3.5", "string": '"b"', "bool": "true"}[kind]


def call(kind: str) -> str:
    """Write the call of a plugin."""
    function, params = CALLS[kind]
    arguments = ", ".join(["contact", *(f'"{p}"' if isinstance(p, str) else str(p) for p in params)])
    return f"{function}({arguments})"


def comparisons(place: Place) -> Iterator[str]:
    """Write < <= > >= and == != of each kind."""
    for kind, op in product(_ORDERED, ("<", "<=", ">", ">=", "==", "!=")):
        for left, right in _pairs(kind):
            yield f"({place.operand('left', kind, left)} {op} {place.operand('right', kind, right)})"
    for kind, op in product(("int", "double", "string", "bool"), ("==", "!=")):
        # Only a field may be compared with null, or a choice between fields: it is unknown with its condition.
        unknown = f"({place.operand('test', 'bool', 'err')} ? {place.sure(kind)} : {place.sure(kind)})"
        for operand in (place.sure(kind), place.field("left", kind), unknown):
            yield f"({operand} {op} null)"
            yield f"(null {op} {operand})"
    for op in ("==", "!="):
        yield f"(null {op} null)"
        yield f"(({place.sure('bool')} ? null : null) {op} {place.field('left', 'int')})"


def arithmetic(place: Place) -> Iterator[str]:
    """Write arithmetic on numbers and texts."""
    for kind, ops in (("int", "+-*/%"), ("double", "+-*/"), ("string", "+")):
        for op in ops:
            for left, right in _pairs(kind):
                value = f"({place.operand('left', kind, left)} {op} {place.operand('right', kind, right)})"
                yield _truth(kind, value, place)
    for kind in ("int", "double"):
        for way in _ways(kind):
            operand = place.operand("left", kind, way)
            yield _truth(kind, f"(-{operand})", place)
            yield _truth("int", f"int({operand})", place)
            yield _truth("double", f"double({operand})", place)


def logic(place: Place) -> Iterator[str]:
    """Write && || ! and ?:."""
    for left, right in _pairs("bool"):
        a, b = place.operand("left", "bool", left), place.operand("right", "bool", right)
        yield f"({a} && {b})"
        yield f"({a} || {b})"
        yield f"!({a} && {b})"
    for way in _ways("bool"):
        yield f"!({place.operand('left', 'bool', way)})"
    for kind in (*_ORDERED, "null"):
        ways = ("sure",) if kind == "null" else _ways(kind)
        for test, then, otherwise in product(_ways("bool"), ways, ways):
            if "null" in (then, otherwise) and ("err" in (then, otherwise) or test != "sure"):
                continue
            condition = place.sure("bool") if test == "sure" else place.operand("test", "bool", test)
            a, b = place.operand("left", kind, then), place.operand("right", kind, otherwise)
            choice = f"({condition} ? {a} : {b})"
            if kind == "null":
                if test == "sure":
                    yield f"({choice} == {place.field('left', 'int')})"
            else:
                yield _truth(kind, choice, place)
                yield f"({choice} != {place.sure(kind)})"


def texts(place: Place) -> Iterator[str]:
    """Write the functions of texts, and membership in lists."""
    for (left, right), test in product(_pairs("string"), ("startsWith", "endsWith", "contains")):
        yield f"{place.operand('left', 'string', left)}.{test}({place.operand('right', 'string', right)})"
    for way in _ways("string"):
        operand = place.operand("left", "string", way)
        yield f"(size({operand}) == 1)"
        yield f'(fold({operand}) == "b")'
        yield f"({operand} in contact.tags)"
        yield f"({operand} in contact.colors)"
        yield f"!({operand} in contact.tags)"
    for kind, literals in _LITERALS.items():
        for way in _ways(kind):
            operand = place.operand("left", kind, way)
            yield f"({operand} in {literals})"
            yield f"!({operand} in {literals})"
            if way == "err":
                yield f"({operand} in [])"


def presence(place: Place) -> Iterator[str]:
    """Write has(), other segments and places."""
    for kind in KINDS:
        yield f"has({place.field('left', kind)})"
        yield f"(has({place.field('left', kind)}) && {_truth(kind, place.field('left', kind), place)})"
    yield "has(contact.age)"
    yield "has(contact.location)"
    yield 'in_segment("segments/a")'
    yield '(in_segment("segments/a") || contact.left_bool)'
    for left, right in _pairs("double"):
        point = f"{place.operand('left', 'double', left)}, {place.operand('right', 'double', right)}"
        yield f"(distance_km(contact.location, {point}) < 1000.0)"


def times(place: Place) -> Iterator[str]:
    """Write uses of now, shifts and differences of times."""
    for op, way in product(("<", "<=", ">", ">=", "==", "!="), ("sure", "err")):
        yield f"(now - {place.operand('left', 'time', way)} {op} days(2))"
    yield f"(now < {place.operand('left', 'time', 'err')})"
    for way in ("sure", "err"):
        yield _truth("time", f"({place.operand('left', 'time', way)} + days(1))", place)
    for left, right in _pairs("time"):
        yield f"({place.operand('left', 'time', left)} - {place.operand('right', 'time', right)} < days(2))"
    yield "(contact.left_time + days(366000) > contact.left_time)"
    for part, zone in ((part, zone) for part in PARTS for zone in ("", '"America/New_York"')):
        for way in ("sure", "err"):
            yield f"({place.operand('left', 'time', way)}.{part}({zone}) >= {_TYPICAL[part]})"
        if PARTS[part].follows_now:
            yield f"(now.{part}({zone}) == {place.field('left', 'time')}.{part}({zone}))"
            yield f"((now - days(1)).{part}({zone}) <= {_TYPICAL[part]})"
    yield '(bucket("a") < 50)'
    yield f'(bucket("é", 10) <= {place.field("left", "int")})'


# -- lists
# --------------------------------------------------------------------------------------------------------------


def _conditions(place: Place, variable: str, *, events: bool) -> list[str]:
    """Write predicates on an item: sure, perhaps missing, perhaps unknown."""
    if events:
        inner = Place(variable, variable)
        return [
            f"{variable}.sure_bool",
            f"{variable}.left_bool",
            f"({variable}.left_int <= 3)",
            f"({variable}.left_int == 3)",
            f"(now - {variable}.time <= days(2))",
            f"(now - {variable}.time < days(2) && {inner.operand('left', 'bool', 'err')})",
        ]
    outer = place.field("left", "string")
    return [
        f'({variable} <= "a")',
        f"{place.field('left', 'bool')}",
        f"({variable} <= {outer})",
        f"({variable} == {outer})",
        f'(({variable} == "a") ? {place.field("left", "bool")} : ({variable} == "b"))',
        f'({variable} == "a" || {place.field("left", "int")} > 3)',
        f'(({variable} == "a") ? ({place.field("left", "int")} > 3) : ({variable} == "b"))',
    ]


def lists(place: Place) -> Iterator[str]:
    """Write what can be asked of each kind of list."""
    for source in ("events.pair_seen", "contact.tags", "contact.colors"):
        events = source.startswith("events")
        predicates = _conditions(place, "y", events=events)
        yield f"({source}.size() >= 2)"
        for predicate in predicates:
            kept = f"{source}.filter(y, {predicate})"
            yield f"({kept}.size() >= 2)"
            yield f"({kept}.size() == 0)"
            for role in ("exists", "all", "exists_one"):
                yield f"{source}.{role}(y, {predicate})"
        for role, filtered in product(("exists", "all", "exists_one"), predicates[1:3]):
            first = f"{source}.filter(y, {filtered})"
            yield f"{first}.{role}(y, {predicates[0]})"
            yield f"{first}.{role}(y, {predicates[2]})"
        for kind, value in _elements(place, events=events):
            for role in ("sum", "min", "max"):
                if role == "sum" and kind == "time":
                    continue
                for kept in ("", *(f".filter(y, {p})" for p in predicates[:3])):
                    yield _truth(kind, f"{role}({source}{kept}.map(y, {value}))", place)
    for predicate in ("y.amount > 0.15", "y.time <= now", 'y.category == "b" && contact.has_email'):
        yield f"(events.order_placed.filter(y, {predicate}).size() == 0)"
        for role in ("exists", "all", "exists_one"):
            yield f"events.order_placed.{role}(y, {predicate})"
            yield f"!events.order_placed.{role}(y, {predicate})"
    for role, (kind, value) in product(
        ("sum", "min", "max"), (("int", "size(y.category)"), ("double", "y.extra + 1.0"), ("time", "y.time"))
    ):
        if role != "sum" or kind != "time":
            yield _truth(kind, f"{role}(events.order_placed.map(y, {value}))", place)
    yield '("a" in contact.tags.filter(y, y != "b"))'
    yield f"({place.sure('int')} in events.pair_seen.map(y, y.left_int))"
    yield f"({place.field('left', 'int')} in events.pair_seen.map(y, y.sure_int))"
    # The second filter is not asked about what the first one drops; what it would drop can spoil the list.
    yield "(events.pair_seen.filter(y, now - y.time <= days(2)).filter(y, y.left_int <= 3).size() >= 1)"
    yield "(events.pair_seen.filter(y, y.left_int <= 3).filter(y, now - y.time <= days(2)).size() >= 1)"
    yield "(sum(events.order_placed.map(y, y.amount)) == 0.3)"
    yield "(sum(events.order_placed.map(y, y.extra)) == 0.3)"
    yield "(sum(events.order_placed.map(y, y.amount * 1.0)) == 0.3)"
    yield "(sum(events.pair_seen.map(y, y.amount)) <= 3.5)"
    yield "(sum(events.pair_seen.filter(y, has(y.amount)).map(y, y.amount)) <= 3.5)"


def _elements(place: Place, *, events: bool) -> Iterator[tuple[str, str]]:
    for kind in ("int", "double", "time"):
        if events:
            yield kind, "y.time" if kind == "time" else f"y.sure_{kind}"
            yield kind, f"y.left_{kind}"
            if kind != "time":
                yield kind, Place("y", "y").operand("left", kind, "err")
                yield kind, f"(y.sure_bool ? y.left_{kind} : y.right_{kind})"
        else:
            chosen = {"int": "size(y)", "double": "double(size(y))", "time": place.sure("time")}[kind]
            for way in _ways(kind):
                value = chosen if way == "sure" else place.operand("left", kind, way)
                yield kind, f'(y == "a" ? {chosen} : {value})'


FAMILIES: tuple[Template, ...] = (
    fields_alone,
    comparisons,
    arithmetic,
    logic,
    texts,
    presence,
    times,
    lists,
)

# -- macros
# ---------------------------------------------------------------------------------------------------------------


def _inside(role: str, over: str, name: str, condition: str) -> str:
    """Put a condition on ``name`` into a macro over a list."""
    if role == "filter":
        return f"({over}.filter({name}, {condition}).size() >= 1)"
    if role == "map":
        return f"(sum({over}.map({name}, {condition} ? 1 : 3)) <= 3)"
    return f"{over}.{role}({name}, {condition})"


_ROLES = ("filter", "map", "exists", "all", "exists_one")


def nested(depth: int, inner: str, number: int) -> tuple[Place, Callable[[str], str]]:
    """Return what a condition inside macros may name, and what puts it there.

    ``number`` turns the outer macro and what it goes over: events, or texts.
    """
    if depth == 0:
        return Place(), lambda condition: condition
    if depth == 1:
        if number % 4 == 3:
            over = ("contact.tags", "contact.colors")[number // 4 % 2]
            return Place(text="t"), lambda condition: _inside(inner, over, "t", condition)
        return Place("e", "e"), lambda condition: _inside(inner, "events.pair_seen", "e", condition)
    outer = _ROLES[number % 5]
    around: Callable[[str], str]
    if number // 5 % 3 == 2:
        place = Place("e", "e", "t")
        around = lambda c: _inside(outer, "contact.tags", "t", c)  # noqa: E731
    else:
        place = Place("e", "f")
        around = lambda c: _inside(outer, "events.pair_seen", "f", c)  # noqa: E731
    return place, lambda c: around(_inside(inner, "events.pair_seen", "e", c))


def written(family: Template, depth: int, inner: str) -> Iterator[str]:
    """Write the rules of a family inside a macro."""
    places = {nested(depth, inner, n)[0] for n in range(15)}
    for place in sorted(places, key=repr):
        matching = [n for n in range(15) if nested(depth, inner, n)[0] == place]
        for index, condition in enumerate(family(place)):
            yield nested(depth, inner, matching[index % len(matching)])[1](condition)


@cache
def rules() -> tuple[tuple[str, str], ...]:
    """Return all rules as (name of family and nesting, text), each text once."""
    found: dict[str, str] = {}
    for family in FAMILIES:
        for depth, inner in [(0, "outside"), *product((1, 2), _ROLES)]:
            name = f"{family.__name__}, {'nested ' if depth == 2 else ''}{inner}"
            for text in written(family, depth, inner):
                found.setdefault(text, name)
    return tuple((name, text) for text, name in found.items())
