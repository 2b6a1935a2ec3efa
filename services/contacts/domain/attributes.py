"""Custom attributes and activity types: their definitions, and whether a value fits them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum

from services.contacts.domain.errors import Refused
from services.contacts.domain.text import clean_text

ID = re.compile(r"[a-z][a-z0-9_]{0,62}")
ACTIVITY_ID = re.compile(r"(?=.{1,63}$)[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
LONGEST_TEXT = 10_000
LONGEST_ITEM = 200
_INT = re.compile(r"[+-]?[0-9]{1,19}")
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

# What a rule reads after "contact." without any definition: the columns of a contact, what other services
# derive
# for it, and the groups. Also the names by which a caller might expect an identity.
# fmt: off
CORE_ATTRIBUTES = frozenset((
    "name", "kind", "display_name", "given_name", "family_name", "has_email", "has_phone", "email",
    "phone", "language_code", "time_zone", "region_code", "administrative_area", "admin_area", "locality",
    "sublocality", "ward", "postal_code", "address", "location", "birth_date", "age", "gender",
    "lifecycle_stage", "industry", "occupation", "tags", "consents", "identities", "attributes", "traits",
    "create_time", "update_time", "revision", "first_order_time", "last_order_time", "order_count",
    "total_spent",
))
# Words that CEL keeps to itself, which can stand neither after a point nor as a name.
_CEL_WORDS = frozenset((
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if",
    "import", "let", "loop", "package", "namespace", "return", "var", "void", "while",
))
# fmt: on
# Event types of the other services, which rules read in the same place.
_BUILT_IN_EVENTS = frozenset(("order_placed", "order_returned", "payment_received"))

Value = str | int | float | bool | datetime | tuple[str, ...]


class ValueType(IntEnum):
    """Name the type of an attribute or a field; the numbers are those of the API."""

    STRING = 1
    INT = 2
    DOUBLE = 3
    BOOL = 4
    TIMESTAMP = 5
    STRINGS = 6


_TYPE_NAMES = {
    ValueType.STRING: "a text",
    ValueType.INT: "a whole number",
    ValueType.DOUBLE: "a number",
    ValueType.BOOL: "a truth value",
    ValueType.TIMESTAMP: "a moment",
    ValueType.STRINGS: "a list of texts",
}
_PYTHON_TYPES: dict[ValueType, type] = {
    ValueType.STRING: str,
    ValueType.INT: int,
    ValueType.DOUBLE: float,
    ValueType.BOOL: bool,
    ValueType.TIMESTAMP: datetime,
    ValueType.STRINGS: tuple,
}


@dataclass(frozen=True, slots=True)
class Attribute:
    """Define a custom attribute: type, label, and the texts or numbers it allows."""

    id: str
    type: ValueType
    label: str = ""
    allowed_values: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class ActivityField:
    """Define a field of a type of activity."""

    id: str
    type: ValueType
    optional: bool = False


@dataclass(frozen=True, slots=True)
class ActivityType:
    """Define a type of activity and the fields of its records."""

    id: str
    label: str = ""
    fields: tuple[ActivityField, ...] = ()

    @property
    def rule_name(self) -> str:
        """Return the name in rules, such as `page_visited` for `page.visited`."""
        return self.id.replace(".", "_")


def check_attribute(attribute: Attribute) -> None:
    """Raise Refused, naming the field, for a definition that makes no sense."""
    if not ID.fullmatch(attribute.id):
        raise Refused(
            f"{attribute.id[:70]!r} is malformed; write lower-case letters, digits and '_'", field="id"
        )
    if attribute.id in CORE_ATTRIBUTES:
        raise Refused(f"{attribute.id!r} is the name of a core attribute; choose another", field="id")
    if attribute.id in _CEL_WORDS:
        raise Refused(f"{attribute.id!r} is a reserved word of the rule language; choose another", field="id")
    text = attribute.type in (ValueType.STRING, ValueType.STRINGS)
    number = attribute.type in (ValueType.INT, ValueType.DOUBLE)
    if attribute.allowed_values and not text:
        raise Refused("is for texts only", field="allowed_values")
    if len(set(attribute.allowed_values)) != len(attribute.allowed_values):
        raise Refused("names a value twice", field="allowed_values")
    for name, bound in (("minimum", attribute.minimum), ("maximum", attribute.maximum)):
        if bound is not None and not number:
            raise Refused("is for numbers only", field=name)
        if bound is not None and not math.isfinite(bound):
            raise Refused("must be finite", field=name)
    if (
        attribute.minimum is not None
        and attribute.maximum is not None
        and attribute.minimum > attribute.maximum
    ):
        raise Refused(f"is less than the minimum, {attribute.minimum:g}", field="maximum")


def check_activity_type(definition: ActivityType) -> None:
    """Raise Refused, naming the field, for a definition that makes no sense."""
    if not ACTIVITY_ID.fullmatch(definition.id) or not ID.fullmatch(definition.rule_name):
        raise Refused(f"{definition.id[:70]!r} is malformed; write it like 'page.visited'", field="id")
    if definition.rule_name in _CEL_WORDS:
        raise Refused(
            f"{definition.id!r} is a reserved word of the rule language; choose another", field="id"
        )
    if definition.rule_name in _BUILT_IN_EVENTS:
        raise Refused(f"{definition.id!r} is an event type of another service; choose another", field="id")
    seen: set[str] = set()
    for index, field in enumerate(definition.fields):
        path = f"fields[{index}]"
        if not ID.fullmatch(field.id) or field.id in _CEL_WORDS:
            raise Refused(f"{field.id[:70]!r} is no usable name", field=f"{path}.id")
        if field.id == "time":
            raise Refused("'time' is when the activity occurred; choose another", field=f"{path}.id")
        if field.id in seen:
            raise Refused(f"{field.id!r} is given twice", field=f"{path}.id")
        if field.type == ValueType.STRINGS:
            raise Refused(
                "fields of activities hold single values; choose another type", field=f"{path}.type"
            )
        seen.add(field.id)


def fit(value: Value, attribute: Attribute) -> Value:
    """Return a value as it is stored for an attribute.

    Raises Refused when it is of another type or not allowed.
    """
    value = fit_type(value, attribute.type)
    if attribute.allowed_values:
        for text in value if isinstance(value, tuple) else (value,):
            if text not in attribute.allowed_values:
                allowed = ", ".join(attribute.allowed_values[:10])
                raise Refused(f"{str(text)[:50]!r} is not allowed; use one of: {allowed}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        if attribute.minimum is not None and value < attribute.minimum:
            raise Refused(f"{value} is less than the minimum, {attribute.minimum:g}")
        if attribute.maximum is not None and value > attribute.maximum:
            raise Refused(f"{value} is greater than the maximum, {attribute.maximum:g}")
    return value


def fit_type(value: Value, kind: ValueType) -> Value:
    """Return a value of a type as it is stored: texts in NFC, whole numbers as doubles for that type.

    Raises Refused when it is of another type.
    """
    if kind == ValueType.DOUBLE and type(value) is int:
        value = float(value)
    if type(value) is not _PYTHON_TYPES[kind]:
        raise Refused(f"must be {_TYPE_NAMES[kind]}")
    if isinstance(value, str):
        return _text(value, LONGEST_TEXT)
    if isinstance(value, tuple):
        return tuple(_text(item, LONGEST_ITEM) for item in value)
    if isinstance(value, float) and not math.isfinite(value):
        raise Refused("must be a finite number")
    return value


def _text(value: str, longest: int) -> str:
    if len(value) > longest:
        raise Refused(f"has {len(value)} characters; at most {longest} are allowed")
    return clean_text(value)


def parse_value(text: str, kind: ValueType) -> Value:
    """Return the value that a text of a file means; raises Refused.

    Truth values: true, yes, 1, false, no, 0. Moments: ISO 8601, in UTC when they name no zone. Lists: parted
    by ";".
    """
    match kind:
        case ValueType.STRING:
            return text
        case ValueType.INT:
            if not _INT.fullmatch(text) or not -(2**63) <= int(text) < 2**63:
                raise Refused(f"{text[:50]!r} is no whole number of 64 bits")
            return int(text)
        case ValueType.DOUBLE:
            try:
                number = float(text)
            except ValueError:
                raise Refused(f"{text[:50]!r} is no number; write it like 1234.5") from None
            return number
        case ValueType.BOOL:
            if text.lower() not in _TRUTH:
                raise Refused(f"{text[:50]!r} is neither true nor false")
            return _TRUTH[text.lower()]
        case ValueType.TIMESTAMP:
            return parse_time(text)
        case ValueType.STRINGS:
            return tuple(part for piece in text.split(";") if (part := piece.strip()))
    raise AssertionError(kind)


def parse_time(text: str) -> datetime:
    """Return the moment that an ISO 8601 text names, in UTC when it names no zone; raises Refused."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refused(f"{text[:50]!r} is no time; write it like 2024-02-28T14:30:00+07:00") from None
    return moment


def fit_fields(values: Mapping[str, Value], definition: ActivityType) -> dict[str, Value]:
    """Return the fields of a record as they are stored; raises Refused, naming the field."""
    known = {field.id: field for field in definition.fields}
    fitted = {}
    for name, value in values.items():
        if name not in known:
            raise Refused(f"the type {definition.id!r} has no such field", field=name)
        try:
            fitted[name] = fit_type(value, known[name].type)
        except Refused as error:
            raise Refused(str(error), field=name) from None
    missing = missing_fields(values, definition.fields)
    if missing:
        raise Refused("is required", field=missing[0])
    return fitted


def missing_fields(values: Mapping[str, Value], fields: Sequence[ActivityField]) -> list[str]:
    """Return the names of the required fields that are not there."""
    return [field.id for field in fields if not field.optional and field.id not in values]
