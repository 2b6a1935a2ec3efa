"""Coupons: codes that cannot be guessed or mistyped into another's, and one redemption each, whoever comes at once."""

from __future__ import annotations

import contextlib
from collections import Counter
from concurrent import futures
from datetime import timedelta
from functools import partial
from itertools import pairwise
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from hypothesis import assume, given
from hypothesis import strategies as st
from rapport.campaign.v1 import events_pb2
from rapport.events.v1.events_pb2 import Event
from rapport.sales.v1 import events_pb2 as sales_events

from services.campaign.domain.coupons import ALPHABET, Coupon, check_character, key_of, new_code
from services.campaign.models import kit
from services.campaign.store import coupons as store
from services.campaign.usecases import coupons
from services.kit.bus.batch import EventBatch
from services.kit.errors import FailedPrecondition, NotFound, RapportError
from services.kit.names import new_id
from services.kit.runtime import Runtime
from services.kit.wire import to_timestamp
from tests.support.campaign import NOW, clock_of, make_pool

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
bodies = st.text(CROCKFORD, min_size=13, max_size=13)
prefixes = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", max_size=10)


@pytest.fixture(scope="module")
def codes() -> list[str]:
    """A hundred thousand codes without a prefix."""
    return [new_code("") for _ in range(100_000)]


def test_codes_differ(codes: list[str]) -> None:
    assert len(set(codes)) == len(codes)
    assert len({key_of(code) for code in codes}) == len(codes)


def test_codes_hold_only_characters_that_people_do_not_confuse(codes: list[str]) -> None:
    assert ALPHABET == CROCKFORD
    assert {len(code) for code in codes} == {14}
    assert set("".join(codes)) == set(CROCKFORD)
    assert not set("".join(codes)) & set("ILOU")


def test_each_place_of_a_code_is_random_on_its_own(codes: list[str]) -> None:
    expected = len(codes) / len(CROCKFORD)
    for place in range(13):
        counts = Counter(code[place] for code in codes)
        # Eight standard deviations: chance does not get there, a bias does.
        assert max(abs(counts[character] - expected) for character in CROCKFORD) < 8 * expected**0.5
    for place in range(12):
        pairs = Counter((code[place], code[place + 1]) for code in codes)
        each = len(codes) / len(CROCKFORD) ** 2
        assert max(pairs.values()) < each + 8 * each**0.5


def test_the_order_of_codes_tells_nothing(codes: list[str]) -> None:
    rises = sum(first < second for first, second in pairwise(codes))
    # Neighbours rise in half of the cases; the deviation for that is about 91.
    assert abs(rises - len(codes) / 2) < 800


@given(prefixes)
def test_a_code_begins_with_its_prefix_and_is_known_again(prefix: str) -> None:
    code = new_code(prefix)
    assert code.startswith(prefix)
    assert len(code) == len(prefix) + 14
    assert key_of(code) is not None


@given(prefixes, bodies, st.data())
def test_how_a_code_is_typed_does_not_matter(prefix: str, body: str, data: st.DataObject) -> None:
    code = prefix + body + check_character(body)
    typed = "".join(
        data.draw(st.sampled_from({"0": "0Oo", "1": "1IiLl"}.get(character, character + character.lower())))
        + data.draw(st.sampled_from(["", "", "", " ", "-", "\t"]))
        for character in code
    )
    assert key_of(typed) == key_of(code)


@given(bodies, st.integers(0, 13), st.sampled_from(CROCKFORD))
def test_one_wrong_character_is_noticed(body: str, place: int, other: str) -> None:
    code = body + check_character(body)
    assume(code[place] != other)
    assert key_of(code[:place] + other + code[place + 1 :]) is None


@given(bodies, st.integers(0, 12))
def test_two_neighbours_in_the_wrong_order_are_noticed(body: str, place: int) -> None:
    code = body + check_character(body)
    first, second = code[place], code[place + 1]
    # The one pair that Luhn's method does not tell apart: the first and the last of the alphabet.
    assume(first != second and {first, second} != {"0", "Z"})
    assert key_of(code[:place] + second + first + code[place + 2 :]) is None


@given(st.text(max_size=80))
def test_any_text_can_be_looked_up(text: str) -> None:
    key = key_of(text)
    assert key is None or len(key) >= 14


def issue(runtime: Runtime, contact: UUID | None = None, pool: str = "gift", prefix: str = "GIFT") -> str:
    """Issue a coupon of a pool, as a sender does for a message."""
    code = new_code(prefix)
    coupon = Coupon(
        code=code,
        pool_id=pool,
        contact_id=contact or new_id(),
        message_id=new_id(),
        issue_time=NOW,
        redeem_time=None,
        order_id=None,
    )
    with runtime.db.transaction() as connection:
        store.issue(connection, [coupon])
    return code


def at_once(count: int, work: Any) -> list[Any]:
    """Return work(0), work(1), …, or what they raised, all begun together."""
    gate = Barrier(count)

    def run(number: int) -> Any:
        gate.wait(30)
        try:
            return work(number)
        except RapportError as error:
            return error

    with futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def redeem_for_some_order(runtime: Runtime, code: str, number: int) -> Coupon:
    """Redeem a coupon for an order of its own."""
    return coupons.redeem_coupon(runtime, code, None, uuid4())


def told(runtime: Runtime, kind: str) -> list[sa.Row[Any]]:
    with runtime.db.read() as connection:
        return list(connection.execute(sa.select(kit.outbox).where(kit.outbox.c.type == kind)))


def order_placed(contact: UUID | None, code: str, order: UUID, *, historical: bool = False) -> Event:
    """Build order.placed that showed a coupon."""
    item = Event(
        id=str(new_id()),
        type="order.placed",
        source="sales",
        position=1,
        subject=f"orders/{order}",
        contact=f"contacts/{contact}" if contact else "",
        revision=1,
        historical=historical,
    )
    item.occur_time.CopyFrom(to_timestamp(NOW))
    item.record_time.CopyFrom(to_timestamp(NOW))
    item.data.Pack(sales_events.OrderPlaced(line_count=1, coupon_code=code))
    return item


def test_eight_orders_at_once_redeem_a_coupon_once(runtime: Runtime) -> None:
    make_pool(runtime)
    for _ in range(5):
        code = issue(runtime)
        found = at_once(8, partial(redeem_for_some_order, runtime, code))
        [redeemed] = [item for item in found if isinstance(item, Coupon)]
        refused = [item for item in found if isinstance(item, FailedPrecondition)]
        assert [item.reason for item in refused] == ["COUPON_REDEEMED"] * 7
        assert redeemed.order_id is not None
        assert coupons.redeem_coupon(runtime, code, None, redeemed.order_id) == redeemed
    pool = coupons.get_pool(runtime, "gift")
    assert (pool.issued_count, pool.redeemed_count) == (5, 5)
    assert len(told(runtime, "coupon.redeemed")) == 5


def test_one_order_that_asks_eight_times_at_once_redeems_once(runtime: Runtime) -> None:
    make_pool(runtime)
    code, order = issue(runtime), uuid4()
    found = at_once(8, lambda number: coupons.redeem_coupon(runtime, code, None, order))
    assert found == [found[0]] * 8
    assert isinstance(found[0], Coupon)
    [row] = told(runtime, "coupon.redeemed")
    payload = events_pb2.CouponRedeemed.FromString(bytes(row.data))
    assert (payload.pool, payload.order) == ("couponPools/gift", f"orders/{order}")


def test_calls_and_events_of_orders_at_once_redeem_each_coupon_once(runtime: Runtime) -> None:
    make_pool(runtime)
    codes_shown = [issue(runtime) for _ in range(10)]

    def work(number: int) -> Any:
        # Each in another order, so that locks taken one by one would meet head on.
        shown = codes_shown[number:] + codes_shown[:number]
        if number % 2:
            events = [order_placed(new_id(), code, uuid4()) for code in shown]
            return coupons.redeem_of_orders(runtime, EventBatch(f"campaign.test{number}", events))
        for code in shown:
            with contextlib.suppress(FailedPrecondition):
                coupons.redeem_coupon(runtime, code, None, uuid4())
        return None

    assert at_once(8, work) == [None] * 8
    pool = coupons.get_pool(runtime, "gift")
    assert (pool.issued_count, pool.redeemed_count) == (10, 10)
    assert len(told(runtime, "coupon.redeemed")) == 10
    # Four batches showed ten coupons each: what did not redeem was refused, and said so.
    by_event = 40 - len(told(runtime, "coupon.refused"))
    assert 0 <= by_event <= 10


def test_an_event_that_comes_twice_redeems_once(runtime: Runtime) -> None:
    make_pool(runtime)
    event = order_placed(new_id(), issue(runtime), uuid4())
    for _ in range(2):
        coupons.redeem_of_orders(runtime, EventBatch("campaign.test", [event]))
    assert len(told(runtime, "coupon.redeemed")) == 1
    assert not told(runtime, "coupon.refused")


def test_what_an_order_shows_in_vain_stops_nothing(runtime: Runtime) -> None:
    make_pool(runtime)
    make_pool(runtime, "own", personal=True)
    make_pool(runtime, "late", expire_time=NOW - timedelta(days=1))
    owner, thief = new_id(), new_id()
    events = [
        order_placed(thief, "nonsense", uuid4()),
        order_placed(thief, issue(runtime, owner, "own"), uuid4()),
        order_placed(thief, issue(runtime, thief, "late"), uuid4()),
        order_placed(thief, issue(runtime), uuid4(), historical=True),
        order_placed(thief, "", uuid4()),
        order_placed(owner, issue(runtime, owner, "own"), uuid4()),
        order_placed(None, issue(runtime), uuid4()),
    ]
    coupons.redeem_of_orders(runtime, EventBatch("campaign.test", events))
    reasons = [
        events_pb2.CouponRefused.FromString(bytes(row.data)).reason for row in told(runtime, "coupon.refused")
    ]
    assert sorted(reasons) == ["COUPON_EXPIRED", "COUPON_NOT_FOUND", "COUPON_OF_ANOTHER_CONTACT"]
    assert len(told(runtime, "coupon.redeemed")) == 2
    counts = {pool.id: pool.redeemed_count for pool in coupons.list_pools(runtime, after="", count=10)}
    assert counts == {"gift": 1, "late": 0, "own": 1}


def test_an_order_counts_at_its_own_time(runtime: Runtime) -> None:
    make_pool(runtime, expire_time=NOW + timedelta(hours=1))
    code = issue(runtime)
    clock_of(runtime).instant = NOW + timedelta(days=7)
    # The event was on its way for a week; the order was placed in time.
    coupons.redeem_of_orders(runtime, EventBatch("campaign.test", [order_placed(new_id(), code, uuid4())]))
    assert coupons.get_pool(runtime, "gift").redeemed_count == 1


def test_guesses_find_nothing(runtime: Runtime) -> None:
    make_pool(runtime)
    issued = issue(runtime)
    for _ in range(300):
        with pytest.raises(NotFound) as caught:
            coupons.redeem_coupon(runtime, new_code("GIFT"), None, uuid4())
        assert caught.value.reason == "COUPON_NOT_FOUND"
    for other in ("", "GIF", "GIFTS", "NEW"):
        with pytest.raises(NotFound):
            coupons.redeem_coupon(runtime, other + issued[4:], None, uuid4())
    assert coupons.get_pool(runtime, "gift").redeemed_count == 0
