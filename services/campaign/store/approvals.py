"""Queries on approvals and the policies that ask for them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.approvals import APPROVED, REQUESTED, WITHDRAWN, Approval, Policy
from services.campaign.domain.campaigns import RUNNING, SCHEDULED
from services.campaign.domain.journey_states import CANCELLED
from services.campaign.models import approval, approval_policy, campaign, journey, journey_entry


def set_policy(connection: Connection, policy: Policy) -> None:
    """Store a policy in the place of the one for its topic."""
    amount, currency = policy.budget_above or (None, "")
    values = {
        "topic": policy.topic,
        "always": policy.always,
        "audience_above": policy.audience_above,
        "budget_above": amount,
        "budget_currency": currency,
        "size_tolerance_percent": policy.size_tolerance_percent,
        "update_time": policy.update_time,
    }
    insert = pg.insert(approval_policy).values(values)
    connection.execute(insert.on_conflict_do_update(index_elements=["topic"], set_=values))


def delete_policy(connection: Connection, topic: str) -> None:
    """Remove the policy for a topic."""
    connection.execute(sa.delete(approval_policy).where(approval_policy.c.topic == topic))


def policies(connection: Connection) -> list[Policy]:
    """Return all policies by topic."""
    found = []
    for row in connection.execute(sa.select(approval_policy).order_by(approval_policy.c.topic)):
        values = dict(row._mapping)
        amount, currency = values.pop("budget_above"), values.pop("budget_currency")
        found.append(Policy(**values, budget_above=None if amount is None else (amount, currency)))
    return found


def insert(connection: Connection, item: Approval) -> None:
    """Write a request; the one that was open before is withdrawn. The row of what it is about must be locked."""
    connection.execute(
        sa.update(approval)
        .where(_about(item.origin), approval.c.state == REQUESTED)
        .values(state=WITHDRAWN, decide_time=item.request_time, decider=item.requester)
    )
    values = {name: getattr(item, name) for name in Approval.__dataclass_fields__}
    connection.execute(sa.insert(approval).values(values | {"subject": dict(item.subject)}))


def decide(connection: Connection, item: Approval) -> None:
    """Write what was decided on an open request."""
    connection.execute(
        sa.update(approval)
        .where(approval.c.id == item.id, approval.c.state == REQUESTED)
        .values(
            state=item.state,
            decider=item.decider,
            decision_comment=item.decision_comment,
            decide_time=item.decide_time,
        )
    )


def newest(connection: Connection, origin: str) -> Approval | None:
    """Return the last request for a campaign or journey, or None."""
    found = page(connection, origin=origin, state="", before=None, count=1)
    return found[0] if found else None


def _about(origin: str) -> sa.ColumnElement[bool]:
    kind, _, key = origin.partition("/")
    return (approval.c.campaign_id if kind == "campaigns" else approval.c.journey_id) == key


def page(
    connection: Connection, *, origin: str, state: str, before: UUID | None, count: int
) -> list[Approval]:
    """Return the next requests, newest first (ids rise with time); empty conditions let all pass."""
    query = sa.select(approval).order_by(approval.c.id.desc()).limit(count)
    conditions: list[Any] = []
    if origin:
        conditions.append(_about(origin))
    if state:
        conditions.append(approval.c.state == state)
    if before is not None:
        conditions.append(approval.c.id < before)
    return [Approval(**row._mapping) for row in connection.execute(query.where(*conditions))]


def bound_to_template(connection: Connection, template_id: str) -> list[str]:
    """Return the campaigns and journeys that were approved with a template and still send it, or are scheduled to."""
    sends = approval.c.subject.has_key(f"template:{template_id}")
    ahead = _campaigns(SCHEDULED, *RUNNING).where(sends)
    return sorted(connection.scalars(ahead.union(_journeys().where(sends))))


def is_running(connection: Connection, origin: str) -> bool:
    """Say whether a campaign, a run of it, or a journey was approved and still sends."""
    kind, _, key = origin.partition("/")
    if kind == "campaigns":
        query = _campaigns(*RUNNING).where(sa.or_(campaign.c.id == key, campaign.c.series == key))
    else:
        query = _journeys().where(journey.c.id == key)
    return connection.execute(query.limit(1)).first() is not None


def _campaigns(*states: str) -> sa.Select[str]:
    later = approval.alias("later")
    newer = (
        sa.exists()
        .where(
            later.c.campaign_id == approval.c.campaign_id,
            later.c.state == APPROVED,
            later.c.id > approval.c.id,
        )
        .correlate(approval)
    )
    # What was approved before a draft was changed binds nobody. The runs of a recurring campaign were approved with it,
    # and may send yet what it was then.
    own = sa.and_(approval.c.campaign_id == campaign.c.id, ~newer)
    approved = sa.and_(approval.c.state == APPROVED, sa.or_(own, approval.c.campaign_id == campaign.c.series))
    name = sa.literal("campaigns/") + campaign.c.id
    query = sa.select(name).select_from(campaign.join(approval, approved))
    return query.where(campaign.c.state.in_(states)).distinct()


def _journeys() -> sa.Select[str]:
    on_it = sa.exists().where(
        journey_entry.c.journey_id == journey.c.id, journey_entry.c.finish_time.is_(None)
    )
    approved = sa.and_(approval.c.state == APPROVED, approval.c.journey_id == journey.c.id)
    name = sa.literal("journeys/") + journey.c.id
    sends = sa.and_(journey.c.state != CANCELLED, sa.or_(journey.c.active, on_it))
    return sa.select(name).join(approval, approved).where(sends).distinct()
