"""Queries on what was reported of messages, on what could not be read, and on how an origin does."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.delivery import SOFT_BOUNCED
from services.campaign.domain.interactions import CLICK, HUMAN, OPEN, PENDING, SCANNER, UNSUBSCRIBE
from services.campaign.models import channel, delivery_report, interaction, message, quarantine
from services.campaign.store.interactions import LEFT


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """Hold the message that a report is about. address_kind: of its channel, "email" when that is not known."""

    id: UUID
    contact_id: UUID | None
    origin: str
    channel: str
    topic: str
    recipient_hash: bytes | None
    address_kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Hold what was reported of a message."""

    id: UUID
    message_id: UUID
    contact_id: UUID | None
    origin: str
    kind: str
    reason: str
    time: datetime
    suppressed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """Hold a report that could not be read. content: its beginning; size: of the whole."""

    id: UUID
    source: str
    reason: str
    content: bytes
    size: int
    time: datetime


@dataclass(slots=True, kw_only=True)
class Engagement:
    """Hold counts of an origin. links: clicks and messages clicked in, by people, by the number of the link."""

    sent: int = 0
    reports: dict[str, int] = field(default_factory=dict)
    opens: int = 0
    unique_opens: int = 0
    clicks: int = 0
    unique_clicks: int = 0
    unsubscribed: int = 0
    scanner: int = 0
    pending: int = 0
    links: dict[int, tuple[int, int]] = field(default_factory=dict)


_REPORT = [delivery_report.c[name] for name in Report.__dataclass_fields__]
_QUARANTINED = [quarantine.c[name] for name in Quarantined.__dataclass_fields__]


def find(connection: Connection, key: UUID, *, lock: bool = False) -> Reported | None:
    """Return a message that left, or None; lock: until the transaction ends, so that its reports come one by one."""
    query = (
        sa.select(
            message.c.id,
            message.c.contact_id,
            message.c.origin,
            message.c.channel,
            message.c.topic,
            message.c.recipient_hash,
            sa.func.coalesce(channel.c.address_kind, "email").label("address_kind"),
        )
        .outerjoin(channel, channel.c.name == message.c.channel)
        .where(message.c.id == key, message.c.state.in_(LEFT))
    )
    row = connection.execute(query.with_for_update(of=message) if lock else query).one_or_none()
    return None if row is None else Reported(**row._mapping)


def known(connection: Connection, key: UUID, kind: str) -> bool:
    """Say whether something was reported of a message before."""
    found = sa.exists().where(delivery_report.c.message_id == key, delivery_report.c.kind == kind)
    return bool(connection.execute(sa.select(found)).scalar_one())


def add(connection: Connection, item: Report, recipient_hash: bytes | None) -> bool:
    """Write what was reported of a message, and say whether it was not before."""
    values = {name: getattr(item, name) for name in Report.__dataclass_fields__}
    statement = pg.insert(delivery_report).values({**values, "recipient_hash": recipient_hash})
    made = statement.on_conflict_do_nothing().returning(delivery_report.c.id)
    return connection.execute(made).scalar_one_or_none() is not None


def soft_bounces(connection: Connection, recipient_hash: bytes, since: datetime) -> int:
    """Return how many messages to an address soft-bounced since a time."""
    query = sa.select(sa.func.count()).where(
        delivery_report.c.recipient_hash == recipient_hash,
        delivery_report.c.kind == SOFT_BOUNCED,
        delivery_report.c.time > since,
    )
    return connection.execute(query).scalar_one()


def page(
    connection: Connection,
    *,
    message_id: UUID | None,
    origin: str,
    kind: str,
    before: UUID | None,
    count: int,
) -> list[Report]:
    """Return the next reports, newest first."""
    query = sa.select(*_REPORT).order_by(delivery_report.c.id.desc()).limit(count)
    if message_id is not None:
        query = query.where(delivery_report.c.message_id == message_id)
    if origin:
        query = query.where(delivery_report.c.origin == origin)
    if kind:
        query = query.where(delivery_report.c.kind == kind)
    if before is not None:
        query = query.where(delivery_report.c.id < before)
    return [Report(**row._mapping) for row in connection.execute(query)]


def put_in_quarantine(connection: Connection, item: Quarantined, most: int) -> bool:
    """Keep a report that could not be read, unless so many are kept already; returns whether it is."""
    number = connection.execute(
        sa.select(sa.func.count()).select_from(sa.select(quarantine.c.id).limit(most).subquery())
    ).scalar_one()
    if number >= most:
        return False
    values = {name: getattr(item, name) for name in Quarantined.__dataclass_fields__}
    connection.execute(sa.insert(quarantine).values(values))
    return True


def quarantine_page(connection: Connection, *, before: UUID | None, count: int) -> list[Quarantined]:
    """Return the next reports in quarantine, newest first."""
    query = sa.select(*_QUARANTINED).order_by(quarantine.c.id.desc()).limit(count)
    if before is not None:
        query = query.where(quarantine.c.id < before)
    return [Quarantined(**row._mapping) for row in connection.execute(query)]


def drop(connection: Connection, keys: Collection[UUID]) -> int:
    """Delete reports from quarantine and return how many there were."""
    return connection.execute(sa.delete(quarantine).where(quarantine.c.id.in_(list(keys)))).rowcount


def prune(connection: Connection, before: datetime) -> int:
    """Delete reports that have been in quarantine since before a time."""
    return connection.execute(sa.delete(quarantine).where(quarantine.c.time < before)).rowcount


def engagement(connection: Connection, origin: str) -> Engagement:
    """Return the counts of an origin, in four grouped queries."""
    found = Engagement()
    found.sent = connection.execute(
        sa.select(sa.func.count()).where(message.c.origin == origin, message.c.state == "sent")
    ).scalar_one()
    kinds = (
        sa.select(delivery_report.c.kind, sa.func.count())
        .where(delivery_report.c.origin == origin)
        .group_by(delivery_report.c.kind)
    )
    found.reports = {row[0]: row[1] for row in connection.execute(kinds)}
    kind, verdict, key = interaction.c.kind, interaction.c.verdict, interaction.c.message_id
    human, read = verdict == HUMAN, kind.in_((OPEN, CLICK))
    row = connection.execute(
        sa.select(
            sa.func.count().filter(human, kind == OPEN),
            sa.func.count(key.distinct()).filter(human, read),
            sa.func.count().filter(human, kind == CLICK),
            sa.func.count(key.distinct()).filter(human, kind == CLICK),
            sa.func.count(key.distinct()).filter(kind == UNSUBSCRIBE),
            sa.func.count().filter(verdict == SCANNER),
            sa.func.count().filter(verdict == PENDING),
        ).where(interaction.c.origin == origin)
    ).one()
    (
        found.opens,
        found.unique_opens,
        found.clicks,
        found.unique_clicks,
        found.unsubscribed,
        found.scanner,
        found.pending,
    ) = row
    links: Any = (
        sa.select(interaction.c.link, sa.func.count(), sa.func.count(key.distinct()))
        .where(interaction.c.origin == origin, human, kind == CLICK)
        .group_by(interaction.c.link)
        .order_by(interaction.c.link)
    )
    found.links = {item[0]: (item[1], item[2]) for item in connection.execute(links)}
    return found
