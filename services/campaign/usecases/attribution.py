"""Attribution: orders and returns as they come, in any order and exactly once, and all of them anew by another rule."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from google.protobuf.message import Message as ProtoMessage
from rapport.events.v1.events_pb2 import Event
from rapport.operations.v1.operations_pb2 import Operation
from rapport.sales.v1 import events_pb2 as sales_events
from sqlalchemy import Connection

from services.campaign.domain.attribution import (
    NOBODY,
    ORDER,
    RETURN,
    SENT,
    Rule,
    Sale,
    Touch,
    attribute,
    choose,
)
from services.campaign.domain.coupons import lookup_key
from services.campaign.models import contact_gone, kit
from services.campaign.store import attribution as store
from services.campaign.usecases.events import Batch
from services.kit import gone, operations
from services.kit.errors import InvalidArgument
from services.kit.events.payload import unpack
from services.kit.money import from_money
from services.kit.names import parse_name
from services.kit.operations import OperationContext
from services.kit.runtime import Runtime
from services.kit.wire import from_timestamp

RECOMPUTE = "recompute_attribution"
_PAGE = 2_000
_SHORTEST, _LONGEST = timedelta(hours=1), timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Recomputed:
    """Count what a recomputation did."""

    orders: int
    conversions: int
    rule_revision: int


def take_sales(runtime: Runtime, batch: Batch) -> None:
    """Keep orders and returns and attribute them; events of the past count, too, as what happened when it happened."""
    with runtime.db.transaction() as connection:
        told = [sale for event in batch.claim(connection, kit) if (sale := _sale(event)) is not None]
        if not told:
            return
        now_of = gone.current(connection, contact_gone, {item.contact_id for item in told if item.contact_id})
        sales = [
            replace(item, contact_id=now_of[item.contact_id] or NOBODY) if item.contact_id else item
            for item in told
        ]
        store.lock(connection)
        store.add_sales(connection, sales)
        keys = {item.id if item.kind == ORDER else item.order_id for item in sales}
        _attribute(connection, store.get_rule(connection), {key for key in keys if key is not None})


def set_rule(runtime: Runtime, given: Rule) -> Rule:
    """Set how orders are attributed from now on; raises InvalidArgument."""
    if not _SHORTEST <= given.window <= _LONGEST:
        raise InvalidArgument.field("rule.window", "must be from an hour to 365 days")
    with runtime.db.transaction() as connection:
        store.lock(connection)
        known = store.get_rule(connection)
        if known.revision and replace(given, revision=known.revision) == known:
            return known
        changed = replace(given, revision=known.revision + 1)
        store.set_rule(connection, changed)
    return changed


def get_rule(runtime: Runtime) -> Rule:
    """Return the rule in force."""
    with runtime.db.read() as connection:
        return store.get_rule(connection)


def start_recompute(runtime: Runtime, request: ProtoMessage, request_id: str) -> Operation:
    """Begin to attribute all orders anew; the same request id returns the first operation."""
    with runtime.db.transaction() as connection:
        return operations.create(
            connection, kit, RECOMPUTE, request, runtime.clock, request_id=request_id, unit="orders"
        )


def recompute(runtime: Runtime, op: OperationContext) -> Recomputed:
    """Attribute all orders by the rule in force, page by page; begins where `op.state` says."""
    after = UUID(str(op.state["after"])) if op.state.get("after") else None
    orders, conversions = int(op.state.get("orders", 0)), int(op.state.get("conversions", 0))
    while True:
        op.raise_if_cancelled()
        with runtime.db.transaction() as connection:
            store.lock(connection)
            rule = store.get_rule(connection)
            keys = store.page(connection, after=after, count=_PAGE)
            conversions += _attribute(connection, rule, keys)
            orders += len(keys)
            after = keys[-1] if keys else after
            state = {"after": str(after) if after else "", "orders": orders, "conversions": conversions}
            op.checkpoint(connection, state, completed=orders, stage="attributing")
        if len(keys) < _PAGE:
            return Recomputed(orders, conversions, rule.revision)


def hand_over(connection: Connection, key: UUID, heir: UUID) -> None:
    """Give a merged contact's orders to who remains, and attribute all of theirs anew: two histories are one now.

    Messages must have been handed over before.
    """
    store.lock(connection)
    store.hand_over(connection, key, heir)
    _attribute(connection, store.get_rule(connection), store.orders_of(connection, heir))


def empty(connection: Connection, contact_ids: Collection[UUID]) -> None:
    """Take erased contacts out of orders; what is attributed stays. Before their messages are emptied or after."""
    store.lock(connection)
    store.empty(connection, contact_ids)


def own(connection: Connection) -> None:
    """Own sales and conversions until the transaction ends."""
    store.lock(connection)


def prepare_renewal(connection: Connection) -> Rule | None:
    """Own sales before verdicts change, when it matters to orders; returns the rule, or None when it does not.

    Before any interaction is locked: whoever lets contacts go takes both in this order.
    """
    if store.get_rule(connection).touch == SENT:
        return None
    store.lock(connection)
    return store.get_rule(connection)


def renew(connection: Connection, rule: Rule | None, messages: Collection[UUID]) -> int:
    """Attribute anew the orders that openings of messages and clicks in them concern, after verdicts changed."""
    if rule is None or rule.touch == SENT or not messages:
        return 0
    return _attribute(connection, rule, store.orders_touched(connection, rule, messages))


def renew_sent(connection: Connection, messages: Collection[UUID]) -> int:
    """Attribute anew the orders that messages concern which are known only now to have been sent.

    To be called by who owns sales (`own`).
    """
    rule = store.get_rule(connection)
    find = store.orders_after if rule.touch == SENT else store.orders_touched
    return _attribute(connection, rule, find(connection, rule, messages))


def _attribute(connection: Connection, rule: Rule, keys: Collection[UUID]) -> int:
    """Let orders have the parts that the rule gives them; returns how many parts of orders there are."""
    orders = store.orders(connection, keys)
    if not orders:
        return 0
    found = [item.id for item in orders]
    returns = store.returns_of(connection, found)
    touches = store.touches(connection, rule, found)
    coupons = store.coupon_touches(connection, found)
    # Nobody knows any more which messages an erased contact got: what was decided stays.
    erased = store.touches_kept(connection, [item.id for item in orders if item.contact_id == NOBODY])
    parts = []
    count = 0
    for order in orders:
        if order.contact_id == NOBODY:
            chosen: list[Touch] = sorted(erased.get(order.id, []))
        else:
            shown = coupons.get(order.id)
            chosen = choose(rule, touches.get(order.id, []), shown[0] if shown else None)
        count += len(chosen)
        parts += attribute(order, returns.get(order.id, []), chosen)
    store.replace_parts(connection, found, parts, rule.revision)
    return count


def _sale(event: Event) -> Sale | None:
    payload = unpack(event)
    contact_id = parse_name(event.contact, "contacts") if event.contact else None
    time = from_timestamp(event.occur_time)
    match payload:
        case sales_events.OrderPlaced():
            return Sale(
                id=parse_name(event.subject, "orders"),
                contact_id=contact_id,
                kind=ORDER,
                order_id=None,
                amount=from_money(payload.total, "total"),
                currency=payload.total.currency_code,
                coupon_key=(lookup_key(payload.coupon_code) or "") if payload.coupon_code else "",
                time=time,
            )
        case sales_events.OrderReturned():
            return Sale(
                id=parse_name(event.subject, "returns"),
                contact_id=contact_id,
                kind=RETURN,
                order_id=parse_name(payload.order, "orders") if payload.order else None,
                amount=from_money(payload.total, "total"),
                currency=payload.total.currency_code,
                coupon_key="",
                time=time,
            )
    return None
