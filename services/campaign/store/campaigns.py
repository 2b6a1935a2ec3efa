"""Queries on campaigns."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.campaigns import CANCELLED, CONTENTS, RETRY, RUNNING, Campaign
from services.campaign.domain.ledger import CAMPAIGNS, PLANNED
from services.campaign.models import campaign, kit, message


def insert(connection: Connection, item: Campaign) -> bool:
    """Write a new campaign; False when there is one of that id."""
    values = {name: getattr(item, name) for name in campaign.columns.keys()}  # noqa: SIM118
    statement = pg.insert(campaign).values(values).on_conflict_do_nothing(index_elements=["id"])
    return connection.execute(statement.returning(campaign.c.id)).first() is not None


def get(connection: Connection, key: str, *, lock: bool = False, share: bool = False) -> Campaign | None:
    """Return a campaign, or None; lock: until the transaction ends; share: so that nobody changes it meanwhile."""
    query = sa.select(campaign).where(campaign.c.id == key)
    if lock or share:
        query = query.with_for_update(read=share)
    row = connection.execute(query).one_or_none()
    return None if row is None else Campaign(**row._mapping)


def retrying(connection: Connection, origins: Collection[str]) -> set[str]:
    """Return which of the origins may send again what is unknown: campaigns that say so, and all that are none."""
    prefix = f"{CAMPAIGNS}/"
    keys = [origin.removeprefix(prefix) for origin in origins if origin.startswith(prefix)]
    found = {origin for origin in origins if not origin.startswith(prefix)}
    if keys:
        wanted = campaign.c.id == sa.any_(sa.cast(keys, pg.ARRAY(sa.Text)))
        query = sa.select(campaign.c.id).where(wanted, campaign.c.unknown_policy == RETRY)
        found.update(prefix + key for key in connection.scalars(query))
    return found


def update(connection: Connection, item: Campaign) -> None:
    """Store the contents of a campaign."""
    values = {name: getattr(item, name) for name in CONTENTS}
    connection.execute(sa.update(campaign).where(campaign.c.id == item.id).values(values))


def page(connection: Connection, *, after: str, count: int, segment: str = "") -> list[Campaign]:
    """Return the next campaigns by id; segment: only those to it, empty for all."""
    query = sa.select(campaign).where(campaign.c.id > after).order_by(campaign.c.id).limit(count)
    if segment:
        query = query.where(campaign.c.segment == segment)
    return [Campaign(**row._mapping) for row in connection.execute(query)]


def set_state(connection: Connection, key: str, state: str, launch_time: datetime | None = None) -> None:
    """Store the state, and the time of the launch if given."""
    values: dict[str, Any] = {"state": state}
    if launch_time is not None:
        values["launch_time"] = launch_time
    connection.execute(sa.update(campaign).where(campaign.c.id == key).values(values))


def start(
    connection: Connection, key: str, state: str, now: datetime, recipient_local: datetime | None
) -> None:
    """Store that a campaign was launched by its schedule."""
    values = {"state": state, "launch_time": now, "recipient_local": recipient_local}
    connection.execute(sa.update(campaign).where(campaign.c.id == key).values(values))


def set_planned(connection: Connection, key: str) -> None:
    """Store that the audience is complete."""
    connection.execute(sa.update(campaign).where(campaign.c.id == key).values(planned=True))


def cancelled_with_planned(connection: Connection) -> list[str]:
    """Return the cancelled campaigns that have planned messages left."""
    origin = sa.literal("campaigns/") + campaign.c.id
    left = sa.exists().where(message.c.origin == origin, message.c.state == PLANNED)
    return list(connection.scalars(sa.select(campaign.c.id).where(campaign.c.state == CANCELLED, left)))


def evergreen(connection: Connection, segments: Collection[str]) -> list[Campaign]:
    """Return the running evergreen campaigns to some segments; nobody changes them until the transaction ends."""
    wanted = sa.any_(sa.cast(list(segments), pg.ARRAY(sa.Text)))
    query = sa.select(campaign).where(campaign.c.evergreen, campaign.c.segment == wanted)
    query = query.where(campaign.c.state.in_(RUNNING)).order_by(campaign.c.id).with_for_update(read=True)
    return [Campaign(**row._mapping) for row in connection.execute(query)]


def has_operation(connection: Connection, kind: str, request_id: str) -> bool:
    """Say whether a request id started an operation of a kind before."""
    table = kit.operation
    query = sa.select(table.c.id).where(table.c.kind == kind, table.c.request_id == request_id)
    return connection.execute(query).first() is not None
