"""The vocabulary of rules: attributes, event types, traits, consents and plugin functions, with their
types.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Literal, TypeVar, get_args

from services.segmentation.rules.core import CORE_ATTRIBUTES, DEFAULT_CONSENTS
from services.segmentation.rules.errors import RegistryError
from services.segmentation.rules.zones import zone_problem

AttributeType = Literal["int", "double", "string", "bool", "timestamp", "strings"]
ScalarType = Literal["int", "double", "string", "bool", "timestamp"]
ValueType = Literal["int", "double", "string", "bool"]

ATTRIBUTE_TYPES: tuple[str, ...] = get_args(AttributeType)
SCALAR_TYPES: tuple[str, ...] = get_args(ScalarType)
VALUE_TYPES: tuple[str, ...] = get_args(ValueType)

_T = TypeVar("_T")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")
_EVENT_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*\Z")
_FUNCTION_NAME = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*\Z")
_RESERVED = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
_NOT_ATTRIBUTES = frozenset(("traits", "consents", "location"))


def _check_name(name: str, what: str) -> None:
    if not _NAME.match(name) or name in _RESERVED:
        raise RegistryError(
            f"{what} {name!r} is not a usable name: write small letters, digits and _, starting with a "
            f"letter, "
            "at most 63 characters, and not a reserved word of CEL"
        )


def _check_type(name: str, kind: str, allowed: tuple[str, ...], what: str) -> None:
    if kind not in allowed:
        raise RegistryError(f"{what} {name!r} has the unknown type {kind!r}: use one of {', '.join(allowed)}")


@dataclass(frozen=True, slots=True)
class Attribute:
    """Describe a custom attribute of a contact, read as ``contact.<name>``."""

    name: str
    type: AttributeType

    def __post_init__(self) -> None:
        _check_name(self.name, "attribute")
        _check_type(self.name, self.type, ATTRIBUTE_TYPES, "attribute")
        if self.name in _NOT_ATTRIBUTES:
            raise RegistryError(
                f"attribute {self.name!r} is the name of a built-in group: choose another name"
            )


@dataclass(frozen=True, slots=True)
class PayloadField:
    """Describe one payload field of an event type; ``optional`` fields may be missing in an event."""

    name: str
    type: ScalarType
    optional: bool = False

    def __post_init__(self) -> None:
        _check_name(self.name, "payload field")
        _check_type(self.name, self.type, SCALAR_TYPES, "payload field")
        if self.name == "time":
            raise RegistryError(
                "payload field 'time' is built in (the time of the event): choose another name"
            )

    @property
    def promoted(self) -> str | None:
        """Return the column of the event table that holds the field, or None when it lives in the payload."""
        return {("category", "string"): "category", ("amount", "double"): "amount"}.get(
            (self.name, self.type)
        )


@dataclass(frozen=True, slots=True)
class EventType:
    """Describe an event type: ``order.placed`` is read as the list ``events.order_placed``."""

    name: str
    fields: tuple[PayloadField, ...] = ()

    def __post_init__(self) -> None:
        if not _EVENT_NAME.match(self.name):
            raise RegistryError(f"event type {self.name!r} is not a usable name: write it like order.placed")
        _check_name(self.cel_name, "event type")
        object.__setattr__(self, "fields", tuple(sorted(self.fields, key=lambda f: f.name)))
        names = [f.name for f in self.fields]
        if len(names) != len(set(names)):
            raise RegistryError(f"event type {self.name!r} declares a payload field twice")

    @property
    def cel_name(self) -> str:
        """Return the name used in rules after ``events.``."""
        return self.name.replace(".", "_")

    def field(self, name: str) -> PayloadField:
        """Return the payload field of that name; KeyError when there is none."""
        for candidate in self.fields:
            if candidate.name == name:
                return candidate
        raise KeyError(name)

    @classmethod
    def parse(cls, name: str, payload: Mapping[str, str]) -> EventType:
        """Build an event type from ``{"amount": "double", "note": "string?"}``; ``?`` marks an optional
        field.
        """
        fields = []
        for key, kind in payload.items():
            optional = kind.endswith("?")
            base = kind.removesuffix("?")
            _check_type(key, base, SCALAR_TYPES, "payload field")
            fields.append(PayloadField(key, base, optional))  # type: ignore[arg-type]
        return cls(name, tuple(fields))


@dataclass(frozen=True, slots=True)
class Trait:
    """Describe a computed trait, read as ``contact.traits.<name>``."""

    name: str
    type: ScalarType

    def __post_init__(self) -> None:
        _check_name(self.name, "trait")
        _check_type(self.name, self.type, SCALAR_TYPES, "trait")


@dataclass(frozen=True, slots=True)
class RuleFunction:
    """Describe a plugin's rule function ``plugin.thing(contact, literal, ...)`` and the type it returns."""

    name: str
    returns: ValueType
    params: tuple[ValueType, ...] = ()

    def __post_init__(self) -> None:
        if not _FUNCTION_NAME.match(self.name):
            raise RegistryError(
                f"rule function {self.name!r} is not a usable name: write it like loyalty.tier"
            )
        head = self.name.split(".")[0]
        if head in ("contact", "events", "now") or head in _RESERVED:
            raise RegistryError(f"rule function {self.name!r} may not start with {head!r}")
        _check_type(self.name, self.returns, VALUE_TYPES, "rule function")
        for kind in self.params:
            _check_type(self.name, kind, VALUE_TYPES, "parameter of rule function")


@dataclass(frozen=True)
class Registry:
    """Hold everything a rule may name. Immutable; equal content gives an equal ``fingerprint``.

    ``attributes`` are the custom ones, core attributes are always present (``core.CORE_ATTRIBUTES``).
    ``segments`` maps a resource name (``segments/churned``) to the number under which its members are stored;
    None means that any name is accepted and the number is asked for later. ``time_zone`` is the business's
    zone: ages are counted in it.
    """

    attributes: tuple[Attribute, ...] = ()
    event_types: tuple[EventType, ...] = ()
    traits: tuple[Trait, ...] = ()
    functions: tuple[RuleFunction, ...] = ()
    consents: tuple[str, ...] = DEFAULT_CONSENTS
    segments: Mapping[str, int] = field(default_factory=dict, compare=False)
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        core = {a.name: a.type for a in CORE_ATTRIBUTES}
        custom = []
        for attribute in sorted(self.attributes, key=lambda a: a.name):
            known = core.get(attribute.name)
            if known is not None and known != attribute.type:
                raise RegistryError(
                    f"attribute {attribute.name!r} is a core attribute of type {known}: it cannot become "
                    f"{attribute.type}"
                )
            if known is None:
                custom.append(attribute)
        for consent in self.consents:
            _check_name(consent, "consent")
        problem = zone_problem(self.time_zone)
        if problem is not None:
            raise RegistryError(f"the business's time zone: {problem}")
        put = object.__setattr__
        put(self, "attributes", tuple(custom))
        put(self, "event_types", tuple(sorted(self.event_types, key=lambda e: e.name)))
        put(self, "traits", tuple(sorted(self.traits, key=lambda t: t.name)))
        put(self, "functions", tuple(sorted(self.functions, key=lambda f: f.name)))
        put(self, "consents", tuple(sorted(set(self.consents))))
        put(self, "segments", MappingProxyType(dict(self.segments)))
        _refuse_twice((a.name for a in self.attributes), "attribute")
        _refuse_twice((e.cel_name for e in self.event_types), "event type")
        _refuse_twice((t.name for t in self.traits), "trait")
        _refuse_twice((f.name for f in self.functions), "rule function")

    @cached_property
    def fingerprint(self) -> str:
        """Return 16 hex digits that change when the vocabulary (segments apart) changes."""
        parts = (
            self.attributes,
            self.event_types,
            self.traits,
            self.functions,
            self.consents,
            self.time_zone,
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    @cached_property
    def events_by_cel_name(self) -> Mapping[str, EventType]:
        """Return the event types by the name used in rules."""
        return {e.cel_name: e for e in self.event_types}

    @cached_property
    def events_by_name(self) -> Mapping[str, EventType]:
        """Return the event types by their dotted name."""
        return {e.name: e for e in self.event_types}

    @cached_property
    def functions_by_name(self) -> Mapping[str, RuleFunction]:
        """Return the plugin functions by dotted name."""
        return {f.name: f for f in self.functions}

    def extend(
        self,
        *,
        attributes: Iterable[Attribute] = (),
        event_types: Iterable[EventType] = (),
        traits: Iterable[Trait] = (),
        functions: Iterable[RuleFunction] = (),
        consents: Iterable[str] = (),
        segments: Mapping[str, int] | None = None,
    ) -> Registry:
        """Return a registry with more names; one that exists already with another meaning is refused."""

        return replace(
            self,
            attributes=_merged(self.attributes, attributes),
            event_types=_merged(self.event_types, event_types),
            traits=_merged(self.traits, traits),
            functions=_merged(self.functions, functions),
            consents=(*self.consents, *consents),
            segments={**self.segments, **(segments or {})},
        )


def _merged(old: tuple[_T, ...], new: Iterable[_T]) -> tuple[_T, ...]:
    return (*old, *(item for item in dict.fromkeys(new) if item not in old))


def _refuse_twice(names: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise RegistryError(f"{what} {name!r} is registered twice with different meanings")
        seen.add(name)
