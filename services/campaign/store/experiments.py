"""Queries on experiments, their groups in the ledger and what these did, and on the global hold-out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Row
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.campaigns import CANCELLED, Campaign
from services.campaign.domain.experiments import (
    HELD_OUT,
    RELEASING,
    RUNNING,
    WAITING,
    Experiment,
    Group,
    HoldOut,
    Variant,
    share_of,
    variants_from_json,
    variants_to_json,
)
from services.campaign.domain.ledger import NO_ENTRY, PLANNED, SUPPRESSED
from services.campaign.domain.verdicts import Arm
from services.campaign.models import campaign as campaign_table
from services.campaign.models import experiment, hold_out, message
from services.campaign.store import purchases
from services.campaign.store.purchases import Bought

_PLAN = sa.text("""
INSERT INTO message (id, origin, lane, entry_id, step, contact_id, channel, topic, template_id, coupon_pool_id, state,
    reason, attempt_count, due_time, create_time, coupon_code, subject, provider_id, variant, tested)
SELECT item.id, :origin, :origin, :entry_id, 0, item.contact_id, item.channel, :topic, item.template_id,
    item.coupon_pool_id, item.state, item.reason, 0, item.due_time, :now, '', '', '', item.variant, item.tested
FROM unnest(CAST(:ids AS uuid[]), CAST(:contacts AS uuid[]), CAST(:channels AS text[]), CAST(:templates AS text[]),
    CAST(:pools AS text[]), CAST(:states AS text[]), CAST(:reasons AS text[]), CAST(:dues AS timestamptz[]),
    CAST(:variants AS text[]), CAST(:tested AS boolean[]))
    AS item (id, contact_id, channel, template_id, coupon_pool_id, state, reason, due_time, variant, tested)
ON CONFLICT DO NOTHING
RETURNING 1
""")

# Orders count from the moment on at which a message was due, as long as the window.
_BOUGHT = purchases.statement("""
    SELECT planned.variant, planned.contact_id, planned.start,
        least(planned.start + CAST(:window AS interval), CAST(:until AS timestamptz)) AS stop
    FROM (
        SELECT message.variant, message.contact_id,
            message.create_time + coalesce(delay.length, interval '0') AS start
        FROM message LEFT JOIN unnest(CAST(:variants AS text[]), CAST(:delays AS interval[]))
            AS delay (variant, length) ON delay.variant = message.variant
        WHERE message.origin = :origin AND message.tested AND message.contact_id IS NOT NULL
    ) AS planned
""")


def insert(connection: Connection, item: Experiment) -> bool:
    """Write a new experiment; False when the campaign has one."""
    values = {name: getattr(item, name) for name in Experiment.__dataclass_fields__}
    values["variants"] = variants_to_json(item.variants)
    statement = pg.insert(experiment).values(values).on_conflict_do_nothing(index_elements=["campaign_id"])
    return connection.execute(statement.returning(experiment.c.campaign_id)).first() is not None


def get(connection: Connection, campaign_id: str, *, lock: bool = False) -> Experiment | None:
    """Return the experiment of a campaign, or None; lock: until the transaction ends."""
    query = sa.select(experiment).where(experiment.c.campaign_id == campaign_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else _experiment(row)


def delete(connection: Connection, campaign_id: str) -> None:
    """Remove an experiment."""
    connection.execute(sa.delete(experiment).where(experiment.c.campaign_id == campaign_id))


def update(connection: Connection, item: Experiment) -> None:
    """Store how far an experiment is."""
    connection.execute(
        sa.update(experiment)
        .where(experiment.c.campaign_id == item.campaign_id)
        .values(
            state=item.state,
            end_time=item.end_time,
            winner=item.winner,
            decision=item.decision,
            decide_time=item.decide_time,
        )
    )


def due(connection: Connection, now: datetime) -> list[str]:
    """Return the campaigns whose experiment is to be decided, or whose winner is on its way to those who wait."""
    ended = sa.and_(
        experiment.c.state == RUNNING, experiment.c.end_time <= now, experiment.c.by_hand.is_(sa.false())
    )
    query = sa.select(experiment.c.campaign_id).where(sa.or_(ended, experiment.c.state == RELEASING))
    return sorted(connection.scalars(query))


def unfilled(connection: Connection) -> list[str]:
    """Return the cancelled campaigns whose experiments wait for a sample that nobody will complete."""
    query = (
        sa.select(experiment.c.campaign_id)
        .join(campaign_table, campaign_table.c.id == experiment.c.campaign_id)
        .where(
            experiment.c.state == RUNNING,
            experiment.c.end_time.is_(None),
            campaign_table.c.state == CANCELLED,
        )
    )
    return sorted(connection.scalars(query))


def planned_among(connection: Connection, origin: str, contacts: Sequence[UUID]) -> set[UUID]:
    """Return which of the contacts have a message of a campaign already."""
    query = sa.select(message.c.contact_id).where(
        message.c.origin == origin,
        message.c.entry_id == NO_ENTRY,
        message.c.step == 0,
        message.c.contact_id == sa.any_(sa.cast(list(contacts), pg.ARRAY(pg.UUID(as_uuid=True)))),
    )
    return set(connection.scalars(query))


def sizes(connection: Connection, origin: str) -> dict[str, int]:
    """Return how many contacts are in each group, by variant, "" for those held out."""
    query = (
        sa.select(message.c.variant, sa.func.count())
        .where(message.c.origin == origin, message.c.tested)
        .group_by(message.c.variant)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def plan_groups(
    connection: Connection,
    campaign: Campaign,
    ids: Sequence[UUID],
    contacts: Sequence[UUID],
    groups: Sequence[Group],
    now: datetime,
) -> int:
    """Write a row for each contact: its variant's, held out, or waiting. Those planned before keep theirs.

    Returns how many are new.
    """
    shares = [share_of(campaign, group, now) for group in groups]
    rows = connection.execute(
        _PLAN,
        {
            "origin": campaign.origin,
            "entry_id": NO_ENTRY,
            "topic": campaign.topic,
            "now": now,
            "ids": list(ids),
            "contacts": list(contacts),
            "channels": [item.channel for item in shares],
            "templates": [item.template_id for item in shares],
            "pools": [item.coupon_pool_id for item in shares],
            "states": [SUPPRESSED if item.held_out else PLANNED for item in shares],
            "reasons": [HELD_OUT if item.held_out else "" for item in shares],
            "dues": [item.due_time for item in shares],
            "variants": [item.variant for item in shares],
            "tested": [item.tested for item in shares],
        },
    )
    return len(rows.all())


def release(connection: Connection, campaign: Campaign, winner: Variant, now: datetime, limit: int) -> int:
    """Give the winner to those who wait, at most `limit`, and return how many."""
    chosen = (
        sa.select(message.c.id)
        .where(
            message.c.origin == campaign.origin,
            message.c.state == PLANNED,
            message.c.due_time == WAITING,
        )
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("chosen")
    )
    statement = (
        sa.update(message)
        .where(message.c.id == chosen.c.id)
        .values(
            variant=winner.id,
            channel=winner.channel or campaign.channel,
            template_id=winner.template_id or campaign.template_id,
            coupon_pool_id=winner.coupon_pool_id or campaign.coupon_pool_id,
            due_time=now,
        )
    )
    return connection.execute(statement).rowcount


def waiting(connection: Connection, origin: str) -> bool:
    """Tell whether anybody waits for the winner of a campaign."""
    there = sa.exists().where(
        message.c.origin == origin, message.c.state == PLANNED, message.c.due_time == WAITING
    )
    return bool(connection.execute(sa.select(there)).scalar())


def arms(connection: Connection, item: Experiment, until: datetime) -> list[Arm]:
    """Return what the groups did, variants in their order, then those held out; orders before `until` count."""
    origin = f"campaigns/{item.campaign_id}"
    members = connection.execute(
        sa.select(
            message.c.variant,
            sa.func.count().label("assigned"),
            sa.func.count().filter(message.c.state == "sent").label("sent"),
        )
        .where(message.c.origin == origin, message.c.tested)
        .group_by(message.c.variant)
    )
    sizes = {row.variant: (row.assigned, row.sent) for row in members}
    values = {
        "origin": origin,
        "window": item.window,
        "until": until,
        "variants": [variant.id for variant in item.variants],
        "delays": [variant.delay for variant in item.variants],
    }
    bought = purchases.bought(connection, _BOUGHT, values)
    keys = [*(variant.id for variant in item.variants), *([""] if item.hold_out_percent else [])]
    return [bought.get(key, Bought()).arm(key, *sizes.get(key, (0, 0))) for key in keys]


def get_hold_out(connection: Connection, *, lock: bool = False) -> HoldOut | None:
    """Return the global hold-out, or None when none was set."""
    query = sa.select(*(hold_out.c[name] for name in HoldOut.__dataclass_fields__))
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else HoldOut(**row._mapping)


def set_hold_out(connection: Connection, item: HoldOut) -> None:
    """Store the global hold-out."""
    values: dict[str, Any] = {name: getattr(item, name) for name in HoldOut.__dataclass_fields__}
    insert_ = pg.insert(hold_out).values(values)
    connection.execute(insert_.on_conflict_do_update(index_elements=["id"], set_=values))


def _experiment(row: Row[Any]) -> Experiment:
    values = dict(row._mapping)
    values["variants"] = variants_from_json(values["variants"])
    return Experiment(**values)
