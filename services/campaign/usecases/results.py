"""Results of campaigns and journeys: the funnel, revenue, cost and return on investment; budgets and costs."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection

from services.campaign.domain.funnel import Funnel, build
from services.campaign.store import attribution, funnel, links, money
from services.campaign.store.money import Cost
from services.campaign.usecases import approvals
from services.kit.errors import InvalidArgument, NotFound
from services.kit.runtime import Runtime

Amount = tuple[Decimal, str]


def get_funnel(runtime: Runtime, origin: str) -> Funnel:
    """Return what became of the messages of a campaign or journey, as of one moment; raises NotFound."""
    with runtime.db.snapshot() as connection:
        _require(connection, origin)
        return build(
            origin=origin,
            stood=funnel.stood(connection, origin),
            converted=funnel.converted(connection, origin),
            earned=funnel.earned(connection, origin),
            budget=money.budget(connection, origin),
            spent=money.spent(connection, origin),
            came_back=funnel.came_back(connection, origin),
            tracked=_tracked(runtime, connection, origin),
            outdated=funnel.outdated(connection, origin, attribution.get_rule(connection).revision),
            now=runtime.clock.now(),
        )


def _tracked(runtime: Runtime, connection: Connection, origin: str) -> bool:
    """Tell whether openings or clicks of messages as an origin has them would be noticed."""
    if not runtime.settings.public_web_url:
        return False
    counted = links.settings(connection, [origin])[origin]
    return any(
        counted.tracks_opens(topic) or counted.tracks_clicks(topic)
        for topic in funnel.topics(connection, origin)
    )


def set_budget(runtime: Runtime, origin: str, amount: Amount | None) -> Amount | None:
    """Set what a campaign or journey costs beside its messages; the same again changes nothing.

    Raises NotFound, InvalidArgument (INVALID_MONEY), FailedPrecondition (BUDGET_APPROVED, APPROVAL_REQUIRED,
    APPROVAL_VOID), Unavailable.
    """
    stored = _cost(amount, "budget")
    with runtime.db.transaction() as connection:
        _require(connection, origin, lock=True)
        if stored != money.budget(connection, origin):
            if origin.startswith("campaigns/"):
                # A journey that is no longer active may get another, as it starts nobody before that is approved.
                approvals.refuse_other(connection, origin, "its budget", "BUDGET_APPROVED")
            money.set_budget(connection, origin, stored)
            approvals.require_still(runtime, connection, origin)
    return stored


def set_channel_cost(runtime: Runtime, channel: str, amount: Amount, start: datetime | None) -> Cost:
    """Set what one message by a channel costs from a time on, and return it as it is stored.

    start: None for now, or for the beginning when the channel has no cost yet. What was sent before keeps its cost, so
    results of the past change only when a time in the past is given. The same again changes nothing. Raises
    InvalidArgument (INVALID_MONEY).
    """
    _cost(amount, "cost.amount")
    with runtime.db.transaction() as connection:
        money.lock_costs(connection)
        known = [item for item in money.costs(connection) if item.channel == channel]
        if start is None:
            now = runtime.clock.now()
            in_force = next((item for item in reversed(known) if item.start_time <= now), None)
            if in_force is not None and (in_force.amount, in_force.currency) == amount:
                return in_force
            if not known and not amount[0]:
                return Cost(channel, *amount, money.BEGINNING)
            start = now if known else money.BEGINNING
        stored = Cost(channel, *amount, start)
        money.set_cost(connection, stored)
    return stored


def list_channel_costs(runtime: Runtime) -> tuple[dict[str, Amount], list[Cost]]:
    """Return what one message costs now, by channel, and all that messages ever cost."""
    with runtime.db.snapshot() as connection:
        return money.channel_costs(connection, runtime.clock.now()), money.costs(connection)


def _cost(amount: Amount | None, field: str) -> Amount | None:
    if amount is None or not amount[0]:
        return None
    if amount[0] < 0:
        raise InvalidArgument.field(field, "must not be negative", reason="INVALID_MONEY")
    return amount


def _require(connection: Connection, origin: str, *, lock: bool = False) -> None:
    if origin.partition("/")[0] not in ("campaigns", "journeys"):
        raise InvalidArgument.field("origin", f"expected 'campaigns/<id>' or 'journeys/<id>', got {origin!r}")
    if not funnel.exists(connection, origin, lock=lock):
        raise NotFound.resource(origin)
