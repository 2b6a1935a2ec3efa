"""Queries on custom attributes and types of activity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql as pg

from services.contacts.domain.attributes import ActivityType, Attribute
from services.contacts.models import activity_type, attribute
from services.contacts.store import encoding


def insert_attribute(connection: Connection, definition: Attribute, now: datetime) -> bool:
    """Write a definition; False when there is one with this id."""
    row = {**asdict(definition), "allowed_values": list(definition.allowed_values), "create_time": now}
    return _inserted(connection, attribute, row)


def insert_activity_type(connection: Connection, definition: ActivityType, now: datetime) -> bool:
    """Write a definition; False when there is one with this id, or one that has the same name in rules."""
    row = {
        "id": definition.id,
        "rule_name": definition.rule_name,
        "label": definition.label,
        "fields": [asdict(one) for one in definition.fields],
        "create_time": now,
    }
    return _inserted(connection, activity_type, row)


def _inserted(connection: Connection, table: Table, row: Mapping[str, object]) -> bool:
    statement = pg.insert(table).values(row).on_conflict_do_nothing().returning(table.c.id)
    return connection.execute(statement).first() is not None


def attributes(connection: Connection) -> dict[str, Attribute]:
    """Return all custom attributes by id."""
    rows = connection.execute(sa.select(attribute)).all()
    return {row.id: encoding.attribute_from_row(row) for row in rows}


def activity_types(connection: Connection) -> dict[str, ActivityType]:
    """Return all types of activity by id."""
    rows = connection.execute(sa.select(activity_type)).all()
    return {row.id: encoding.activity_type_from_row(row) for row in rows}


def attribute_page(connection: Connection, after: str, limit: int) -> list[Attribute]:
    """Return attributes by id, those behind `after`."""
    query = sa.select(attribute).where(attribute.c.id > after).order_by(attribute.c.id).limit(limit)
    return [encoding.attribute_from_row(row) for row in connection.execute(query)]


def activity_type_page(connection: Connection, after: str, limit: int) -> list[ActivityType]:
    """Return types of activity by id, those behind `after`."""
    query = (
        sa.select(activity_type).where(activity_type.c.id > after).order_by(activity_type.c.id).limit(limit)
    )
    return [encoding.activity_type_from_row(row) for row in connection.execute(query)]
