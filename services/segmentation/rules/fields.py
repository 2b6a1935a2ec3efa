"""Single fields of a contact as SQL, with the meaning that they have in rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ARRAY, Numeric, Text, case, func, literal_column, select
from sqlalchemy.sql.elements import ColumnElement

from services.segmentation.rules import ir
from services.segmentation.rules.core import CORE_ATTRIBUTES
from services.segmentation.rules.registry import Registry
from services.segmentation.rules.sql.frames import CorrelatedFrame, Lookups
from services.segmentation.rules.sql.scalars import compile_value, texts_of
from services.segmentation.rules.sql.values import quoted
from services.segmentation.rules.tables import profile

_KINDS: Mapping[str, Any] = {"timestamp": "time"}
_EXACT = {"custom": "attributes", "trait": "traits"}


@dataclass(frozen=True)
class Field:
    """Describe what follows ``contact.`` in rules.

    ``column`` reads the profile table and is NULL when the field is missing: a number is exact (numeric or bigint), a
    list is text[]. The statement takes the parameter ``now``.
    """

    name: str
    type: str
    column: ColumnElement[Any]


def field_types(registry: Registry) -> dict[str, str]:
    """Return the types of all fields with a value of their own, by the name that follows ``contact.``."""
    return {
        **{item.name: item.type for item in CORE_ATTRIBUTES},
        **{item.name: item.type for item in registry.attributes},
        **{f"consents.{name}": "string" for name in registry.consents},
        **{f"traits.{item.name}": item.type for item in registry.traits},
    }


def field_of(registry: Registry, name: str) -> Field:
    """Return a field; KeyError when rules cannot name it."""
    kind = field_types(registry)[name]
    group, last = _group(name)
    attribute = ir.Attr(
        kind=_KINDS.get(kind, kind) if kind != "strings" else "string", group=group, name=last
    )
    frame = CorrelatedFrame(registry.time_zone, Lookups({}, {}))
    if kind == "strings":
        return Field(name, kind, _texts(attribute, frame))
    if kind == "double":
        return Field(name, kind, _exact(attribute))
    return Field(name, kind, compile_value(attribute, frame))


def _group(name: str) -> tuple[Literal["core", "custom", "trait", "consent"], str]:
    head, _, last = name.partition(".")
    if last:
        return ("trait" if head == "traits" else "consent"), last
    return ("core" if any(item.name == name for item in CORE_ATTRIBUTES) else "custom"), name


def _exact(attribute: ir.Attr) -> ColumnElement[Any]:
    if attribute.group == "core":
        found: ColumnElement[Any] = profile.c[attribute.name]
        return found
    part = profile.c[_EXACT[attribute.group]].op("->")(literal_column(quoted(attribute.name)))
    return func.rule_json_numeric(part, type_=Numeric())


def _texts(attribute: ir.Attr, frame: CorrelatedFrame) -> ColumnElement[Any]:
    column = texts_of(attribute, frame)
    if attribute.group == "core":
        return column
    item = func.jsonb_array_elements_text(column).table_valued("value", name="item")
    listed = select(func.array_agg(item.c.value, type_=ARRAY(Text()))).scalar_subquery()
    return case((func.jsonb_typeof(column) == "array", listed))
