"""The figures that the demo must come to, counted from its records in plain Python, apart from all services.

An event counts when its time is not after `now`. It is within the last n days when it is at most
n × 86,400 s old.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from services.demo.records import Dataset, Sale, Visit


@dataclass(frozen=True, slots=True)
class BaseFigures:
    """Hold the figures of the past. revenue: of all orders, before returns."""

    customers: int
    orders: int
    returns: int
    lines_without_customer: int
    revenue: Decimal


def expected_base(dataset: Dataset) -> BaseFigures:
    """Count customers and sales."""
    orders = [sale for sale in dataset.sales if sale.kind == "order"]
    return BaseFigures(
        customers=len({person.number for person in dataset.people}),
        orders=len(orders),
        returns=len(dataset.sales) - len(orders),
        lines_without_customer=len(dataset.loose_lines),
        revenue=sum((sale.total for sale in orders), Decimal(0)),
    )


def expected_segments(sales: Iterable[Sale], visits: Iterable[Visit], now: datetime) -> dict[str, set[str]]:
    """Return the numbers of the customers in each of the five segments. Returns are no orders."""
    ordered: dict[str, list[datetime]] = defaultdict(list)
    for sale in sales:
        if sale.kind == "order" and sale.time <= now:
            ordered[sale.customer].append(sale.time)
    looked: dict[str, list[datetime]] = defaultdict(list)
    for visit in visits:
        if visit.time <= now:
            looked[visit.customer].append(visit.time)
    members: dict[str, set[str]] = {
        "browsers": set(),
        "lapsed": set(),
        "loyal": set(),
        "newcomers": set(),
        "repeat": set(),
    }
    for customer in ordered.keys() | looked.keys():
        for segment in _segments_of(ordered.get(customer, []), looked.get(customer, []), now):
            members[segment].add(customer)
    return members


def _segments_of(orders: list[datetime], visits: list[datetime], now: datetime) -> Iterable[str]:
    def within(times: list[datetime], days: int) -> list[datetime]:
        return [time for time in times if now - time <= timedelta(days=days)]

    recent_visits = within(visits, 30)
    # At least 3 visits within the last 30 days and no order after the first of them.
    if len(recent_visits) >= 3 and not any(time > min(recent_visits) for time in orders):
        yield "browsers"
    if not orders:
        return
    # Ordered before but not in the last 90 days.
    if not within(orders, 90):
        yield "lapsed"
    # At least 5 orders and one in the last 30 days.
    if len(orders) >= 5 and within(orders, 30):
        yield "loyal"
    # First order within the last 30 days.
    if within([min(orders)], 30):
        yield "newcomers"
    # At least 2 orders in the last 60 days.
    if len(within(orders, 60)) >= 2:
        yield "repeat"
