"""Traits: values computed for every contact and kept with its profile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rapport_sdk.context import EvalContext, SqlContext
from rapport_sdk.profile import Profile
from rapport_sdk.values import Value, ValueType

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

TraitAnswer: TypeAlias = "Mapping[str, Value] | None"


@dataclass(frozen=True)
class Trait:
    """Register computed values, which rules read as `contact.traits.<column>`.

    name: `plugin.thing`. columns: name and type of each value; each name begins with the plugin's and an
    underscore. events: the event types that it reads, and no others. refresh: how old the values may get, by
    default a day. version: raise it when the same contact may get another value.
    value: the SQL form: one expression per column, over one contact's profile and events; window functions
    see all contacts (`ntile(5) OVER …`). NULL is unknown. compute: the Python form: for each profile, in the
    order given, a value per column, or None when all are unknown; it sees a batch of contacts at a time, and
    nothing but the contact's own profile may count. Give at least one; with both, the test kit proves that
    they agree, and SQL is what runs.
    when_gone: `keep` the last values while the plugin is missing, quarantined or failing, or `clear` them to
    unknown.
    """

    name: str
    columns: Mapping[str, ValueType]
    value: Callable[[SqlContext], Mapping[str, ColumnElement[Any]]] | None = None
    refresh: timedelta = timedelta(days=1)
    events: tuple[str, ...] = ()
    version: int = 1
    when_gone: Literal["keep", "clear"] = "keep"
    doc: str = field(default="", compare=False)
    compute: Callable[[EvalContext, Sequence[Profile]], Sequence[TraitAnswer]] | None = field(
        default=None, kw_only=True
    )
