"""Queries that evaluate a rule and store nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Select
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.sql.selectable import FromClause

from services.segmentation.models import profile
from services.segmentation.rules import CompiledRule


def count(
    connection: Connection, members: Select[Any], now: datetime, sample: int
) -> tuple[int, int, list[UUID]]:
    """Count the rows of a SELECT of contact_id, and all profiles; returns also some of the rows, always the same."""
    result = members.cte("result").prefix_with("MATERIALIZED", dialect="postgresql")
    # By a hash, or the sample would only ever show the oldest contacts.
    some = sa.select(result.c.contact_id).order_by(
        sa.func.uuid_hash(result.c.contact_id), result.c.contact_id
    )
    picked = some.limit(sample).subquery("some")
    row = connection.execute(
        sa.select(
            sa.select(sa.func.count()).select_from(result).scalar_subquery(),
            sa.select(sa.func.count()).select_from(profile).scalar_subquery(),
            sa.select(sa.func.array_agg(picked.c.contact_id)).scalar_subquery(),
        ),
        {"now": now},
    ).one()
    return row[0], row[1], list(row[2] or ())


def matching(
    connection: Connection,
    rule: CompiledRule,
    relation: FromClause,
    members: FromClause,
    contact_ids: Sequence[UUID],
    now: datetime,
) -> list[UUID]:
    """Return those of some contacts for whom a rule is TRUE, in order.

    relation, members: profiles and memberships, as CompiledRule.values_select takes them.
    """
    some = sa.any_(sa.cast(list(contact_ids), pg.ARRAY(pg.UUID(as_uuid=True))))
    values = rule.values_select([rule.ir], relation, members).where(relation.c.contact_id == some)
    return sorted(row[0] for row in connection.execute(values, {"now": now}) if row[1] is True)
