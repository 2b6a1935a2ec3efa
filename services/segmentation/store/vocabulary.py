"""Queries on what rules may name: custom attributes, types of activity, traits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.segmentation.models import attribute, consent, event_type, trait


def attributes(connection: Connection) -> dict[str, str]:
    """Return the types of custom attributes by name."""
    query = sa.select(attribute.c.name, attribute.c.type).order_by(attribute.c.name)
    return {row.name: row.type for row in connection.execute(query)}


def event_types(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """Return the fields of the types of activity by name."""
    query = sa.select(event_type.c.name, event_type.c.fields).order_by(event_type.c.name)
    return {row.name: row.fields for row in connection.execute(query)}


def define_attributes(connection: Connection, types: Mapping[str, str]) -> bool:
    """Store custom attributes; returns whether something is new."""
    statement = pg.insert(attribute).values([{"name": name, "type": kind} for name, kind in types.items()])
    changed = statement.on_conflict_do_update(
        index_elements=["name"],
        set_={"type": statement.excluded.type},
        where=attribute.c.type != statement.excluded.type,
    )
    return bool(types) and connection.execute(changed.returning(attribute.c.name)).first() is not None


def define_event_types(connection: Connection, fields: Mapping[str, Sequence[Mapping[str, Any]]]) -> bool:
    """Store types of activity; returns whether something is new."""
    rows = [{"name": name, "fields": [dict(item) for item in items]} for name, items in fields.items()]
    statement = pg.insert(event_type).values(rows)
    changed = statement.on_conflict_do_update(
        index_elements=["name"],
        set_={"fields": statement.excluded.fields},
        where=event_type.c.fields != statement.excluded.fields,
    )
    return bool(rows) and connection.execute(changed.returning(event_type.c.name)).first() is not None


def consents(connection: Connection) -> list[str]:
    """Return the names of consents that contacts have decided on."""
    return list(connection.execute(sa.select(consent.c.name).order_by(consent.c.name)).scalars())


def define_consents(connection: Connection, names: Iterable[str]) -> bool:
    """Store names of consents; returns whether one is new."""
    rows = [{"name": name} for name in sorted(set(names))]
    if not rows:
        return False
    statement = pg.insert(consent).values(rows).on_conflict_do_nothing().returning(consent.c.name)
    return connection.execute(statement).first() is not None


def traits(connection: Connection) -> list[Any]:
    """Return the traits ever seen: name, record, available, refresh_time, message; by name."""
    return list(connection.execute(sa.select(trait).order_by(trait.c.name)))


def put_traits(connection: Connection, records: Mapping[str, Mapping[str, Any]]) -> bool:
    """Store the traits that plugins offer now and mark the others as not available; returns whether that is new."""
    known = {row.name: row for row in traits(connection)}
    changed = False
    for name, record in records.items():
        before = known.get(name)
        if before is None:
            connection.execute(sa.insert(trait).values(name=name, record=dict(record), available=True))
        elif before.record != record or not before.available:
            values: dict[str, Any] = {"record": dict(record), "available": True}
            # What was computed before the plugin went is old by now, or was cleared.
            if not before.available or before.record.get("version") != record.get("version"):
                values["refresh_time"] = None
            connection.execute(sa.update(trait).where(trait.c.name == name).values(values))
        else:
            continue
        changed = True
    gone = [name for name, row in known.items() if name not in records and row.available]
    if gone:
        connection.execute(sa.update(trait).where(trait.c.name.in_(gone)).values(available=False))
    return changed or bool(gone)


def refreshed(connection: Connection, name: str, time: datetime, message: str = "") -> None:
    """Record when a trait was refreshed, or tried to be, and why that failed."""
    connection.execute(
        sa.update(trait).where(trait.c.name == name).values(refresh_time=time, message=message)
    )
