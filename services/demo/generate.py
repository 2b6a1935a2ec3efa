"""A shop that never was: one year of customers, visits, orders and returns, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from services.demo.people import person
from services.demo.records import Dataset, Item, Sale, SaleLine, Visit

NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
"""Nine in the morning in Ho Chi Minh City, where the shop is."""
TIME_ZONE = "Asia/Ho_Chi_Minh"
CURRENCY = "VND"

_DAY = 86_400
_YEAR = 365 * _DAY
_RETURNED = 0.06
# Nothing happens in the last hour, so that what the demo does live comes after all of this.
_LAST = 3_600

_CATEGORIES: dict[str, tuple[str, tuple[str, ...], tuple[int, int]]] = {
    "shoes": ("SH", ("Sneaker", "Boot", "Sandal", "Loafer", "Runner", "Slipper"), (290, 1_900)),
    "bags": ("BG", ("Tote", "Backpack", "Wallet", "Belt bag", "Suitcase"), (150, 2_400)),
    "clothes": ("CL", ("T-shirt", "Áo dài", "Jacket", "Jeans", "Dress", "Scarf"), (120, 1_500)),
    "home": ("HM", ("Lantern", "Tea set", "Cushion", "Lamp", "Vase", "Blanket"), (60, 900)),
    "food": ("FD", ("Coffee", "Green tea", "Lotus seed", "Pepper", "Chilli sauce"), (35, 400)),
}
_COLOURS = ("red", "blue", "black", "natural")


@dataclass(frozen=True, slots=True)
class Habit:
    """How a kind of customer behaves.

    share: of all customers; orders: draws how many seconds before now each order was placed; visits: draws
    the same for visits, given the orders.
    """

    name: str
    share: int
    orders: Callable[[random.Random], list[int]]
    visits: Callable[[random.Random, list[int]], list[int]]


def generate(*, seed: int, customers: int = 2000, now: datetime = NOW) -> Dataset:
    """Make a dataset of so many customers, with about 5 orders and 10 visits each.

    Ages are drawn so that each of the five segments has members as soon as there are 5 customers.
    """
    draw = random.Random(seed)
    items, prices = _goods()
    dataset = Dataset("generated-shop", now, TIME_ZONE, CURRENCY, items=items)
    shares = [habit.share for habit in HABITS]
    orders: list[tuple[int, str]] = []
    visits: list[tuple[int, str]] = []
    for index in range(customers):
        someone = person(draw, index + 1, now.date())
        dataset.people.append(someone)
        # The first of all have each habit once, however few they are.
        [habit] = HABITS[index : index + 1] or draw.choices(HABITS, shares)
        ages = habit.orders(draw)
        orders += [(age, someone.number) for age in ages]
        visits += [(age, someone.number) for age in habit.visits(draw, ages)]
    codes = [item.code for item in items]
    dataset.sales = _sales(draw, sorted(orders, reverse=True), codes, prices, now)
    dataset.visits = [
        Visit(
            f"V{number:07}", customer, now - timedelta(seconds=age), _page(draw, codes), draw.randint(2, 600)
        )
        for number, (age, customer) in enumerate(sorted(visits, reverse=True), start=1)
    ]
    return dataset


def _goods() -> tuple[list[Item], dict[str, Decimal]]:
    """Return the goods and their prices, which do not depend on the seed."""
    items, prices = [], {}
    for category, (prefix, kinds, (low, high)) in _CATEGORIES.items():
        draw = random.Random(prefix)
        for index, (kind, colour) in enumerate((kind, colour) for kind in kinds for colour in _COLOURS):
            code = f"{prefix}-{index + 1:03}"
            items.append(Item(code, f"{kind}, {colour}", category))
            prices[code] = Decimal(draw.randrange(low, high) * 1000)
    return items, prices


def _sales(
    draw: random.Random,
    orders: list[tuple[int, str]],
    codes: list[str],
    prices: dict[str, Decimal],
    now: datetime,
) -> list[Sale]:
    """Return orders with their goods, and some of these brought back, by time."""
    sales = []
    for number, (age, customer) in enumerate(orders, start=1):
        bought = draw.sample(codes, draw.choices((1, 2, 3, 4, 5), (40, 30, 15, 10, 5))[0])
        lines = [
            SaleLine(code, Decimal(draw.choices((1, 2, 3), (8, 2, 1))[0]), prices[code]) for code in bought
        ]
        order = Sale("order", f"O{number:06}", customer, now - timedelta(seconds=age), tuple(lines))
        sales.append(order)
        back = age - draw.randint(2 * _DAY, 14 * _DAY)
        if draw.random() < _RETURNED and back > _LAST:
            line = draw.choice(lines)
            sales.append(
                Sale(
                    "return",
                    f"R{number:06}",
                    customer,
                    now - timedelta(seconds=back),
                    (SaleLine(line.code, Decimal(1), line.unit_price),),
                )
            )
    return sorted(sales, key=lambda sale: (sale.time, sale.number))


def _page(draw: random.Random, codes: list[str]) -> str:
    chance = draw.random()
    if chance < 0.2:
        return "/"
    if chance < 0.4:
        return f"/{draw.choice(list(_CATEGORIES))}"
    return f"/goods/{draw.choice(codes)}"


def _ages(draw: random.Random, count: int, newest: int, oldest: int) -> list[int]:
    """Draw ages in seconds between two days, never within the last hour."""
    return [draw.randint(max(newest * _DAY, _LAST), oldest * _DAY) for _ in range(count)]


def _loyal(draw: random.Random) -> list[int]:
    return _ages(draw, 1, 0, 28) + _ages(draw, draw.randint(5, 16), 2, 360)


def _repeating(draw: random.Random) -> list[int]:
    return _ages(draw, draw.randint(2, 3), 0, 58) + _ages(draw, draw.randint(0, 4), 60, 360)


def _new(draw: random.Random) -> list[int]:
    return _ages(draw, draw.randint(1, 2), 0, 29)


def _lapsed(draw: random.Random) -> list[int]:
    return _ages(draw, draw.randint(1, 9), 92, 364)


def _occasional(draw: random.Random) -> list[int]:
    return _ages(draw, 1, 31, 88) + _ages(draw, draw.randint(1, 5), 62, 364)


def _looking(draw: random.Random) -> list[int]:
    return _ages(draw, draw.choice((0, 0, 1, 3)), 45, 364)


def _before_orders(draw: random.Random, orders: list[int]) -> list[int]:
    """Look around before each order, and at any other time of the year."""
    ahead = [
        min(age + draw.randint(60, 3 * _DAY), _YEAR) for age in orders for _ in range(draw.randint(0, 2))
    ]
    return ahead + _ages(draw, draw.randint(1, 7), 0, 365)


def _long_ago(draw: random.Random, orders: list[int]) -> list[int]:
    """Look around as long as there were orders, and hardly since."""
    ahead = [
        min(age + draw.randint(60, 3 * _DAY), _YEAR) for age in orders for _ in range(draw.randint(0, 2))
    ]
    return ahead + _ages(draw, draw.randint(0, 4), 31, 365)


def _often(draw: random.Random, orders: list[int]) -> list[int]:
    return _ages(draw, draw.randint(3, 18), 0, 29) + _ages(draw, draw.randint(0, 8), 31, 360)


HABITS = (
    Habit("loyal", 16, _loyal, _before_orders),
    Habit("repeating", 14, _repeating, _before_orders),
    Habit("new", 12, _new, _before_orders),
    Habit("lapsed", 26, _lapsed, _long_ago),
    Habit("looking", 16, _looking, _often),
    Habit("occasional", 16, _occasional, _before_orders),
)
