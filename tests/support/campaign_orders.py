"""Events of sales as campaign receives them: orders and returns."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from google.protobuf.message import Message
from rapport.events.v1.events_pb2 import Event
from rapport.sales.v1 import events_pb2 as sales_events
from rapport.type.v1.money_pb2 import Money

from services.campaign.usecases import attribution
from services.kit.bus.batch import EventBatch
from services.kit.money import to_money
from services.kit.names import new_id
from services.kit.runtime import Runtime
from tests.support.stack import NOW


def placed(
    contact: str, amount: Any, at: datetime = NOW, *, currency: str = "VND", coupon: str = ""
) -> Event:
    """Build order.placed; its subject is the name of the order."""
    payload = sales_events.OrderPlaced(total=_money(amount, currency), coupon_code=coupon)
    return _event("order.placed", f"orders/{new_id()}", contact, payload, at)


def returned(order: Event, amount: Any, at: datetime = NOW, *, currency: str = "VND") -> Event:
    """Build order.returned for an order."""
    payload = sales_events.OrderReturned(total=_money(amount, currency), order=order.subject)
    return _event("order.returned", f"returns/{new_id()}", order.contact, payload, at)


def tell(runtime: Runtime, events: Iterable[Event]) -> None:
    """Let campaign take events as its worker does."""
    attribution.take_sales(runtime, EventBatch("campaign.take_sales", list(events)))


def _money(amount: Any, currency: str) -> Money:
    return to_money(Decimal(amount), currency)


def _event(kind: str, subject: str, contact: str, payload: Message, at: datetime) -> Event:
    made = Event(id=str(new_id()), type=kind, source="sales", subject=subject, contact=contact)
    made.data.Pack(payload)
    made.occur_time.FromDatetime(at)
    made.record_time.FromDatetime(at)
    return made
