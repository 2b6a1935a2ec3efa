"""ResultService over gRPC: each method decodes the request, calls its use case and encodes the answer."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import grpc
from rapport.campaign.v1 import results_pb2 as pb
from rapport.campaign.v1 import results_pb2_grpc
from rapport.type.v1.money_pb2 import Money

from services.campaign.api.base import Methods
from services.campaign.domain.attribution import Rule
from services.campaign.domain.funnel import Funnel, MoneyResult
from services.campaign.domain.money import plain
from services.campaign.store.money import Cost
from services.campaign.usecases import attribution, results
from services.kit.money import from_money, to_money
from services.kit.wire import enum_number, enum_text, get_duration, get_timestamp, to_duration, to_timestamp


class ResultServicer(Methods, results_pb2_grpc.ResultServiceServicer):
    """Answer the RPCs of ResultService; see the proto for what each promises."""

    def SetAttributionRule(
        self, request: pb.SetAttributionRuleRequest, context: grpc.ServicerContext
    ) -> pb.SetAttributionRuleResponse:
        """Set how orders are attributed."""
        given = request.rule
        default = Rule()
        stored = attribution.set_rule(
            self._runtime,
            Rule(
                model=enum_text(pb.AttributionRule.Model, given.model) or default.model,
                window=get_duration(given, "window") or default.window,
                include_transactional=given.include_transactional,
                touch=enum_text(pb.AttributionRule.Touch, given.touch) or default.touch,
            ),
        )
        return pb.SetAttributionRuleResponse(rule=_encode_rule(stored))

    def GetAttributionRule(
        self, request: pb.GetAttributionRuleRequest, context: grpc.ServicerContext
    ) -> pb.GetAttributionRuleResponse:
        """Return the rule in force."""
        return pb.GetAttributionRuleResponse(rule=_encode_rule(attribution.get_rule(self._runtime)))

    def RecomputeAttribution(
        self, request: pb.RecomputeAttributionRequest, context: grpc.ServicerContext
    ) -> pb.RecomputeAttributionResponse:
        """Begin to attribute all orders anew."""
        operation = attribution.start_recompute(
            self._runtime, pb.RecomputeAttributionRequest(), request.request_id
        )
        return pb.RecomputeAttributionResponse(operation=operation)

    def SetBudget(self, request: pb.SetBudgetRequest, context: grpc.ServicerContext) -> pb.SetBudgetResponse:
        """Set what a campaign or journey costs."""
        given = _decode_money(request.budget, "budget") if request.HasField("budget") else None
        stored = results.set_budget(self._runtime, request.origin, given)
        return pb.SetBudgetResponse(budget=to_money(*stored) if stored else None)

    def SetChannelCost(
        self, request: pb.SetChannelCostRequest, context: grpc.ServicerContext
    ) -> pb.SetChannelCostResponse:
        """Set what one message by a channel costs."""
        channel, given = request.cost.channel, _decode_money(request.cost.amount, "cost.amount")
        start = get_timestamp(request.cost, "start_time")
        stored = results.set_channel_cost(self._runtime, channel, given, start)
        return pb.SetChannelCostResponse(cost=_encode_cost(stored))

    def ListChannelCosts(
        self, request: pb.ListChannelCostsRequest, context: grpc.ServicerContext
    ) -> pb.ListChannelCostsResponse:
        """List what messages cost."""
        found, history = results.list_channel_costs(self._runtime)
        return pb.ListChannelCostsResponse(
            costs=[pb.ChannelCost(channel=name, amount=to_money(*amount)) for name, amount in found.items()],
            history=[_encode_cost(item) for item in history],
        )

    def GetFunnel(self, request: pb.GetFunnelRequest, context: grpc.ServicerContext) -> pb.GetFunnelResponse:
        """Return what became of an audience."""
        return _encode_funnel(results.get_funnel(self._runtime, request.origin))


def _decode_money(message: Money, field: str) -> tuple[Decimal, str]:
    return from_money(message, field), message.currency_code


def _encode_rule(item: Rule) -> pb.AttributionRule:
    return pb.AttributionRule(
        model=enum_number(pb.AttributionRule.Model, item.model),
        window=to_duration(item.window),
        include_transactional=item.include_transactional,
        touch=enum_number(pb.AttributionRule.Touch, item.touch),
        revision=item.revision,
    )


def _encode_funnel(item: Funnel) -> pb.GetFunnelResponse:
    back = item.came_back
    return pb.GetFunnelResponse(
        origin=item.origin,
        audience=item.audience,
        suppressed_by_reason=item.by_reason,
        engagement_known=item.tracked,
        delivered=item.delivered,
        bounced=back.bounced,
        soft_bounced=back.soft_bounced,
        complained=back.complained,
        unsubscribed=back.unsubscribed,
        opened=back.opened,
        clicked=back.clicked,
        scanner_count=back.scanner,
        pending_count=back.pending,
        converted=item.converted,
        money=_encode_money(item.money),
        channels=[
            pb.ChannelResult(
                channel=each.channel,
                sent=each.sent,
                converted=each.converted,
                money=_encode_money(each.money),
            )
            for each in item.channels
        ],
        as_of_time=to_timestamp(item.as_of_time),
        outdated_conversions=item.outdated,
        **{name.replace(" ", "_"): count for name, count in item.ends.items()},
    )


def _encode_money(items: Sequence[MoneyResult]) -> list[pb.MoneyResult]:
    return [
        pb.MoneyResult(
            currency_code=item.currency,
            orders=item.orders,
            gross=plain(item.gross),
            returned=plain(item.returned),
            revenue=plain(item.revenue),
            cost=plain(item.cost),
            profit=plain(item.profit),
            roi=item.roi,
        )
        for item in items
    ]


def _encode_cost(item: Cost) -> pb.ChannelCost:
    return pb.ChannelCost(
        channel=item.channel,
        amount=to_money(item.amount, item.currency),
        start_time=to_timestamp(item.start_time),
    )
