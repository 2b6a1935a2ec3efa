"""RFM: score customers from 1 to 5 by recency, frequency and monetary value of their orders.

The quintile method of direct marketing (A. M. Hughes, "Strategic Database Marketing"): the customers who
bought in the window are sorted by each measure and cut into five groups of equal size, the best being 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rapport_sdk import Setting, SqlContext, Trait, hookimpl

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement


@hookimpl
def rapport_settings() -> list[Setting]:
    """Declare the window."""
    return [Setting("window_days", int, 365, doc="How far back orders count, in days of 24 hours.")]


@hookimpl
def rapport_traits() -> list[Trait]:
    """Declare the scores."""
    return [
        Trait(
            name="rfm.scores",
            columns={"rfm_recency": "int", "rfm_frequency": "int", "rfm_monetary": "int", "rfm_score": "int"},
            events=("order.placed",),
            value=scores,
            refresh=timedelta(hours=24),
            doc="quintiles of last order, number of orders and spend; rfm_score is their digits, 111 to 555",
        )
    ]


def scores(ctx: SqlContext) -> Mapping[str, ColumnElement[Any]]:
    """Express the scores: ntile(5) over those who bought in the window, unknown for all others.

    recency: by the time of the last order. frequency: by the number of orders. monetary: by the sum of their
    amounts, returns not deducted. Equal measures are ordered by contact id, so a rerun on the same data gives
    the same scores. With fewer than five customers the best of them gets a score equal to their number.
    """
    # Imported here, it is not waited for by all that load the plugin and never ask for SQL.
    from sqlalchemy import case, func

    days = ctx.settings["window_days"]
    if days < 1:
        raise ValueError(f"window_days is {days}: it must be 1 at least")
    orders = ctx.events("order.placed")
    recent = orders.where(orders.c.occurred_at > ctx.now - timedelta(days=days))
    total = recent.per_contact(
        last=func.max(orders.c.occurred_at),
        orders=func.count(),
        spent=func.coalesce(func.sum(orders.c.amount), 0),
    )
    bought = total.orders.is_not(None)

    def quintile(measure: ColumnElement[Any]) -> ColumnElement[Any]:
        order = (measure, ctx.profile.c.contact_id)
        return case((bought, func.ntile(5).over(partition_by=bought, order_by=order)))

    recency, frequency, monetary = quintile(total.last), quintile(total.orders), quintile(total.spent)
    return {
        "rfm_recency": recency,
        "rfm_frequency": frequency,
        "rfm_monetary": monetary,
        "rfm_score": recency * 100 + frequency * 10 + monetary,
    }
