"""Made-up contacts in temporary tables, and what the SQL of rules says of them.

The tables have the names of the real ones and lie in the session's own schema, `pg_temp`; the statements name that
schema. So they can read no row of the business, and fail where a table is missing. (A search path alone would not do:
a statement that the session prepared before goes on reading the table that it was prepared for.)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.schema import CreateTable

from services.kit.db import copy_rows
from services.segmentation.rules import CompiledRule, Profile, batch_statement, encode_event, profile_row
from services.segmentation.rules import tables as rule_tables
from services.segmentation.rules.core import CORE_ATTRIBUTES

_SCHEMA = "pg_temp"
_OPTIONS: Any = {"schema_translate_map": {None: _SCHEMA}}


def _copy(table: sa.Table) -> sa.Table:
    copied = table.to_metadata(sa.MetaData(), schema=_SCHEMA)
    # So few rows need no index.
    copied.indexes.clear()
    copied._prefixes = ["TEMPORARY"]
    copied.dialect_options["postgresql"]["on_commit"] = "DROP"
    return copied


_PROFILE, _EVENT, _MEMBERSHIP, _LEAF = (
    _copy(table)
    for table in (
        rule_tables.profile,
        rule_tables.event_table,
        rule_tables.membership,
        rule_tables.plugin_leaf,
    )
)
_DEFAULTS = {core.name: core.default for core in CORE_ATTRIBUTES if core.default is not None}


@dataclass(frozen=True)
class Spoken:
    """Hold what SQL says of a contact: value is None for unknown; forms: the verdicts of the statements by name.

    next_change: the earliest of those that the statements give.
    """

    value: bool | None
    forms: Mapping[str, bool]
    next_changes: Mapping[str, datetime | None]


def make(connection: Connection, registry: Any, contacts: Sequence[tuple[UUID, Profile]]) -> None:
    """Make the tables with these contacts; they are gone at the end of the transaction."""
    for table in (_PROFILE, _EVENT, _MEMBERSHIP, _LEAF):
        connection.execute(CreateTable(table))
    columns = [column.name for column in _PROFILE.c]
    rows = [profile_row(registry, key, profile) for key, profile in contacts]
    defaults = {"revision": 0, **_DEFAULTS}
    copy_rows(
        connection,
        _PROFILE,
        columns,
        (tuple(row.get(name, defaults.get(name)) for name in columns) for row in rows),
    )
    copy_rows(
        connection,
        _EVENT,
        ("contact_id", "event_id", "type", "category", "amount", "occurred_at", "payload"),
        _event_rows(registry, contacts),
    )
    copy_rows(
        connection,
        _MEMBERSHIP,
        ("segment_number", "contact_id"),
        ((registry.segments[name], key) for key, profile in contacts for name in sorted(profile.segments)),
    )


def _event_rows(registry: Any, contacts: Sequence[tuple[UUID, Profile]]) -> Iterable[tuple[object, ...]]:
    for key, profile in contacts:
        for number, event in enumerate(profile.events):
            row = encode_event(registry, event)
            yield key, UUID(int=number), row.type, row.category, row.amount, row.occurred_at, row.payload


def ask(
    connection: Connection,
    rule: CompiledRule,
    contacts: Sequence[tuple[UUID, Profile]],
    now: datetime,
) -> dict[UUID, Spoken]:
    """Return what each statement made of a rule says of contacts: rebuild, increment, list filter, next change."""
    batch = batch_statement([(1, rule)])
    _answer(connection, rule, contacts)
    keys = [key for key, _ in contacts]
    bound = {"now": now}

    def run(statement: sa.Select[Any], **more: Any) -> list[Any]:
        return list(connection.execute(statement, {**bound, **more}, execution_options=_OPTIONS))

    values = {row.contact_id: row.value for row in run(rule.outcome_select)}
    rebuilt = {row.contact_id for row in run(rule.rebuild_select)}
    people = rule_tables.profile.alias("people")
    listed = {row.contact_id for row in run(sa.select(people.c.contact_id).where(rule.where(people)))}
    counted = {row.contact_id: row for row in run(batch.select, contact_ids=keys)}
    changes = {row.contact_id: row.next_change for row in run(rule.next_change_select)}
    return {
        key: Spoken(
            values[key],
            {
                "rebuild": key in rebuilt,
                "increment": counted[key].segments == [1],
                "list filter": key in listed,
            },
            {"rebuild": changes.get(key), "increment": counted[key].next_change},
        )
        for key in keys
    }


def _answer(connection: Connection, rule: CompiledRule, contacts: Sequence[tuple[UUID, Profile]]) -> None:
    """Put the answers of plugins where the statements read them; a batch of one rule numbers its calls as the rule."""
    if not rule.plugin_calls:
        return
    connection.execute(sa.delete(_LEAF))
    copy_rows(
        connection,
        _LEAF,
        ("leaf_no", "contact_id", "value"),
        (
            (call.number, key, json.dumps(profile.plugin_values[call.function, call.params]))
            for key, profile in contacts
            for call in rule.plugin_calls
            if (call.function, call.params) in profile.plugin_values
        ),
    )
