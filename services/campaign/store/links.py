"""Queries on the static links of templates, and on how an origin's links are counted."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.links import MAX_LINKS, Link
from services.campaign.domain.utm import LinkSettings, add_utm
from services.campaign.models import link, link_settings, message

_TEXTS = pg.ARRAY(sa.Text)
_SETTINGS = [link_settings.c[name] for name in LinkSettings.__dataclass_fields__]


def add(connection: Connection, template_id: str, urls: Sequence[str]) -> None:
    """Number the links of a template that have no number yet, in the transaction that writes the template.

    A number is never given to another link, for messages that left name it. Links beyond the 1,000th get none: they
    travel in the token itself.
    """
    known = numbers(connection, [template_id]).get(template_id, {})
    missing = [url for url in dict.fromkeys(urls) if url not in known]
    rows = [
        {"template_id": template_id, "number": number, "url": url}
        for number, url in enumerate(missing, len(known))
        if number < MAX_LINKS
    ]
    if rows:
        connection.execute(sa.insert(link), rows)


def numbers(connection: Connection, templates: Collection[str]) -> dict[str, dict[str, int]]:
    """Return the numbers of the links of templates: by template, then by address."""
    found: dict[str, dict[str, int]] = {key: {} for key in templates}
    query = sa.select(link).where(link.c.template_id == sa.any_(sa.cast(list(templates), _TEXTS)))
    for row in connection.execute(query):
        found[row.template_id][row.url] = row.number
    return found


def destination(connection: Connection, wanted: Link) -> str | None:
    """Return where a link of a message leads, with its origin's UTM parameters; None when nobody knows any more."""
    if wanted.url is not None:
        return wanted.url  # the parameters are in it
    row = connection.execute(
        sa.select(link.c.url, *_SETTINGS)
        .join(message, message.c.template_id == link.c.template_id)
        .outerjoin(link_settings, link_settings.c.origin == message.c.origin)
        .where(message.c.id == wanted.message_id, link.c.number == wanted.number)
    ).one_or_none()
    if row is None:
        return None
    if row.origin is None:
        return str(row.url)
    known = {name: value for name, value in row._mapping.items() if name != "url"}
    return add_utm(row.url, LinkSettings(**known))


def settings(connection: Connection, origins: Collection[str]) -> dict[str, LinkSettings]:
    """Return how the links of each origin are counted."""
    found = {origin: LinkSettings(origin=origin) for origin in origins}
    query = sa.select(*_SETTINGS).where(link_settings.c.origin == sa.any_(sa.cast(list(origins), _TEXTS)))
    found.update((row.origin, LinkSettings(**row._mapping)) for row in connection.execute(query))
    return found


def copy_settings(connection: Connection, origin: str, other: str) -> None:
    """Let the links of another origin be counted as those of the first, if anything was said of these."""
    names = [column.name for column in link_settings.c if column.name != "origin"]
    rows = sa.select(sa.literal(other, sa.Text), *(link_settings.c[name] for name in names)).where(
        link_settings.c.origin == origin
    )
    connection.execute(sa.insert(link_settings).from_select(["origin", *names], rows))


def save_settings(connection: Connection, item: LinkSettings, now: datetime) -> None:
    """Store how the links of an origin are counted."""
    values = {**asdict(item), "update_time": now}
    statement = pg.insert(link_settings).values(values)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["origin"],
            set_={name: statement.excluded[name] for name in values if name != "origin"},
        )
    )
