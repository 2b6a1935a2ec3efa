"""One segment rule with a parameter, in SQL and in Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from rapport_sdk import (
    EvalContext,
    Parameter,
    Profile,
    PythonAnswer,
    SegmentRule,
    SqlAnswer,
    SqlContext,
    Timed,
    hookimpl,
)


@hookimpl
def rapport_segment_rules() -> list[SegmentRule]:
    """Declare `template.bought_lately(contact, days)`."""
    return [
        SegmentRule(
            name="template.bought_lately",
            returns="bool",
            parameters=(Parameter("days", "int", "How many days of 24 hours to look back."),),
            events=("order.placed",),
            value=bought_lately_in_sql,
            matches=bought_lately_in_python,
            doc="whether the contact placed an order in the last days",
        )
    ]


LONGEST = 36_500
"""Days, a hundred years: beyond, dates would leave what PostgreSQL and Python can hold."""


def period_of(days: int) -> timedelta:
    """Return the period; raises ValueError, which is shown to whoever saves the segment."""
    if not 1 <= days <= LONGEST:
        raise ValueError(f"days must be from 1 to {LONGEST}, not {days}")
    return timedelta(days=days)


def bought_lately_in_sql(ctx: SqlContext, params: Mapping[str, Any]) -> SqlAnswer:
    """Express the rule; this is what runs."""
    # Imported here, it is not waited for by all that load the plugin and never ask for SQL.
    from sqlalchemy import func

    period = period_of(params["days"])
    orders = ctx.events("order.placed")
    recent = orders.where(orders.c.occurred_at > ctx.now - period)
    found = recent.per_contact(newest=func.max(orders.c.occurred_at))
    # The newest order is the last to leave the period, and with it the answer changes.
    return Timed(found.newest.is_not(None), found.newest + period)


def bought_lately_in_python(
    ctx: EvalContext, params: Mapping[str, Any], profiles: Sequence[Profile]
) -> list[PythonAnswer]:
    """Compute the same; optional, and worth it: the test kit proves that both agree."""
    period = period_of(params["days"])
    answers: list[PythonAnswer] = []
    for profile in profiles:
        recent = [e.occurred_at for e in profile.events("order.placed") if e.occurred_at > ctx.now - period]
        answers.append(Timed(bool(recent), max(recent) + period if recent else None))
    return answers
