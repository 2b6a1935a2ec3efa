"""Write profiles into the rule tables and ask SQL about them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import Connection, delete, insert, literal_column, select, text

from services.segmentation.rules import (
    CompiledRule,
    Outcome,
    Profile,
    Registry,
    batch_statement,
    encode_event,
    profile_row,
    tables,
)
from services.segmentation.rules.sql.frames import CorrelatedFrame, GroupedFrame
from services.segmentation.rules.sql.scalars import compile_value

SPACE = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")

_EVENT = text(
    "INSERT INTO event (contact_id, event_id, type, category, amount, occurred_at, payload) "
    "VALUES (:contact_id, :event_id, :type, :category, :amount, :occurred_at, CAST(:payload AS jsonb))"
)


def with_ids(profiles: Sequence[Profile]) -> list[Profile]:
    """Return profiles with ids, those that have none with the ids under which ``put`` stores them."""
    return [
        profile if profile.contact_id else replace(profile, contact_id=contact_id)
        for profile, contact_id in zip(profiles, contact_ids(len(profiles)), strict=True)
    ]


def contact_ids(count: int) -> list[UUID]:
    """Return ids for that many profiles."""
    return [uuid5(SPACE, f"contact-{i}") for i in range(count)]


def put(connection: Connection, registry: Registry, profiles: Sequence[Profile]) -> list[UUID]:
    """Make these profiles the whole content of the tables; return their ids in order."""
    for table in (tables.profile, tables.event_table, tables.membership):
        connection.execute(delete(table))
    ids = [p.contact_id or i for p, i in zip(profiles, contact_ids(len(profiles)), strict=True)]
    for contact_id, profile in zip(ids, profiles, strict=True):
        row = profile_row(registry, contact_id, profile)
        columns = ", ".join(row)
        values = ", ".join(
            f"CAST(:{n} AS jsonb)" if n in ("attributes", "traits", "consents") else f":{n}" for n in row
        )
        connection.execute(text(f"INSERT INTO profile ({columns}) VALUES ({values})"), row)
        for index, event in enumerate(profile.events):
            stored = encode_event(registry, event)
            connection.execute(
                _EVENT,
                {"contact_id": contact_id, "event_id": uuid5(contact_id, str(index)), **_columns(stored)},
            )
        for segment in profile.segments:
            number = registry.segments[segment]
            connection.execute(insert(tables.membership).values(segment_number=number, contact_id=contact_id))
    return ids


def _columns(stored: Any) -> dict[str, Any]:
    return {n: getattr(stored, n) for n in ("type", "category", "amount", "occurred_at", "payload")}


def answer(connection: Connection, calls: Any, ids: Sequence[UUID], profiles: Sequence[Profile]) -> None:
    """Fill plugin_leaf with what the profiles say the plugins answered."""
    connection.execute(text("DELETE FROM plugin_leaf"))
    for contact_id, profile in zip(ids, profiles, strict=True):
        for call in calls:
            value = profile.plugin_values.get((call.function, call.params))
            if value is not None:
                connection.execute(
                    text("INSERT INTO plugin_leaf VALUES (:n, :c, CAST(:v AS jsonb))"),
                    {"n": call.number, "c": contact_id, "v": json.dumps(value)},
                )


_OUTCOMES = {True: Outcome.MEMBER, False: Outcome.NOT_MEMBER, None: Outcome.UNKNOWN}


def outcomes(
    connection: Connection, rule: CompiledRule, now: datetime, *, grouped: bool
) -> dict[UUID, Outcome]:
    """Return the exact three-valued outcome SQL gives each contact."""
    lookups = rule._lookups()
    frame = (GroupedFrame if grouped else CorrelatedFrame)(rule.registry.time_zone, lookups)
    value = compile_value(rule.ir, frame)
    source = frame.joined(tables.profile) if isinstance(frame, GroupedFrame) else tables.profile
    rows = connection.execute(
        select(tables.profile.c.contact_id, value.label("v")).select_from(source), {"now": now}
    )
    return {row.contact_id: _OUTCOMES[row.v] for row in rows}


def members_by_rebuild(connection: Connection, rule: CompiledRule, now: datetime) -> set[UUID]:
    """Return the members the rebuild statement gives."""
    rows = [row.contact_id for row in connection.execute(rule.rebuild_select, {"now": now})]
    assert len(rows) == len(set(rows)), "a contact occurs twice in a rebuild"
    return set(rows)


def swept(
    connection: Connection, rule: CompiledRule, now: datetime, ids: Sequence[UUID]
) -> tuple[list[UUID], list[tuple[UUID, datetime]]]:
    """Return members and next changes, in order, as a rebuild asks for them: both at once, in two spans."""
    members: list[UUID] = []
    changes: list[tuple[UUID, datetime]] = []
    asked = select(literal_column("true"), rule.sweep.members.subquery("m").c.contact_id, NULL_TIME)
    if rule.sweep.changes is not None:
        other = rule.sweep.changes.subquery("c")
        asked = asked.union_all(select(literal_column("false"), other.c.contact_id, other.c.next_change))  # type: ignore[assignment]
    for first, last in spans(ids):
        for is_member, contact_id, at in connection.execute(
            asked, {"now": now, "first": first, "last": last}
        ):
            if is_member:
                members.append(contact_id)
            else:
                changes.append((contact_id, at))
    return sorted(members), sorted(changes)


EVERYBODY = {"first": UUID(int=0), "last": UUID(int=2**128 - 1)}


def spans(ids: Sequence[UUID]) -> list[tuple[UUID, UUID]]:
    """Return two spans that together hold everybody, about as many of these contacts each."""
    middle = sorted(ids)[len(ids) // 2]
    return [(EVERYBODY["first"], middle), (UUID(int=middle.int + 1), EVERYBODY["last"])]


NULL_TIME = literal_column("NULL::timestamptz")


def members_by_where(connection: Connection, rule: CompiledRule, now: datetime) -> set[UUID]:
    """Return the members a list filter gives."""
    people = tables.profile.alias("people")
    statement = select(people.c.contact_id).where(rule.where(people))
    return {row.contact_id for row in connection.execute(statement, {"now": now})}


def changes(connection: Connection, rule: CompiledRule, now: datetime) -> dict[UUID, datetime]:
    """Return the next change of each contact by the statement over everybody."""
    return {
        row.contact_id: row.next_change for row in connection.execute(rule.next_change_select, {"now": now})
    }


def batch(
    connection: Connection,
    rules: Sequence[CompiledRule],
    ids: Sequence[UUID],
    profiles: Sequence[Profile],
    now: datetime,
) -> dict[UUID, tuple[set[int], datetime | None]]:
    """Return the numbers (positions in ``rules``) that are TRUE for each contact, and its next change."""
    statement = batch_statement(list(enumerate(rules)))
    answer(connection, statement.plugin_calls, ids, profiles)
    rows = connection.execute(statement.select, {"now": now, "contact_ids": list(ids)})
    found = {}
    for row in rows:
        assert row.segments == sorted(row.segments)
        found[row.contact_id] = (set(row.segments), row.next_change)
    return found


ONE = literal_column("1")
