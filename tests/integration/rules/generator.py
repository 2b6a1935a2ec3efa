"""Random rules that the registry allows, and random profiles to ask them about."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from services.segmentation.rules import Event, Profile
from tests.integration.rules.vocabulary import (
    AMOUNTS,
    BIRTH_DATES,
    CALENDAR_PARTS,
    DOUBLES,
    INTS,
    LOCATIONS,
    REGISTRY,
    SHIFTS,
    STRING_ATTRIBUTES,
    TAGS,
    TEXTS,
    TIMES,
    ZONES,
    rfc3339,
)

Pick = Callable[[Any], Any]
"""Choose one of some options: hypothesis draws, or a random generator does."""

KINDS = ("int", "double", "string", "bool", "time")
FIELD_KINDS = {"int": "int", "double": "double", "string": "string", "bool": "bool", "timestamp": "time"}


@dataclass(frozen=True)
class Scope:
    """What a part of a rule may name: event variables with their type, text variables, mapped variables by
    kind.
    """

    events: tuple[tuple[str, str], ...] = ()
    texts: tuple[str, ...] = ()
    mapped: tuple[tuple[str, str], ...] = ()

    @property
    def fresh(self) -> str:
        return f"x{len(self.events) + len(self.texts) + len(self.mapped)}"


class RuleMaker:
    """Write a random rule as text."""

    def __init__(self, pick: Pick) -> None:
        self.pick = pick
        self._left = 24

    def deeper(self, depth: int) -> bool:
        self._left -= 1
        return depth > 0 and self._left > 0

    # -- booleans
    # -----------------------------------------------------------------------------------------------------

    def condition(self, depth: int, scope: Scope) -> str:
        if not self.deeper(depth):
            return self.pick((self.leaf, self.now_leaf, self.equality, self.truth))(0, scope)
        form = self.pick(
            (self.logic, self.logic, self.negation, self.choice, self.leaf, self.equality, self.now_leaf,
             self.quantifier, self.quantifier, self.counted, self.counted, self.window,
             self.window, self.total, self.among, self.truth, self.today)
        )  # fmt: skip
        return str(form(depth - 1, scope))

    def logic(self, depth: int, scope: Scope) -> str:
        op = self.pick(("&&", "||"))
        return f"({self.condition(depth, scope)} {op} {self.condition(depth, scope)})"

    def negation(self, depth: int, scope: Scope) -> str:
        return f"!({self.condition(depth, scope)})"

    def choice(self, depth: int, scope: Scope) -> str:
        condition, then, otherwise = (self.condition(depth, scope) for _ in range(3))
        return f"({condition} ? {then} : {otherwise})"

    def leaf(self, depth: int, scope: Scope) -> str:
        kind = self.pick(("int", "double", "string", "time", "span"))
        op = self.pick(("<", "<=", ">", ">="))
        return f"({self.value(kind, depth, scope)} {op} {self.value(kind, depth, scope)})"

    def equality(self, depth: int, scope: Scope) -> str:
        kind = self.pick(("int", "double", "string", "bool", "time", "null"))
        op = self.pick(("==", "!="))
        if kind == "null":
            nullable = self.field(self.pick(("int", "double", "string", "bool")), scope, selected=True)
            return f"({nullable} {op} null)"
        return f"({self.value(kind, depth, scope)} {op} {self.value(kind, depth, scope)})"

    def now_leaf(self, depth: int, scope: Scope) -> str:
        op = self.pick(("<", "<=", ">", ">=", "<=", "<=", "==", "!="))
        time, shift = self.value("time", depth, scope), self.pick(SHIFTS)
        forms = (
            f"now - {time} {op} {shift}",
            f"now - {time} {op} {shift}",
            f"{time} {op} now - {shift}",
            f"now {op} {time}",
            f"{time} - now {op} {shift}",
            f"now + {shift} {op} {time}",
            f"{shift} {op} now - {time}",
        )
        return f"({self.pick(forms)})"

    def today(self, depth: int, scope: Scope) -> str:
        """Write a question to the calendar of now, as birthdays ask."""
        part, zone = self.pick(CALENDAR_PARTS[:-2]), self.pick(ZONES)
        now = f"{self.pick(('now', 'now', '(now + days(7))', '(now - hours(3))'))}.{part}({zone})"
        if self.pick((False, False, False, True)):
            return f"({now} in [{self.pick(range(13))}, {self.pick(range(32))}])"
        other = self.pick((f"{self.value('time', 0, scope)}.{part}({zone})", str(self.pick(range(32))), None))
        left, right = now, other or self.value("int", depth, scope)
        if self.pick((False, True)):
            left, right = right, left
        return f"({left} {self.pick(('==', '==', '!=', '<', '<=', '>', '>='))} {right})"

    def among(self, depth: int, scope: Scope) -> str:
        form = self.pick(("ints", "texts", "tags", "colors", "mapped"))
        if form == "ints":
            numbers = ", ".join(str(self.pick(INTS)) for _ in range(2))
            return f"({self.value('int', depth, scope)} in [{numbers}])"
        if form == "texts":
            texts = ", ".join(quote(self.pick(TEXTS)) for _ in range(2))
            return f"({self.value('string', depth, scope)} in [{texts}])"
        if form == "mapped":
            name, fresh = self.pick([e.cel_name for e in REGISTRY.event_types]), scope.fresh
            inner = replace(scope, events=(*scope.events, (fresh, name)))
            return (
                f"({self.field('int', scope)} in events.{name}.map({fresh}, {self.value('int', 0, inner)}))"
            )
        return f"({self.value('string', depth, scope)} in contact.{form})"

    def truth(self, depth: int, scope: Scope) -> str:
        options = [
            "true",
            'in_segment("segments/churned")',
            'risk.flag(contact, "x")',
            "has(contact.location)",
            "contact.vip",
            "has(contact.colors)",
            f"has({self.field(self.pick(KINDS), scope, selected=True)})",
        ]
        text, part = self.value("string", depth, scope), self.value("string", 0, scope)
        options.append(f"{text}.{self.pick(('startsWith', 'endsWith', 'contains'))}({part})")
        options += [name for name, kind in scope.mapped if kind == "bool"]
        return str(self.pick(options))

    # -- lists
    # --------------------------------------------------------------------------------------------------------

    def items(self, depth: int, scope: Scope) -> tuple[str, Callable[[str], Scope]]:
        """Write a list; also return what a variable over it adds to the scope."""
        source = self.pick(
            ("order_placed", "order_placed", "page_visited", "cart_added", "contact.tags", "contact.colors")
        )
        if source.startswith("contact"):
            text = source
            binds: Callable[[str], Scope] = lambda name: replace(scope, texts=(*scope.texts, name))  # noqa: E731
        else:
            text = f"events.{source}"
            binds = lambda name: replace(scope, events=(*scope.events, (name, source)))  # noqa: E731
        for _ in range(self.pick((0, 1, 1, 2))):
            name = scope.fresh
            text += f".filter({name}, {self.condition(min(depth, 2), binds(name))})"
        return text, binds

    def mapped(self, kind: str, depth: int, scope: Scope) -> str:
        text, binds = self.items(depth, scope)
        name = scope.fresh
        return f"{text}.map({name}, {self.value(kind, min(depth, 1), binds(name))})"

    def quantifier(self, depth: int, scope: Scope) -> str:
        macro, name = self.pick(("exists", "exists", "all", "exists_one")), scope.fresh
        if self.pick((False, False, False, True)):
            kind = self.pick(("int", "double", "string", "bool"))
            text = self.mapped(kind, depth, scope)
            inner = replace(scope, mapped=(*scope.mapped, (name, kind)))
        else:
            text, binds = self.items(depth, scope)
            inner = binds(name)
        return f"{text}.{macro}({name}, {self.condition(depth, inner)})"

    def counted(self, depth: int, scope: Scope) -> str:
        text, _ = self.items(depth, scope)
        return f"({text}.size() {self.pick(('<', '<=', '>', '>=', '==', '!='))} {self.pick((0, 1, 2, 3))})"

    def window(self, depth: int, scope: Scope) -> str:
        """Write what most rules ask: how many, or whether any, within a window."""
        source, name = self.pick([e.cel_name for e in REGISTRY.event_types]), scope.fresh
        inner = replace(scope, events=(*scope.events, (name, source)))
        within = f"now - {name}.time {self.pick(('<=', '<=', '<', '>'))} {self.pick(SHIFTS)}"
        if self.pick((False, False, True)):
            within += f" && {self.condition(min(depth, 1), inner)}"
        if self.pick((False, True)):
            return f"events.{source}.exists({name}, {within})"
        op, count = self.pick(("<", "<=", ">", ">=", "==", "!=")), self.pick((0, 1, 2, 3))
        return f"(events.{source}.filter({name}, {within}).size() {op} {count})"

    def total(self, depth: int, scope: Scope) -> str:
        role, kind = self.pick(
            (
                ("sum", "int"),
                ("sum", "double"),
                ("sum", "double"),
                ("min", "double"),
                ("max", "int"),
                ("max", "time"),
            )
        )
        text = f"{role}({self.mapped(kind, depth, scope)})"
        if kind == "time":
            return f"(now - {text} {self.pick(('<=', '>'))} {self.pick(SHIFTS)})"
        return f"({text} {self.pick(('<', '<=', '>', '>=', '==', '!='))} {self.value(kind, 0, scope)})"

    # -- values
    # -------------------------------------------------------------------------------------------------------

    def value(self, kind: str, depth: int, scope: Scope) -> str:
        if kind == "span":
            form = self.pick(("difference", "literal"))
            return (
                f"({self.value('time', 0, scope)} - {self.value('time', 0, scope)})"
                if form == "difference"
                else self.pick(SHIFTS)
            )
        if not self.deeper(depth) or self.pick((True, False)):
            return self.field(kind, scope) if self.pick((True, True, False)) else literal(kind, self.pick)
        return str(getattr(self, f"_{kind}")(depth - 1, scope))

    def _int(self, depth: int, scope: Scope) -> str:
        form = self.pick(
            ("arith", "arith", "size", "choice", "negate", "convert", "count", "calendar", "now", "bucket")
        )
        if form == "calendar":
            return f"{self.value('time', depth, scope)}.{self.pick(CALENDAR_PARTS)}({self.pick(ZONES)})"
        if form == "now":
            return f"now.{self.pick(CALENDAR_PARTS[:-2])}({self.pick(ZONES)})"
        if form == "bucket":
            return str(self.pick(('bucket("a")', 'bucket("é", 3)', 'bucket("a", 10000)')))
        if form == "arith":
            return (
                f"({self.value('int', depth, scope)} {self.pick('+-*/%')} {self.value('int', depth, scope)})"
            )
        if form == "size":
            return f"size({self.value('string', depth, scope)})"
        if form == "negate":
            return f"(-{self.field('int', scope)})"
        if form == "convert":
            return f"int({self.value('double', depth, scope)})"
        if form == "count":
            return f"{self.items(depth, scope)[0]}.size()"
        return self._either("int", depth, scope)

    def _double(self, depth: int, scope: Scope) -> str:
        form = self.pick(("arith", "arith", "choice", "negate", "convert", "distance", "sum"))
        if form == "arith":
            left, right = self.value("double", depth, scope), self.value("double", depth, scope)
            return f"({left} {self.pick('+-*/')} {right})"
        if form == "negate":
            return f"(-{self.field('double', scope)})"
        if form == "convert":
            return f"double({self.value('int', depth, scope)})"
        if form == "distance":
            latitude, longitude = self.pick((10.7769, 0.0, -89.9)), self.pick((106.7009, 179.9))
            return f"distance_km(contact.location, {latitude}, {longitude})"
        if form == "sum":
            return f"sum({self.mapped('double', depth, scope)})"
        return self._either("double", depth, scope)

    def _string(self, depth: int, scope: Scope) -> str:
        form = self.pick(("join", "fold", "choice", "plugin"))
        if form == "join":
            return f"({self.value('string', depth, scope)} + {self.value('string', depth, scope)})"
        if form == "fold":
            return f"fold({self.value('string', depth, scope)})"
        if form == "plugin":
            return f"loyalty.tier(contact, {self.pick((1, 2))})"
        return self._either("string", depth, scope)

    def _bool(self, depth: int, scope: Scope) -> str:
        return f"({self.condition(depth, scope)})"

    def _time(self, depth: int, scope: Scope) -> str:
        form = self.pick(("shift", "choice", "latest"))
        if form == "shift":
            return f"({self.value('time', depth, scope)} {self.pick('+-')} {self.pick(SHIFTS)})"
        if form == "latest":
            return f"{self.pick(('min', 'max'))}({self.mapped('time', depth, scope)})"
        return self._either("time", depth, scope)

    def _either(self, kind: str, depth: int, scope: Scope) -> str:
        condition = self.condition(min(depth, 1), scope)
        return f"({condition} ? {self.value(kind, depth, scope)} : {self.value(kind, depth, scope)})"

    def field(self, kind: str, scope: Scope, *, selected: bool = False) -> str:
        """Name a value of a kind, mostly of the variables in scope; a field of something when
        ``selected``.
        """
        options = [f"contact.{a.name}" for a in REGISTRY.attributes if FIELD_KINDS.get(a.type) == kind] + [
            f"contact.traits.{t.name}" for t in REGISTRY.traits if FIELD_KINDS[t.type] == kind
        ]
        options += {
            "int": ["contact.age", "contact.order_count"],
            "double": ["contact.total_spent", "contact.location.latitude"],
            "string": [*(f"contact.{n}" for n in STRING_ATTRIBUTES), "contact.consents.email_marketing"],
            "bool": ["contact.has_email"],
            "time": ["contact.create_time", "contact.last_order_time", "contact.birth_date"],
        }[kind]
        inner = []
        for name, event in scope.events:
            event_type = REGISTRY.events_by_cel_name[event]
            inner += [f"{name}.{f.name}" for f in event_type.fields if FIELD_KINDS[f.type] == kind]
            inner += [f"{name}.time"] * 2 if kind == "time" else []
        if not selected:
            inner += [name for name, mapped in scope.mapped if mapped == kind]
            inner += scope.texts if kind == "string" else ()
        if inner and self.pick((True, True, False)):
            return str(self.pick(inner))
        return str(self.pick(options))


def quote(text: str) -> str:
    """Write a text literal."""
    return json.dumps(text, ensure_ascii=False)


def literal(kind: str, pick: Callable[[Any], Any]) -> str:
    """Write a literal of a kind."""
    if kind == "int":
        return str(pick(INTS))
    if kind == "double":
        return repr(pick(DOUBLES))
    if kind == "string":
        return quote(pick(TEXTS))
    if kind == "bool":
        return str(pick(("true", "false")))
    return f'timestamp("{rfc3339(pick(TIMES))}")'


def make_rule(pick: Pick) -> str:
    """Return the text of a random rule."""
    return RuleMaker(pick).condition(pick((2, 3, 4)), Scope())


def _maybe(pick: Pick, values: Any, missing: int = 3) -> Any:
    return pick((*([None] * max(1, len(values) // missing)), *values))


def make_event(pick: Pick) -> Event:
    """Return an event of any type; some have not happened yet."""
    event_type = pick(REGISTRY.event_types)
    payload = {}
    for declared in event_type.fields:
        pool: Any = {
            "int": INTS, "double": AMOUNTS if declared.name == "amount" else DOUBLES, "string": TEXTS,
            "bool": (True, False), "timestamp": TIMES,
        }[declared.type]  # fmt: skip
        payload[declared.name] = _maybe(pick, pool) if declared.optional else pick(pool)
    return Event(event_type.name, pick(TIMES), {k: v for k, v in payload.items() if v is not None})


def make_profile(pick: Pick) -> Profile:
    """Return a profile with missing values and a few events."""
    attributes: dict[str, Any] = {
        "vip": _maybe(pick, (True, False)),
        "visits": _maybe(pick, INTS),
        "score": _maybe(pick, DOUBLES),
        "nick": _maybe(pick, TEXTS),
        "joined": _maybe(pick, TIMES),
        "colors": _maybe(pick, (("a",), ("a", "Đà Nẵng"), (), ("VN", ""))),
        "has_email": pick((False, True)),
        "age": _maybe(pick, (0, 25, 30)),
        "order_count": pick((0, 1, 5)),
        "total_spent": pick(AMOUNTS),
        "birth_date": _maybe(pick, BIRTH_DATES, 1),
        **{name: _maybe(pick, TEXTS) for name in STRING_ATTRIBUTES if name != "kind"},
        **{name: _maybe(pick, TIMES) for name in ("create_time", "last_order_time")},
    }
    traits = {
        "rfm": _maybe(pick, INTS),
        "churn": _maybe(pick, DOUBLES),
        "segment": _maybe(pick, TEXTS),
        "seen": _maybe(pick, TIMES),
    }
    plugin_values = {
        ("loyalty.tier", (1,)): _maybe(pick, ("a", "gold")),
        ("loyalty.tier", (2,)): _maybe(pick, ("a", "VN")),
        ("risk.score", ()): _maybe(pick, DOUBLES),
        ("risk.flag", ("x",)): _maybe(pick, (True, False)),
    }
    return Profile(
        attributes={k: v for k, v in attributes.items() if v is not None},
        tags=tuple(tag for tag in TAGS if pick((False, False, True))),
        consents={
            k: v for k, v in {"email_marketing": _maybe(pick, ("granted", "VN"))}.items() if v is not None
        },
        traits={k: v for k, v in traits.items() if v is not None},
        location=_maybe(pick, LOCATIONS, 2),
        events=tuple(make_event(pick) for _ in range(pick(range(6)))),
        segments=frozenset(name for name in sorted(REGISTRY.segments) if pick((False, True))),
        plugin_values={k: v for k, v in plugin_values.items() if v is not None},
    )


def _drawing(draw: Any) -> Pick:
    return lambda options: draw(st.sampled_from(tuple(options)))


@st.composite
def rules(draw: Any) -> str:
    """Draw the text of a rule."""
    return make_rule(_drawing(draw))


@st.composite
def profiles(draw: Any) -> Profile:
    """Draw a profile."""
    return make_profile(_drawing(draw))
