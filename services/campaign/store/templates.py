"""Queries on templates."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Row
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.rendering import Content, StoredTemplate
from services.campaign.models import template

_GET_MANY = sa.select(template).where(template.c.id == sa.any_(sa.bindparam("ids", type_=pg.ARRAY(sa.Text))))


def insert(connection: Connection, item: StoredTemplate) -> bool:
    """Write a new template; False when there is one of that id."""
    statement = pg.insert(template).values(_values(item)).on_conflict_do_nothing(index_elements=["id"])
    return connection.execute(statement.returning(template.c.id)).first() is not None


def get(connection: Connection, key: str, *, lock: bool = False) -> StoredTemplate | None:
    """Return a template, or None; lock: until the transaction ends."""
    query = sa.select(template).where(template.c.id == key)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else _template(row)


def get_many(
    connection: Connection, keys: Collection[str], *, share: bool = False
) -> dict[str, StoredTemplate]:
    """Return the templates of the ids that there are; share: so that nobody changes them meanwhile."""
    if not keys:
        return {}
    query = _GET_MANY.order_by(template.c.id).with_for_update(read=True) if share else _GET_MANY
    return {row.id: _template(row) for row in connection.execute(query, {"ids": list(keys)})}


def page(connection: Connection, *, after: str, count: int) -> list[StoredTemplate]:
    """Return the next templates by id."""
    query = sa.select(template).where(template.c.id > after).order_by(template.c.id).limit(count)
    return [_template(row) for row in connection.execute(query)]


def ids(connection: Connection, count: int) -> list[str]:
    """Return the first ids."""
    return list(connection.scalars(sa.select(template.c.id).order_by(template.c.id).limit(count)))


def update(connection: Connection, item: StoredTemplate) -> None:
    """Store a changed template."""
    connection.execute(sa.update(template).where(template.c.id == item.id).values(_values(item)))


def existing(connection: Connection, keys: Collection[str]) -> set[str]:
    """Return which of the ids there are."""
    query = sa.select(template.c.id).where(template.c.id == sa.any_(sa.cast(list(keys), pg.ARRAY(sa.Text))))
    return set(connection.scalars(query))


def _values(item: StoredTemplate) -> dict[str, Any]:
    return {
        "id": item.id,
        "display_name": item.display_name,
        "contents": [
            {
                "language_code": content.language_code,
                "subject": content.subject,
                "text": content.text,
                "html": content.html,
                "mjml": content.mjml,
            }
            for content in item.contents
        ],
        "revision": item.revision,
        "create_time": item.create_time,
        "update_time": item.update_time,
    }


def _template(row: Row[Any]) -> StoredTemplate:
    contents: Sequence[dict[str, str]] = row.contents
    return StoredTemplate(
        id=row.id,
        display_name=row.display_name,
        contents=tuple(Content(**content) for content in contents),
        revision=row.revision,
        create_time=row.create_time,
        update_time=row.update_time,
    )
