"""Orders that arrive while the demo runs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

from services.demo.records import Dataset, Sale, SaleLine

_MOST_LINES = 4
_MOST_PIECES = 3


def live_orders(dataset: Dataset, *, count: int, seed: int) -> Iterator[Sale]:
    """Yield orders that follow one another by a second, the last at the dataset's time.

    Each is of another customer, as far as there are enough; goods and prices are such as were sold before.
    The same dataset, count and seed give the same orders. Raises ValueError for a dataset in which nothing
    was sold.
    """
    draw = random.Random(seed)
    prices = newest_prices(dataset)
    if not prices or not dataset.people:
        raise ValueError("live orders need customers, and goods that were sold before")
    codes = sorted(prices)
    customers = [person.number for person in dataset.people]
    for index in range(count):
        if index % len(customers) == 0:
            draw.shuffle(customers)
        chosen = draw.sample(codes, min(draw.randint(1, _MOST_LINES), len(codes)))
        lines = [SaleLine(code, Decimal(draw.randint(1, _MOST_PIECES)), prices[code]) for code in chosen]
        yield Sale(
            "order",
            f"live-{index + 1:05}",
            customers[index % len(customers)],
            dataset.now - timedelta(seconds=count - 1 - index),
            tuple(lines),
        )


def newest_prices(dataset: Dataset) -> dict[str, Decimal]:
    """Return the price of each code in the newest order that was not a gift."""
    newest: dict[str, Decimal] = {}
    for sale in sorted(dataset.sales, key=lambda sale: sale.time):
        if sale.kind == "order":
            newest.update((line.code, line.unit_price) for line in sale.lines if line.unit_price > 0)
    return newest
