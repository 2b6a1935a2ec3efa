"""Which messages brought an order: a pure function of the order, its returns, the messages before it, and the rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from services.campaign.domain.money import split

LAST_TOUCH, FIRST_TOUCH, LINEAR, COUPON_FIRST = "last_touch", "first_touch", "linear", "coupon_first"
SENT, OPEN, CLICK = "sent", "open", "click"
ORDER, RETURN = "order", "return"
NOBODY = UUID(int=0)
"""Stands for a contact that was erased."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Say how an order is shared out among the messages touched up to `window` before it; revision 0: none was set.

    touch: what counts of a message: that it was sent, or that a person opened it or clicked in it.
    """

    model: str = LAST_TOUCH
    window: timedelta = timedelta(days=7)
    include_transactional: bool = False
    revision: int = 0
    touch: str = SENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """Hold an order or a return as sales told of it; contact_id None: unknown; amount: positive for returns, too."""

    id: UUID
    contact_id: UUID | None
    kind: str
    order_id: UUID | None
    amount: Decimal
    currency: str
    coupon_key: str
    time: datetime


@dataclass(frozen=True, slots=True, order=True)
class Touch:
    """Hold a message that was sent, sorted by when it was, or by its newest opening or click."""

    time: datetime
    message_id: UUID
    origin: str
    channel: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Hold what a message gets of an order, or has to give back for a return."""

    contact_id: UUID
    sale_id: UUID
    order_id: UUID
    message_id: UUID
    origin: str
    channel: str
    amount: Decimal
    currency: str


def choose(rule: Rule, touches: Sequence[Touch], coupon: Touch | None) -> list[Touch]:
    """Return the messages that get a part, oldest first.

    touches: those within the window; coupon: the message whose coupon was shown.
    """
    if rule.model == COUPON_FIRST and coupon is not None:
        return [coupon]
    if not touches:
        return []
    match rule.model:
        case "linear":
            return sorted(touches)
        case "first_touch":
            return [min(touches)]
    return [max(touches)]


def attribute(order: Sale, returns: Sequence[Sale], chosen: Sequence[Touch]) -> list[Part]:
    """Return the parts of an order and of its returns; what is returned is taken from those who got the order."""
    parts = []
    for sale in (order, *returns):
        amount = sale.amount if sale.kind == ORDER else -sale.amount
        for touch, share in zip(chosen, split(amount, len(chosen)) if chosen else (), strict=True):
            parts.append(
                Part(
                    contact_id=order.contact_id or NOBODY,
                    sale_id=sale.id,
                    order_id=order.id,
                    message_id=touch.message_id,
                    origin=touch.origin,
                    channel=touch.channel,
                    amount=share,
                    currency=sale.currency,
                )
            )
    return parts
