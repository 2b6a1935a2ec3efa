"""The generated shop, the live orders, and the figures counted from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.demo.expect import expected_base, expected_segments
from services.demo.generate import generate
from services.demo.live import live_orders, newest_prices
from services.demo.people import latin
from services.demo.records import Dataset, Sale, SaleLine, Visit

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def shop() -> Dataset:
    return generate(seed=1, customers=2000)


def test_the_same_seed_gives_the_same_shop() -> None:
    assert generate(seed=7, customers=50) == generate(seed=7, customers=50)
    assert generate(seed=7, customers=50) != generate(seed=8, customers=50)


def test_the_shop_has_the_size_of_a_demo(shop: Dataset) -> None:
    base = expected_base(shop)
    assert base.customers == 2000
    assert 9_000 < base.orders < 11_000
    assert 300 < base.returns < 1_000
    assert 18_000 < len(shop.visits) < 22_000


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), customers=st.integers(5, 60))
def test_every_segment_has_members_whatever_is_drawn(seed: int, customers: int) -> None:
    shop = generate(seed=seed, customers=customers)
    assert all(expected_segments(shop.sales, shop.visits, shop.now).values())


def test_records_name_each_other_and_nothing_twice(shop: Dataset) -> None:
    people = {person.number for person in shop.people}
    codes = {item.code for item in shop.items}
    assert len(people) == len({person.email for person in shop.people}) == len(shop.people)
    assert len({sale.number for sale in shop.sales}) == len(shop.sales)
    assert len({visit.number for visit in shop.visits}) == len(shop.visits)
    assert {sale.customer for sale in shop.sales} | {visit.customer for visit in shop.visits} <= people
    assert {line.code for sale in shop.sales for line in sale.lines} <= codes
    assert {item.category for item in shop.items} == {"shoes", "bags", "clothes", "home", "food"}
    assert all(line.quantity > 0 and line.unit_price > 0 for sale in shop.sales for line in sale.lines)


def test_everything_happened_within_the_year_and_in_order(shop: Dataset) -> None:
    for times in ([sale.time for sale in shop.sales], [visit.time for visit in shop.visits]):
        assert times == sorted(times)
        assert shop.now - timedelta(days=366) < times[0] < shop.now - timedelta(days=300)
        assert shop.now - timedelta(days=2) < times[-1] <= shop.now - timedelta(hours=1)


def test_returns_bring_back_what_the_customer_bought_before(shop: Dataset) -> None:
    orders = {sale.number: sale for sale in shop.sales if sale.kind == "order"}
    returns = [sale for sale in shop.sales if sale.kind == "return"]
    assert returns
    for back in returns:
        order = orders[back.number.replace("R", "O")]
        assert order.customer == back.customer
        assert order.time < back.time
        [line] = back.lines
        assert (line.code, line.unit_price) in {(item.code, item.unit_price) for item in order.lines}


def test_people_are_of_four_regions_and_of_all_minds(shop: Dataset) -> None:
    regions = Counter(person.region_code for person in shop.people)
    assert regions.keys() == {"VN", "CN", "GB", "US"}
    assert min(regions.values()) > 100
    consents = Counter(person.consent for person in shop.people)
    assert consents[True] > consents[False] > 50
    assert consents[None] > 50
    assert {person.language_code for person in shop.people} == {"vi", "zh", "en"}
    assert all(
        person.locality and person.administrative_area and person.sublocality for person in shop.people
    )


def test_names_stand_in_the_order_of_their_language(shop: Dataset) -> None:
    for person in shop.people:
        shown = person.display_name
        if person.language_code == "zh":
            assert shown == person.family_name + person.given_name
        elif person.language_code == "vi":
            assert shown.startswith(f"{person.family_name} ")
            assert shown.endswith(f" {person.given_name}")
            assert len(shown.split()) == 3
        else:
            assert shown == f"{person.given_name} {person.family_name}"
        assert person.email.isascii()
        assert person.email.endswith("@example.test")


def test_people_are_grown_up(shop: Dataset) -> None:
    today = shop.now.date()
    births = [person.birth_date for person in shop.people if person.birth_date]
    assert 0.8 < len(births) / len(shop.people) < 1
    assert all(18 <= (today - born).days / 365.2425 < 79 for born in births)


def test_phone_numbers_are_valid_unique_and_of_their_region() -> None:
    people = [person for person in generate(seed=2, customers=6000).people if person.phone]
    assert len({person.phone for person in people}) == len(people)
    for person in people:
        number = phonenumbers.parse(person.phone)
        assert phonenumbers.is_valid_number(number), person.phone
        wanted = {84: "VN", 86: "CN", 44: "GB", 1: "US"}[number.country_code or 0]
        assert person.region_code == wanted


def test_latin_spelling() -> None:
    assert [latin(name) for name in ("Đặng", "Ánh", "Quỳnh", "wang")] == ["dang", "anh", "quynh", "wang"]


def test_live_orders_are_repeatable_and_end_now(shop: Dataset) -> None:
    orders = list(live_orders(shop, count=100, seed=3))
    assert orders == list(live_orders(shop, count=100, seed=3))
    assert orders != list(live_orders(shop, count=100, seed=4))
    assert len({order.number for order in orders}) == len({order.customer for order in orders}) == 100
    assert [order.time for order in orders] == [
        shop.now - timedelta(seconds=99 - index) for index in range(100)
    ]
    assert max(sale.time for sale in shop.sales) < orders[0].time
    prices = newest_prices(shop)
    for order in orders:
        assert order.kind == "order"
        assert all(line.unit_price == prices[line.code] and line.quantity > 0 for line in order.lines)


def test_live_orders_of_few_customers_come_around() -> None:
    shop = generate(seed=1, customers=6)
    customers = Counter(order.customer for order in live_orders(shop, count=13, seed=1))
    assert set(customers.values()) == {2, 3}
    with pytest.raises(ValueError, match="sold before"):
        list(live_orders(Dataset("empty", NOW, "UTC", "GBP"), count=1, seed=1))


def test_the_newest_price_is_taken_and_gifts_are_not() -> None:
    def sold(days: int, price: str, kind: str = "order") -> Sale:
        line = SaleLine("A", Decimal(1), Decimal(price))
        return Sale(
            "return" if kind == "return" else "order", f"{days}", "1", NOW - timedelta(days=days), (line,)
        )

    shop = Dataset(
        "s", NOW, "UTC", "GBP", sales=[sold(1, "0"), sold(2, "5"), sold(3, "4"), sold(0, "9", "return")]
    )
    assert newest_prices(shop) == {"A": Decimal(5)}


def segments(orders: Sequence[float], visits: Sequence[float], returns: Sequence[float] = ()) -> set[str]:
    """Return the segments of one customer by the ages of its events in days."""

    def sales(kind: str, ages: Sequence[float]) -> list[Sale]:
        return [
            Sale("return" if kind == "return" else "order", f"{kind}{n}", "x", NOW - timedelta(days=age), ())
            for n, age in enumerate(ages)
        ]

    looks = [Visit(f"v{n}", "x", NOW - timedelta(days=age), "/", 1) for n, age in enumerate(visits)]
    found = expected_segments(sales("order", orders) + sales("return", returns), looks, NOW)
    return {name for name, members in found.items() if members}


@pytest.mark.parametrize(
    ("orders", "visits", "wanted"),
    [
        ([], [], set()),
        ([], [1, 2], set()),
        ([], [1, 2, 30], {"browsers"}),
        ([], [1, 2, 30.00001], set()),
        ([100], [1, 2, 3], {"browsers", "lapsed"}),
        ([3], [1, 2, 3], {"browsers", "newcomers"}),
        ([2.9], [1, 2, 3], {"newcomers"}),
        # The first visit within the window counts, not the first of all.
        ([35], [1, 2, 3, 40], {"browsers"}),
        ([90], [], set()),
        ([90.00001], [], {"lapsed"}),
        ([30], [], {"newcomers"}),
        ([30.00001], [], set()),
        ([60, 31], [], {"repeat"}),
        ([60.00001, 31], [], set()),
        ([1, 200, 201, 202], [], set()),
        ([30, 200, 201, 202, 203], [], {"loyal"}),
        ([30.00001, 200, 201, 202, 203], [], set()),
        ([1, 2, 3, 4, 5], [], {"loyal", "newcomers", "repeat"}),
        # What lies ahead is not seen yet.
        ([-0.00001, 100], [], {"lapsed"}),
        ([0], [], {"newcomers"}),
    ],
)
def test_segments_worked_by_hand(orders: list[float], visits: list[float], wanted: set[str]) -> None:
    assert segments(orders, visits) == wanted


def test_returns_are_no_orders() -> None:
    assert segments([100], [], returns=[1, 2]) == {"lapsed"}
    assert segments([], [], returns=[1, 2]) == set()
