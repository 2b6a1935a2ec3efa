"""Figures of care."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from services.care.domain.cases import ACTIVE, Case, CaseState
from services.care.models import case
from services.care.store.scoping import visible
from services.kit.access.scope import Scope


@dataclass(frozen=True, slots=True)
class Figures:
    """Hold the figures; mean_score is 0 without answers."""

    opened: int
    resolved: int
    breached: int
    unassigned: int
    answers: int
    mean_score: float


def summary(connection: Connection, scope: Scope) -> Figures:
    """Count the cases within a scope."""
    count = sa.func.count()
    row = connection.execute(
        sa.select(
            count,
            count.filter(case.c.state.in_((CaseState.RESOLVED, CaseState.CLOSED))),
            count.filter(sa.or_(case.c.first_response_breached, case.c.resolution_breached)),
            count.filter(case.c.assignee.is_(None), case.c.state.in_(ACTIVE)),
            sa.func.count(case.c.csat_score),
            sa.func.coalesce(sa.func.avg(case.c.csat_score), 0),
        )
        .select_from(case)
        .where(visible(scope))
    ).one()
    opened, resolved, breached, unassigned, answers, mean = row
    return Figures(opened, resolved, breached, unassigned, answers, float(mean))


def record_score(connection: Connection, item: Case, score: int, comment: str, now: datetime) -> bool:
    """Keep the customer's answer to how it was; False when it is the one that is kept already."""
    statement = (
        sa.update(case)
        .where(case.c.id == item.id)
        .where(sa.or_(case.c.csat_score.is_distinct_from(score), case.c.csat_comment != comment))
        .values(
            csat_score=score,
            csat_comment=comment,
            csat_time=now,
            revision=case.c.revision + 1,
            update_time=now,
        )
    )
    return connection.execute(statement).rowcount == 1
