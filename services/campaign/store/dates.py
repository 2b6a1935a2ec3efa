"""Queries on the dates of contacts that start journeys."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.triggers import DATE_REACHED
from services.campaign.models import contact_date, date_attribute, journey


@dataclass(frozen=True, slots=True)
class Known:
    """Hold a date of a contact; value: None for none; revision: of the contact as told, 0 as read."""

    attribute: str
    contact_id: UUID
    value: date | None
    time_zone: str
    revision: int


def want(connection: Connection, attribute: str, now: datetime) -> None:
    """Let the dates of an attribute be known from now on; the worker reads those of the contacts that there are."""
    values = {"attribute": attribute, "page_token": "", "filled": False, "create_time": now}
    connection.execute(pg.insert(date_attribute).values(values).on_conflict_do_nothing())


def wanted(connection: Connection) -> list[str]:
    """Return the attributes whose dates are to be known."""
    return list(connection.scalars(sa.select(date_attribute.c.attribute)))


def learn(connection: Connection, known: Sequence[Known]) -> None:
    """Store dates; what was told with a later revision stays, and what was told is not replaced by what was read."""
    last = {(item.attribute, item.contact_id): item for item in sorted(known, key=lambda item: item.revision)}
    if not last:
        return
    rows = [
        {
            "attribute": item.attribute,
            "contact_id": item.contact_id,
            "value": item.value,
            "month_day": None if item.value is None else item.value.month * 100 + item.value.day,
            "time_zone": item.time_zone,
            "revision": item.revision,
        }
        for _, item in sorted(last.items())
    ]
    insert = pg.insert(contact_date)
    names = ("value", "month_day", "time_zone", "revision")
    statement = insert.on_conflict_do_update(
        index_elements=["attribute", "contact_id"],
        set_={name: insert.excluded[name] for name in names},
        where=contact_date.c.revision < insert.excluded.revision,
    )
    connection.execute(statement, rows)


def unfilled(connection: Connection) -> list[tuple[str, str]]:
    """Return the attributes whose contacts are not all read, with the token of the next page."""
    query = sa.select(date_attribute.c.attribute, date_attribute.c.page_token)
    return [(row[0], row[1]) for row in connection.execute(query.where(~date_attribute.c.filled))]


def read_on(connection: Connection, attribute: str, token: str) -> None:
    """Store how far the contacts were read; an empty token: to the end."""
    connection.execute(
        sa.update(date_attribute)
        .where(date_attribute.c.attribute == attribute)
        .values(page_token=token, filled=token == "")
    )


def dated_journeys(connection: Connection) -> list[str]:
    """Return the active journeys that dates start."""
    query = sa.select(journey.c.id).where(journey.c.active, journey.c.event_type == DATE_REACHED)
    return list(connection.scalars(query.order_by(journey.c.id)))


def fired_until(connection: Connection, key: str) -> tuple[bool, datetime | None]:
    """Return whether a journey, which the caller has locked, is active, and up to when dates have started it."""
    query = sa.select(journey.c.active, journey.c.fired_time).where(journey.c.id == key)
    row = connection.execute(query).one()
    return row[0], row[1]


def set_fired(connection: Connection, key: str, until: datetime) -> None:
    """Store up to when dates have started a journey."""
    connection.execute(sa.update(journey).where(journey.c.id == key).values(fired_time=until))


_ZONES = sa.text("""
WITH RECURSIVE zone AS (
    (SELECT time_zone FROM contact_date ORDER BY time_zone LIMIT 1)
    UNION ALL
    SELECT (SELECT time_zone FROM contact_date WHERE time_zone > zone.time_zone ORDER BY time_zone LIMIT 1)
    FROM zone WHERE zone.time_zone IS NOT NULL
)
SELECT time_zone FROM zone WHERE time_zone IS NOT NULL
""")


def zones(connection: Connection) -> list[str]:
    """Return the time zones of contacts with dates; "" where none is known."""
    return list(connection.scalars(_ZONES))


def having(
    connection: Connection, attribute: str, zone_names: Collection[str], *, day: date, yearly: Sequence[int]
) -> list[tuple[UUID, date]]:
    """Return the contacts in some zones whose date is a day, or comes round on it.

    yearly: the 100 × month + day that count; empty: the day itself alone. Dates to come have no anniversary yet.
    """
    row = contact_date.c
    query = sa.select(row.contact_id, row.value).where(
        row.attribute == attribute, row.time_zone == sa.any_(sa.cast(list(zone_names), pg.ARRAY(sa.Text)))
    )
    if yearly:
        query = query.where(row.month_day == sa.any_(sa.cast(list(yearly), pg.ARRAY(sa.SmallInteger))))
        query = query.where(row.value <= day)
    else:
        query = query.where(row.value == day)
    return [(found[0], found[1]) for found in connection.execute(query.order_by(row.contact_id))]
