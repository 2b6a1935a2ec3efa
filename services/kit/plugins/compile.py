"""Build the SELECT of a rule or trait and compile it to text, in the plugin host: it calls plugin code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rapport_sdk import SegmentRule, Settings, SqlContext, Timed, Trait, ValueType
from rapport_sdk.context import CONTACTS_PARAMETER, NOW_PARAMETER
from rapport_sdk.views import EVENT
from sqlalchemy import (
    BigInteger,
    Boolean,
    Cast,
    ColumnElement,
    DateTime,
    Double,
    Integer,
    Numeric,
    Select,
    String,
    Text,
    cast,
    func,
    null,
    select,
)
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql.sqltypes import JSON, NullType
from sqlalchemy.types import TypeEngine

from services.kit.plugins.compiled import CompiledSelect, CompileFault

_DIALECT = PGDialect_psycopg(paramstyle="pyformat")  # type: ignore[no-untyped-call]
_CASTS: Mapping[ValueType, type[TypeEngine[Any]]] = {
    "string": Text,
    "bool": Boolean,
    "int": BigInteger,
    "double": Double,
}
_ACCEPTED: Mapping[ValueType, tuple[type[TypeEngine[Any]], ...]] = {
    "string": (String,),
    "bool": (Boolean,),
    "int": (Integer,),
    "double": (Numeric, Integer),
}


def compile_rule(
    plugin: str, rule: SegmentRule, params: Mapping[str, Any], settings: Settings
) -> CompiledSelect:
    """Compile the SQL form of a rule for bound parameters; raises CompileFault, or what the plugin raises."""
    texts = [_text(_rule_select(rule, params, settings, batch=batch)) for batch in (False, True)]
    return CompiledSelect(plugin, rule.name, "rule", (("value", rule.returns),), *texts[0], *texts[1])


def compile_trait(plugin: str, trait: Trait, settings: Settings) -> CompiledSelect:
    """Compile a trait; raises CompileFault, or what the plugin raises."""
    text, params = _text(_trait_select(trait, settings))
    return CompiledSelect(plugin, trait.name, "trait", tuple(trait.columns.items()), text, params)


def _rule_select(
    rule: SegmentRule, params: Mapping[str, Any], settings: Settings, *, batch: bool
) -> Select[Any]:
    if rule.value is None:
        raise CompileFault("the rule has no SQL form")
    context = SqlContext(settings, rule.events, batch=batch)
    answer = rule.value(context, dict(params))
    change: ColumnElement[Any] | None = None
    if isinstance(answer, Timed):
        answer, change = answer.value, answer.next_change
        if change is not None:
            _check_type("next_change", change, (DateTime,))
    elif context._now_was_read:
        raise CompileFault(
            "value reads ctx.now: answer Timed(value, next_change), or it would go stale unnoticed"
        )
    value = _typed("value", answer, rule.returns)
    visible = _next_visible(context, rule.events)
    moments = [moment for moment in (change, visible) if moment is not None]
    # LEAST ignores NULLs, so a contact without future events keeps the plugin's own instant.
    next_change = func.least(*moments) if moments else null()
    return _over_profiles(
        context, value.label("value"), cast(next_change, DateTime(timezone=True)).label("next_change")
    )


def _trait_select(trait: Trait, settings: Settings) -> Select[Any]:
    if trait.value is None:
        raise CompileFault("the trait has no SQL form")
    context = SqlContext(settings, trait.events, batch=False)
    answer = trait.value(context)
    if not isinstance(answer, Mapping) or set(answer) != set(trait.columns):
        given = ", ".join(map(str, answer)) if isinstance(answer, Mapping) else type(answer).__name__
        raise CompileFault(f"value gave {given}; declared columns are {', '.join(trait.columns)}")
    columns = [_typed(name, answer[name], type_).label(name) for name, type_ in trait.columns.items()]
    return _over_profiles(context, *columns)


def _over_profiles(context: SqlContext, *columns: ColumnElement[Any]) -> Select[Any]:
    source: Any = context.profile
    for grouped in context._joins:
        source = source.outerjoin(grouped, grouped.c.contact_id == context.profile.c.contact_id)
    statement = select(context.profile.c.contact_id, *columns).select_from(source)
    return statement.where(*context._within(context.profile))


def _next_visible(context: SqlContext, events: tuple[str, ...]) -> ColumnElement[Any] | None:
    """Give the time of a contact's first event in the future: when it becomes visible, values may change."""
    if not events:
        return None
    source = EVENT.alias("future")
    grouped = (
        select(source.c.contact_id, func.min(source.c.occurred_at).label("at"))
        .where(source.c.type.in_(events), source.c.occurred_at > context._now, *context._within(source))
        .group_by(source.c.contact_id)
        .subquery("first_future")
    )
    context._joins.append(grouped)
    return grouped.c.at


def _typed(name: str, expression: Any, type_: ValueType) -> Cast[Any]:
    if expression is None:
        expression = null()
    _check_type(name, expression, _ACCEPTED[type_], f"a {type_}")
    return cast(expression, _CASTS[type_])


def _check_type(
    name: str, expression: Any, accepted: tuple[type[TypeEngine[Any]], ...], wanted: str = ""
) -> None:
    if not isinstance(expression, ColumnElement):
        raise CompileFault(f"{name} is a {type(expression).__name__}, not an SQL expression")
    if not isinstance(expression.type, (*accepted, NullType)):
        wanted = wanted or accepted[0].__name__
        raise CompileFault(f"{name} is an expression of type {expression.type}, not {wanted}: cast it")


def _text(statement: Select[Any]) -> tuple[str, dict[str, Any]]:
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    params = compiled.construct_params(_check=False)
    for name in (NOW_PARAMETER, CONTACTS_PARAMETER):
        params.pop(name, None)
    for name, bind in compiled.binds.items():
        # The driver adapts a dict only inside a wrapper, which does not travel; the text is cast to jsonb in
        # SQL.
        if name in params and isinstance(bind.type, JSON) and not isinstance(params[name], (str, int)):
            params[name] = json.dumps(params[name])
    return str(compiled), dict(params)
