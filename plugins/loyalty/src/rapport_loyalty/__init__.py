"""Loyalty tiers by spend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from rapport_sdk import (
    EvalContext,
    Profile,
    PythonAnswer,
    SegmentRule,
    Setting,
    Settings,
    SqlAnswer,
    SqlContext,
    Timed,
    hookimpl,
)

PERIOD = timedelta(days=365)
TIERS = ("gold", "silver", "bronze")


@hookimpl
def rapport_settings() -> list[Setting]:
    """Declare the limits of the tiers."""
    return [
        Setting(
            f"{tier}_from",
            Decimal,
            default,
            doc=f"Least spend of {tier} in 365 days, in the business's currency.",
        )
        for tier, default in zip(TIERS, (Decimal(1000), Decimal(500), Decimal(100)), strict=True)
    ]


@hookimpl
def rapport_segment_rules() -> list[SegmentRule]:
    """Declare `loyalty.tier(contact)`."""
    return [
        SegmentRule(
            name="loyalty.tier",
            returns="string",
            events=("order.placed",),
            value=tier_in_sql,
            matches=tier_in_python,
            doc="gold, silver, bronze or none, by spend in the last 365 days",
        )
    ]


def limits(settings: Settings) -> list[tuple[str, Decimal]]:
    """Return each tier with its least spend, best first; raises ValueError when they are out of order."""
    found = [(tier, settings[f"{tier}_from"]) for tier in TIERS]
    amounts = [amount for _, amount in found]
    if amounts != sorted(amounts, reverse=True):
        listed = ", ".join(f"{tier}_from {amount}" for tier, amount in found)
        raise ValueError(
            f"settings out of order: {listed}; gold must not be below silver, nor silver below bronze"
        )
    return found


def tier_in_sql(ctx: SqlContext, params: Mapping[str, Any]) -> SqlAnswer:
    """Express the tier; time alone may change it when the oldest order in the period leaves the period."""
    # Imported here, it is not waited for by all that load the plugin and never ask for SQL.
    from sqlalchemy import case, func

    orders = ctx.events("order.placed")
    recent = orders.where(orders.c.occurred_at > ctx.now - PERIOD)
    total = recent.per_contact(spend=func.sum(orders.c.amount), oldest=func.min(orders.c.occurred_at))
    spend = func.coalesce(total.spend, 0)
    tier = case(*((spend >= least, name) for name, least in limits(ctx.settings)), else_="none")
    return Timed(tier, total.oldest + PERIOD)


def tier_in_python(
    ctx: EvalContext, params: Mapping[str, Any], profiles: Sequence[Profile]
) -> list[PythonAnswer]:
    """Compute the same as tier_in_sql for each profile."""
    tiers = limits(ctx.settings)
    answers: list[PythonAnswer] = []
    for profile in profiles:
        recent = [order for order in profile.events("order.placed") if order.occurred_at > ctx.now - PERIOD]
        spend = sum((order.amount for order in recent if order.amount is not None), Decimal(0))
        tier = next((name for name, least in tiers if spend >= least), "none")
        answers.append(Timed(tier, recent[0].occurred_at + PERIOD if recent else None))
    return answers
