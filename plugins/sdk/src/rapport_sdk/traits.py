"""Traits: values computed for every contact and kept with its profile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement

from rapport_sdk.context import SqlContext
from rapport_sdk.values import ValueType


@dataclass(frozen=True)
class Trait:
    """Register computed values, which rules read as `contact.traits.<column>`.

    name: `plugin.thing`. columns: name and type of each value; each name begins with the plugin's and an
    underscore. value: one SQL expression per column, over one contact's profile and events; window functions
    see all contacts (`ntile(5) OVER …`). NULL is unknown. events: the event types that it reads. refresh: how
    old the values may get. version: raise it when the same contact may get another value.
    when_gone: `keep` the last values while the plugin is missing, quarantined or failing, or `clear` them to
    unknown.
    """

    name: str
    columns: Mapping[str, ValueType]
    value: Callable[[SqlContext], Mapping[str, ColumnElement[Any]]]
    refresh: timedelta
    events: tuple[str, ...] = ()
    version: int = 1
    when_gone: Literal["keep", "clear"] = "keep"
    doc: str = field(default="", compare=False)
