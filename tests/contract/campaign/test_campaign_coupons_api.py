"""Coupon pools and the redemption of coupons over a real port."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from rapport_client import errors

from services.kit.wire import from_timestamp
from tests.support.campaign_desk import Desk
from tests.support.stack import NOW


def fields(caught: pytest.ExceptionInfo[errors.RapportError]) -> set[str]:
    return {violation.field for violation in caught.value.violations}


def order() -> str:
    return f"orders/{uuid4()}"


@pytest.fixture
def sent(desk: Desk) -> Any:
    """A message with a coupon of a pool that anybody may redeem."""
    desk.template(text="{{ coupon }}")
    desk.pool()
    return desk.coupon()


def test_create_coupon_pool(api: Any) -> None:
    expires = NOW + timedelta(days=30)
    pool = api.create_coupon_pool(
        coupon_pool_id="shoes",
        coupon_pool={
            "display_name": "10 % on shoes",
            "prefix": "SHOE10",
            "expire_time": expires,
            "personal": True,
            "issued_count": 5,
            "redeemed_count": 5,
        },
    ).coupon_pool
    assert (pool.name, pool.display_name, pool.prefix, pool.personal) == (
        "couponPools/shoes",
        "10 % on shoes",
        "SHOE10",
        True,
    )
    assert (pool.issued_count, pool.redeemed_count) == (0, 0)
    assert from_timestamp(pool.expire_time) == expires
    assert from_timestamp(pool.create_time) == NOW
    plain = api.create_coupon_pool(coupon_pool_id="plain", coupon_pool={"display_name": "x"}).coupon_pool
    assert not plain.HasField("expire_time")
    assert not plain.personal


def test_create_coupon_pool_refuses_bad_requests(api: Any) -> None:
    api.create_coupon_pool(coupon_pool_id="gift", coupon_pool={"prefix": "A"})
    with pytest.raises(errors.AlreadyExists) as caught:
        api.create_coupon_pool(coupon_pool_id="gift", coupon_pool={"prefix": "B"})
    assert "couponPools/gift" in str(caught.value)
    assert api.get_coupon_pool(name="couponPools/gift").coupon_pool.prefix == "A"
    for key in ("Gift", "1a", "a b", "a" * 64):
        with pytest.raises(errors.InvalidArgument) as bad:
            api.create_coupon_pool(coupon_pool_id=key, coupon_pool={"prefix": "A"})
        assert fields(bad) == {"coupon_pool_id"}
    for prefix in ("gift", "A-B", "A B", "É", "A" * 11, "A\n"):
        with pytest.raises(errors.InvalidArgument) as bad:
            api.create_coupon_pool(coupon_pool_id="other", coupon_pool={"prefix": prefix})
        assert fields(bad) == {"coupon_pool.prefix"}


def test_create_coupon_pool_with_a_request_id_happens_once(api: Any) -> None:
    request = {"coupon_pool_id": "once", "coupon_pool": {"prefix": "A"}, "request_id": uuid4().hex}
    assert api.create_coupon_pool(**request) == api.create_coupon_pool(**request)
    with pytest.raises(errors.InvalidArgument) as caught:
        api.create_coupon_pool(**{**request, "coupon_pool": {"prefix": "B"}})
    assert caught.value.reason == "REQUEST_ID_REUSED"


def test_get_coupon_pool(desk: Desk, api: Any) -> None:
    with pytest.raises(errors.NotFound) as caught:
        api.get_coupon_pool(name="couponPools/gift")
    assert caught.value.metadata["resource"] == "couponPools/gift"
    desk.template()
    desk.pool()
    codes = [desk.coupon().coupon_code for _ in range(3)]
    api.redeem_coupon(code=codes[0], order=order())
    pool = api.get_coupon_pool(name="couponPools/gift").coupon_pool
    assert (pool.issued_count, pool.redeemed_count) == (3, 1)


def test_list_coupon_pools(desk: Desk, api: Any, sent: Any) -> None:
    for key in ("b", "a"):
        desk.pool(key)
    listed = list(api.list_coupon_pools.iterate(page_size=2))
    assert [item.name for item in listed] == ["couponPools/a", "couponPools/b", "couponPools/gift"]
    assert [item.issued_count for item in listed] == [0, 0, 1]
    token = api.list_coupon_pools(page_size=1).next_page_token
    with pytest.raises(errors.InvalidArgument) as caught:
        api.list_templates(page_token=token)
    assert caught.value.reason == "PAGE_TOKEN_MISMATCH"


def test_redeem_coupon(desk: Desk, api: Any, sent: Any) -> None:
    assert sent.coupon_code.startswith("GIFT")
    bought = order()
    desk.served.clock.instant = NOW + timedelta(hours=1)
    coupon = api.redeem_coupon(code=sent.coupon_code, order=bought).coupon
    assert (coupon.code, coupon.pool, coupon.contact, coupon.order) == (
        sent.coupon_code,
        "couponPools/gift",
        sent.contact,
        bought,
    )
    assert from_timestamp(coupon.issue_time) == NOW
    assert from_timestamp(coupon.redeem_time) == NOW + timedelta(hours=1)


def test_redeem_coupon_again_for_the_same_order_returns_the_first_redemption(
    desk: Desk, api: Any, sent: Any
) -> None:
    bought = order()
    first = api.redeem_coupon(code=sent.coupon_code, order=bought)
    desk.served.clock.instant = NOW + timedelta(days=400)
    assert api.redeem_coupon(code=sent.coupon_code, order=bought) == first
    assert api.get_coupon_pool(name="couponPools/gift").coupon_pool.redeemed_count == 1


def test_redeem_coupon_for_another_order_is_refused(api: Any, sent: Any) -> None:
    first = order()
    api.redeem_coupon(code=sent.coupon_code, order=first)
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.redeem_coupon(code=sent.coupon_code, order=order())
    assert caught.value.reason == "COUPON_REDEEMED"
    # Who holds another's coupon does not learn for which order it was used.
    assert first not in str(caught.value) + str(caught.value.metadata)
    assert api.get_coupon_pool(name="couponPools/gift").coupon_pool.redeemed_count == 1


def test_redeem_coupon_that_does_not_exist(api: Any, sent: Any) -> None:
    mistyped = sent.coupon_code[:-1] + ("A" if sent.coupon_code[-1] != "A" else "B")
    for code in ("NONE", mistyped, "G" * 64, "💥", sent.coupon_code + "0"):
        with pytest.raises(errors.NotFound) as caught:
            api.redeem_coupon(code=code, order=order())
        assert caught.value.reason == "COUPON_NOT_FOUND"
    for bad, field in (
        ({"code": "G" * 65, "order": order()}, "code"),
        ({"code": sent.coupon_code, "order": "orders/X!"}, "order"),
        ({"code": sent.coupon_code, "order": f"contacts/{uuid4()}"}, "order"),
        ({"code": sent.coupon_code, "order": order(), "contact": "orders/1"}, "contact"),
    ):
        with pytest.raises(errors.InvalidArgument) as refused:
            api.redeem_coupon(**bad)
        assert fields(refused) == {field}


def test_redeem_coupon_in_any_case(api: Any, sent: Any) -> None:
    coupon = api.redeem_coupon(code=sent.coupon_code.lower(), order=order()).coupon
    assert coupon.code == sent.coupon_code


def test_redeem_coupon_expires(desk: Desk, api: Any) -> None:
    desk.template()
    expires = NOW + timedelta(days=1)
    desk.pool(expire_time=expires)
    early, late = desk.coupon().coupon_code, desk.coupon().coupon_code
    desk.served.clock.instant = expires - timedelta(microseconds=1)
    bought = order()
    api.redeem_coupon(code=early, order=bought)
    desk.served.clock.instant = expires + timedelta(microseconds=1)
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.redeem_coupon(code=late, order=order())
    assert caught.value.reason == "COUPON_EXPIRED"
    # What was redeemed in time stays so.
    assert from_timestamp(api.redeem_coupon(code=early, order=bought).coupon.redeem_time) < expires


def test_redeem_coupon_of_another_contact(desk: Desk, api: Any) -> None:
    desk.template()
    desk.pool("own", personal=True)
    sent = desk.coupon(pool="couponPools/own")
    for contact in (f"contacts/{uuid4()}", None):
        with pytest.raises(errors.FailedPrecondition) as caught:
            api.redeem_coupon(code=sent.coupon_code, order=order(), contact=contact)
        assert caught.value.reason == "COUPON_OF_ANOTHER_CONTACT"
        assert sent.contact not in str(caught.value) + str(caught.value.metadata)
    assert api.redeem_coupon(code=sent.coupon_code, order=order(), contact=sent.contact).coupon.redeem_time


def test_redeem_coupon_that_is_not_personal_by_anybody(api: Any, sent: Any) -> None:
    coupon = api.redeem_coupon(code=sent.coupon_code, order=order(), contact=f"contacts/{uuid4()}").coupon
    assert coupon.contact == sent.contact
