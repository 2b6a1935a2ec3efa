"""Results of campaigns and journeys: the funnel, revenue, cost and return on investment; budgets and costs."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import Connection

from services.campaign.domain.funnel import Funnel, build
from services.campaign.store import attribution, funnel, links, money
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
            costs=money.channel_costs(connection),
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
    """Set what a campaign or journey costs beside its messages; raises NotFound, InvalidArgument (INVALID_MONEY)."""
    stored = _cost(amount, "budget")
    with runtime.db.transaction() as connection:
        _require(connection, origin)
        money.set_budget(connection, origin, stored)
    return stored


def set_channel_cost(runtime: Runtime, channel: str, amount: Amount) -> Amount | None:
    """Set what one message by a channel costs; raises InvalidArgument (INVALID_MONEY)."""
    stored = _cost(amount, "cost.amount")
    with runtime.db.transaction() as connection:
        money.set_channel_cost(connection, channel, stored)
    return stored


def list_channel_costs(runtime: Runtime) -> dict[str, Amount]:
    """Return what one message costs, by channel."""
    with runtime.db.read() as connection:
        return money.channel_costs(connection)


def _cost(amount: Amount | None, field: str) -> Amount | None:
    if amount is None or not amount[0]:
        return None
    if amount[0] < 0:
        raise InvalidArgument.field(field, "must not be negative", reason="INVALID_MONEY")
    return amount


def _require(connection: Connection, origin: str) -> None:
    if origin.partition("/")[0] not in ("campaigns", "journeys"):
        raise InvalidArgument.field("origin", f"expected 'campaigns/<id>' or 'journeys/<id>', got {origin!r}")
    if not funnel.exists(connection, origin):
        raise NotFound.resource(origin)
