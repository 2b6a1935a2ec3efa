"""Queries on what groups of contacts bought, whatever they got."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from services.campaign.domain.statistics import Amounts
from services.campaign.domain.verdicts import Arm, Spent

# A contact counts once, and an order with what was returned of it.
_BOUGHT = """
WITH arm AS MATERIALIZED (
    {groups}
), bought AS MATERIALIZED (
    SELECT arm.variant, arm.contact_id, ordered.currency,
        sum(ordered.amount - coalesce(returned.amount, 0)) AS amount
    FROM arm JOIN sale AS ordered ON ordered.contact_id = arm.contact_id AND ordered.kind = 'order'
        AND ordered.time >= arm.start AND ordered.time < arm.stop
    LEFT JOIN LATERAL (
        SELECT sum(sale.amount) AS amount FROM sale
        WHERE sale.kind = 'return' AND sale.order_id = ordered.id AND sale.currency = ordered.currency
    ) AS returned ON true
    GROUP BY arm.variant, arm.contact_id, ordered.currency
)
SELECT variant, currency, sum(amount) AS total, CAST(sum(amount * amount) AS double precision) AS squares,
    CAST(max(amount) AS double precision) AS largest, count(*) AS contacts, NULL AS converted
FROM bought GROUP BY variant, currency
UNION ALL
SELECT variant, '', 0, 0, 0, 0, count(DISTINCT contact_id) FROM bought GROUP BY variant
"""


@dataclass(slots=True)
class Bought:
    """Hold what a group bought: how many with an order, and by currency total, squares, largest and how many."""

    converted: int = 0
    spent: dict[str, tuple[Any, float, float, int]] = field(default_factory=dict)

    def arm(self, variant: str, assigned: int, sent: int = 0) -> Arm:
        """Return the group with all who are in it, those who bought nothing among them."""
        spent = {
            currency: Spent(total, Amounts(assigned, float(total), squares, largest), contacts)
            for currency, (total, squares, largest, contacts) in self.spent.items()
        }
        return Arm(variant, assigned, sent, self.converted, spent)


def statement(groups: str) -> sa.TextClause:
    """Return the query on groups. groups: a SELECT of variant, contact_id, start and stop, each contact once."""
    return sa.text(_BOUGHT.format(groups=groups))


def bought(connection: Connection, query: sa.TextClause, values: Mapping[str, Any]) -> dict[str, Bought]:
    """Return what groups bought, by variant; those who bought nothing are left out."""
    found: dict[str, Bought] = {}
    for row in connection.execute(query, values):
        item = found.setdefault(row.variant, Bought())
        if row.converted is not None:
            item.converted = row.converted
        else:
            item.spent[row.currency] = (row.total, float(row.squares), float(row.largest), row.contacts)
    return found
