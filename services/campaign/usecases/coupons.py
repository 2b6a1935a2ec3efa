"""Coupon pools, and the redemption of coupons, once each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from rapport.campaign.v1 import events_pb2
from rapport.sales.v1 import events_pb2 as sales_events
from sqlalchemy import Connection

from services.campaign.domain.coupons import (
    Coupon,
    NotRedeemable,
    Pool,
    check_imported,
    check_prefix,
    decide,
    lookup_key,
)
from services.campaign.domain.ids import RuleError, check_id
from services.campaign.models import contact_gone, kit
from services.campaign.store import coupons as store
from services.campaign.usecases.checks import exists_already, refuse
from services.campaign.usecases.events import Batch
from services.kit import gone, log, outbox
from services.kit.errors import AlreadyExists, FailedPrecondition, FieldViolation, InvalidArgument, NotFound
from services.kit.events import unpack
from services.kit.names import format_name, parse_name
from services.kit.outbox import NewEvent
from services.kit.runtime import Runtime
from services.kit.wire import from_timestamp

_log = log.get_logger("coupons")


def create_pool(
    runtime: Runtime,
    connection: Connection,
    key: str,
    *,
    display_name: str,
    prefix: str,
    expire_time: datetime | None,
    personal: bool,
) -> Pool:
    """Store a new pool; raises AlreadyExists, InvalidArgument."""
    field = "coupon_pool_id"
    try:
        check_id(key)
        field = "coupon_pool.prefix"
        check_prefix(prefix)
    except RuleError as error:
        raise refuse(error, field) from error
    pool = Pool(
        id=key,
        display_name=display_name,
        prefix=prefix,
        expire_time=expire_time,
        personal=personal,
        create_time=runtime.clock.now(),
    )
    if not store.insert_pool(connection, pool):
        raise exists_already(format_name("couponPools", key))
    return pool


def get_pool(runtime: Runtime, key: str) -> Pool:
    """Return a pool with its counts; raises NotFound."""
    with runtime.db.read() as connection:
        found = store.get_pool(connection, key)
    if found is None:
        raise NotFound.resource(format_name("couponPools", key))
    return found


def list_pools(runtime: Runtime, *, after: str, count: int) -> list[Pool]:
    """Return the next pools by id, with their counts."""
    with runtime.db.read() as connection:
        return store.page_of_pools(connection, after=after, count=count)


def import_codes(connection: Connection, key: str, codes: Sequence[str]) -> int:
    """Put uploaded codes into a pool, all or none, and return how many of its codes are free then.

    Raises NotFound; InvalidArgument for a malformed code or one that is there twice; AlreadyExists (COUPON_EXISTS)
    for codes that a pool holds or somebody has; FailedPrecondition (COUPON_POOL_GENERATES) when codes were made for
    it.
    """
    by_key: dict[str, str] = {}
    violations: list[FieldViolation] = []
    for index, code in enumerate(codes):
        try:
            found = lookup_key(check_imported(code))
            assert found is not None
            if found in by_key:
                raise RuleError(f"{code!r} is there twice: case and dashes do not count")
            by_key[found] = code
        except RuleError as error:
            violations.append(FieldViolation(f"codes[{index}]", str(error)))
    if violations:
        first = violations[0]
        raise InvalidArgument(
            f"{first.field}: {first.description}", reason="INVALID_CODES", violations=violations[:100]
        )
    pool = store.lock_pool(connection, key)
    if pool is None:
        raise NotFound.resource(format_name("couponPools", key))
    if not pool.imported and store.has_issued(connection, key):
        raise FailedPrecondition(
            f"couponPools/{key} has issued codes that were made for it: create another pool for uploaded ones",
            reason="COUPON_POOL_GENERATES",
        )
    if taken := store.add_codes(connection, key, by_key):
        shown = ", ".join(by_key[found] for found in taken[:5])
        raise AlreadyExists(
            f"codes: {len(taken)} of {len(by_key)} are there already, such as {shown}; nothing was added",
            reason="COUPON_EXISTS",
        )
    return store.free_count(connection, key)


def stock(runtime: Runtime, key: str) -> tuple[Pool, int]:
    """Return a pool and how many uploaded codes are free in it; raises NotFound."""
    pool = get_pool(runtime, key)
    with runtime.db.read() as connection:
        return pool, store.free_count(connection, key)


def redeem_coupon(runtime: Runtime, code: str, contact_id: UUID | None, order_id: UUID) -> Coupon:
    """Redeem a coupon for an order; again for the same order it returns the first redemption.

    Raises NotFound (COUPON_NOT_FOUND), FailedPrecondition (COUPON_REDEEMED, COUPON_EXPIRED,
    COUPON_OF_ANOTHER_CONTACT).
    """
    try:
        with runtime.db.transaction() as connection:
            return _redeem(runtime, connection, code, contact_id, order_id, runtime.clock.now())
    except NotRedeemable as error:
        if error.reason == "COUPON_NOT_FOUND":
            raise NotFound(f"coupon: {error}", reason=error.reason) from error
        raise FailedPrecondition(f"the coupon is not redeemed: {error}", reason=error.reason) from error


def redeem_of_orders(runtime: Runtime, batch: Batch) -> None:
    """Redeem the coupons that customers showed when they ordered.

    A coupon that cannot be redeemed stops nothing: `coupon.refused` tells of it.
    """
    with runtime.db.transaction() as connection:
        refused: list[NewEvent] = []
        # By code, so that two batches at once cannot lock each other out.
        shown = sorted(_shown(batch, connection), key=lambda item: item[0])
        for code, contact_id, order, time in shown:
            try:
                _redeem(runtime, connection, code, contact_id, parse_name(order, "orders"), time)
            except NotRedeemable as error:
                _log.info("coupon refused", order=order, reason=error.reason)
                refused.append(
                    NewEvent(
                        type="coupon.refused",
                        subject=order,
                        contact=contact_id,
                        revision=1,
                        occur_time=time,
                        data=events_pb2.CouponRefused(order=order, reason=error.reason),
                    )
                )
        outbox.append(connection, kit.outbox, refused, record_time=runtime.clock.now())


def _shown(batch: Batch, connection: Connection) -> Sequence[tuple[str, UUID | None, str, datetime]]:
    found = []
    for event in batch.claim(connection, kit):
        payload = unpack(event)
        if event.historical or not isinstance(payload, sales_events.OrderPlaced) or not payload.coupon_code:
            continue
        contact_id = parse_name(event.contact, "contacts") if event.contact else None
        found.append((payload.coupon_code, contact_id, event.subject, from_timestamp(event.occur_time)))
    return found


def _redeem(
    runtime: Runtime,
    connection: Connection,
    code: str,
    contact_id: UUID | None,
    order_id: UUID,
    time: datetime,
) -> Coupon:
    key = lookup_key(code)
    coupon = store.lock(connection, key) if key else None
    if key is None or coupon is None:
        raise NotRedeemable("COUPON_NOT_FOUND", "no coupon has this code")
    pool = store.pools(connection, [coupon.pool_id])[coupon.pool_id]
    if contact_id is not None and contact_id != coupon.contact_id:
        # Whoever shows it under a name from before a merge may have got it under that name.
        contact_id = gone.current(connection, contact_gone, [contact_id])[contact_id]
    if not decide(coupon, pool, contact_id=contact_id, order_id=order_id, time=time):
        return coupon
    redeemed = store.redeem(connection, key, order_id, time)
    event = NewEvent(
        type="coupon.redeemed",
        subject=format_name("couponPools", coupon.pool_id),
        contact=contact_id or coupon.contact_id,
        revision=1,
        occur_time=time,
        data=events_pb2.CouponRedeemed(
            pool=format_name("couponPools", coupon.pool_id), order=format_name("orders", order_id)
        ),
    )
    outbox.append(connection, kit.outbox, [event], record_time=runtime.clock.now())
    return redeemed
