"""The funnel of a campaign or journey: what became of each message, and what all of them brought and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from services.campaign.domain.experiments import HELD_OUT, HELD_OUT_GLOBAL
from services.campaign.domain.ledger import (
    CANCELLED,
    CLAIMED,
    FAILED,
    PLANNED,
    SENDING,
    SENT,
    SUPPRESSED,
    UNKNOWN,
)
from services.campaign.domain.money import EXACT, ratio, total

Amount = tuple[Decimal, str]


@dataclass(frozen=True, slots=True)
class Stood:
    """Count messages that stand alike; reason: of suppressed ones, without its detail."""

    channel: str
    state: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CameBack:
    """Count what came back of sent messages, each message once; scanner and pending: openings and clicks.

    opened: by a person, those clicked in among them; scanner: by machines; pending: not decided yet.
    """

    bounced: int = 0
    soft_bounced: int = 0
    complained: int = 0
    opened: int = 0
    clicked: int = 0
    unsubscribed: int = 0
    scanner: int = 0
    pending: int = 0

    @property
    def engaged(self) -> bool:
        """Tell whether any opening or click is known."""
        return bool(self.opened or self.scanner or self.pending)


@dataclass(frozen=True, slots=True)
class Earned:
    """Hold what orders brought; channel None: by all channels."""

    channel: str | None
    currency: str
    orders: int
    gross: Decimal
    returned: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyResult:
    """Hold revenue and cost in a currency; roi: profit for each unit of cost, "" without cost."""

    currency: str
    orders: int
    gross: Decimal
    returned: Decimal
    cost: Decimal

    @property
    def revenue(self) -> Decimal:
        """Return what is left after returns."""
        return EXACT.subtract(self.gross, self.returned)

    @property
    def profit(self) -> Decimal:
        """Return what is left after costs."""
        return EXACT.subtract(self.revenue, self.cost)

    @property
    def roi(self) -> str:
        """Return profit for each unit of cost, rounded to 4 places, or ""."""
        return ratio(self.profit, self.cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelResult:
    """Hold what a channel did; its money is without the budget."""

    channel: str
    sent: int
    converted: int
    money: Sequence[MoneyResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """Hold what became of an audience, which `by_state` adds up to; tracked: whether openings and clicks are known."""

    origin: str
    by_state: Mapping[str, int]
    held_out: int
    by_reason: Mapping[str, int]
    came_back: CameBack
    tracked: bool
    converted: int
    money: Sequence[MoneyResult]
    channels: Sequence[ChannelResult]
    outdated: int
    as_of_time: datetime

    @property
    def audience(self) -> int:
        """Return all of them."""
        return sum(self.by_state.values())

    def of(self, *states: str) -> int:
        """Return how many are in any of the states."""
        return sum(self.by_state.get(state, 0) for state in states)

    @property
    def suppressed(self) -> int:
        """Return how many were refused by a rule; those held out are not among them."""
        return self.of(SUPPRESSED) - self.held_out

    @property
    def waiting(self) -> int:
        """Return how many are planned or in a sender's hand."""
        return self.of(PLANNED, CLAIMED, SENDING)

    @property
    def delivered(self) -> int:
        """Return how many were sent and did not bounce for good."""
        return self.of(SENT) - self.came_back.bounced

    @property
    def ends(self) -> Mapping[str, int]:
        """Return the parts of the audience by what people call them."""
        return {
            "held out": self.held_out,
            "suppressed": self.suppressed,
            "waiting": self.waiting,
            "cancelled": self.of(CANCELLED),
            "failed": self.of(FAILED),
            "unknown": self.of(UNKNOWN),
            "sent": self.of(SENT),
        }


def build(
    *,
    origin: str,
    stood: Sequence[Stood],
    converted: Mapping[str, int],
    earned: Sequence[Earned],
    budget: Amount | None,
    spent: Mapping[str, Sequence[Amount]],
    came_back: CameBack,
    tracked: bool,
    outdated: int,
    now: datetime,
) -> Funnel:
    """Put a funnel together; converted: messages by channel; spent: on messages by channel."""
    by_state: dict[str, int] = {}
    by_reason: dict[str, int] = {}
    sent: dict[str, int] = {}
    held_out = 0
    for item in stood:
        by_state[item.state] = by_state.get(item.state, 0) + item.count
        if item.state == SENT:
            sent[item.channel] = sent.get(item.channel, 0) + item.count
        elif item.state == SUPPRESSED:
            if item.reason in (HELD_OUT, HELD_OUT_GLOBAL):
                held_out += item.count
            else:
                by_reason[item.reason] = by_reason.get(item.reason, 0) + item.count
    names = sorted(
        {item.channel for item in stood}
        | converted.keys()
        | {item.channel for item in earned if item.channel}
    )
    return Funnel(
        origin=origin,
        by_state=by_state,
        held_out=held_out,
        by_reason=by_reason,
        came_back=came_back,
        tracked=tracked or came_back.engaged,
        converted=sum(converted.values()),
        money=_money(
            [item for item in earned if item.channel is None],
            [*(amount for several in spent.values() for amount in several), *([budget] if budget else [])],
        ),
        channels=[
            ChannelResult(
                channel=name,
                sent=sent.get(name, 0),
                converted=converted.get(name, 0),
                money=_money([item for item in earned if item.channel == name], spent.get(name, ())),
            )
            for name in names
        ],
        outdated=outdated,
        as_of_time=now,
    )


def _money(earned: Sequence[Earned], costs: Sequence[Amount]) -> list[MoneyResult]:
    by_currency = {item.currency: item for item in earned}
    found = []
    for currency in sorted(by_currency.keys() | {currency for _, currency in costs}):
        item = by_currency.get(currency) or Earned(None, currency, 0, Decimal(0), Decimal(0))
        cost = total([amount for amount, given in costs if given == currency])
        found.append(
            MoneyResult(
                currency=currency, orders=item.orders, gross=item.gross, returned=item.returned, cost=cost
            )
        )
    return found
