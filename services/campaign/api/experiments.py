"""ExperimentService over gRPC: each method decodes the request, calls its use case and encodes the answer."""

from __future__ import annotations

from datetime import timedelta

import grpc
from google.protobuf.message import Message
from rapport.campaign.v1 import experiments_pb2 as pb
from rapport.campaign.v1 import experiments_pb2_grpc

from services.campaign.api.base import Methods
from services.campaign.domain.experiments import (
    DEFAULT_ALPHA,
    DEFAULT_DURATION,
    Experiment,
    HoldOut,
    Variant,
)
from services.campaign.domain.money import plain
from services.campaign.domain.statistics import Compared, Interval, wilson
from services.campaign.domain.verdicts import Arm, Verdict
from services.campaign.usecases import experiments, uplift
from services.kit.names import format_name, parse_key
from services.kit.wire import (
    enum_number,
    enum_text,
    from_duration,
    get_duration,
    get_timestamp,
    set_timestamp,
    to_duration,
    to_timestamp,
)


class ExperimentServicer(Methods, experiments_pb2_grpc.ExperimentServiceServicer):
    """Answer the RPCs of ExperimentService; see the proto for what each promises."""

    def PlanExperiment(
        self, request: pb.PlanExperimentRequest, context: grpc.ServicerContext
    ) -> pb.PlanExperimentResponse:
        """Say how large an experiment must be."""
        plan = experiments.plan(
            rate=request.baseline_rate,
            effect=request.minimal_effect,
            power=request.power or 0.8,
            alpha=request.alpha or DEFAULT_ALPHA,
            arms=request.arm_count or 2,
            audience=request.audience,
            per_day=request.contacts_per_day,
            window=get_duration(request, "window") or DEFAULT_DURATION,
            hold_out=request.hold_out,
        )
        return pb.PlanExperimentResponse(
            contacts_per_arm=plan.per_arm,
            contacts=plan.total,
            comparison_alpha=plan.alpha,
            duration=to_duration(plan.duration),
            test_percent=plan.test_percent,
            detectable_effect=plan.detectable,
            summary=plan.summary,
        )

    def CreateExperiment(
        self, request: pb.CreateExperimentRequest, context: grpc.ServicerContext
    ) -> pb.CreateExperimentResponse:
        """Make an experiment of a draft."""
        given = _decode(parse_key(request.campaign, "campaigns", "campaign"), request.experiment)
        return self.once(
            request,
            pb.CreateExperimentResponse,
            lambda connection: pb.CreateExperimentResponse(
                experiment=encode_experiment(experiments.create(self._runtime, connection, given))
            ),
        )

    def GetExperiment(
        self, request: pb.GetExperimentRequest, context: grpc.ServicerContext
    ) -> pb.GetExperimentResponse:
        """Return the experiment of a campaign."""
        found = experiments.get(self._runtime, parse_key(request.campaign, "campaigns", "campaign"))
        return pb.GetExperimentResponse(experiment=encode_experiment(found))

    def DeleteExperiment(
        self, request: pb.DeleteExperimentRequest, context: grpc.ServicerContext
    ) -> pb.DeleteExperimentResponse:
        """Take the experiment from a draft."""
        experiments.delete(self._runtime, parse_key(request.campaign, "campaigns", "campaign"))
        return pb.DeleteExperimentResponse()

    def DeclareWinner(
        self, request: pb.DeclareWinnerRequest, context: grpc.ServicerContext
    ) -> pb.DeclareWinnerResponse:
        """Decide by hand."""
        key = parse_key(request.campaign, "campaigns", "campaign")
        decided = experiments.declare_winner(self._runtime, key, request.variant)
        return pb.DeclareWinnerResponse(experiment=encode_experiment(decided))

    def GetExperimentResults(
        self, request: pb.GetExperimentResultsRequest, context: grpc.ServicerContext
    ) -> pb.GetExperimentResultsResponse:
        """Compare the variants."""
        found = experiments.results(self._runtime, parse_key(request.campaign, "campaigns", "campaign"))
        return pb.GetExperimentResultsResponse(
            experiment=encode_experiment(found.experiment),
            final=found.final,
            arms=[encode_arm(item) for item in found.verdicts],
            summary=found.summary,
            as_of_time=to_timestamp(found.as_of_time),
            all_variants=None if found.whole is None else encode_arm(found.whole),
            too_small=found.too_small,
        )

    def SetHoldOut(
        self, request: pb.SetHoldOutRequest, context: grpc.ServicerContext
    ) -> pb.SetHoldOutResponse:
        """Set the global hold-out."""
        given = request.hold_out
        stored = experiments.set_hold_out(self._runtime, given.percent, given.period_days)
        return pb.SetHoldOutResponse(hold_out=_encode_hold_out(stored))

    def GetHoldOutResults(
        self, request: pb.GetHoldOutResultsRequest, context: grpc.ServicerContext
    ) -> pb.GetHoldOutResultsResponse:
        """Compare those held out with all others."""
        found = uplift.hold_out_results(
            self._runtime, get_timestamp(request, "start_time"), get_timestamp(request, "end_time")
        )
        return pb.GetHoldOutResultsResponse(
            hold_out=_encode_hold_out(found.hold_out),
            start_time=to_timestamp(found.start_time),
            end_time=to_timestamp(found.end_time),
            reached=encode_arm(found.reached),
            held_out=encode_arm(found.held_out),
            summary=found.summary,
        )

    def GetJourneyResults(
        self, request: pb.GetJourneyResultsRequest, context: grpc.ServicerContext
    ) -> pb.GetJourneyResultsResponse:
        """Compare the groups of a journey."""
        key = parse_key(request.name, "journeys")
        found = uplift.journey_results(self._runtime, key, get_duration(request, "window"))
        return pb.GetJourneyResultsResponse(
            hold_out=None if found.hold_out is None else _encode_groups(found.hold_out),
            splits=[_encode_groups(item) for item in found.splits],
            summary=found.summary,
            as_of_time=to_timestamp(found.as_of_time),
        )

    def GetHoldOut(
        self, request: pb.GetHoldOutRequest, context: grpc.ServicerContext
    ) -> pb.GetHoldOutResponse:
        """Return the global hold-out."""
        found = experiments.get_hold_out(self._runtime)
        return pb.GetHoldOutResponse(hold_out=_encode_hold_out(found) if found else pb.HoldOut())


def _decode(campaign_id: str, message: pb.Experiment) -> Experiment:
    variants = tuple(
        _variant(item, f"experiment.variants[{index}]") for index, item in enumerate(message.variants)
    )
    duration = _length(message, "duration", DEFAULT_DURATION)
    latest = max((item.delay for item in variants), default=DEFAULT_DURATION)
    return Experiment(
        campaign_id=campaign_id,
        variants=variants,
        hold_out_percent=message.hold_out_percent,
        test_percent=message.test_percent or 100.0,
        duration=duration,
        window=_length(message, "window", duration - latest),
        metric=enum_text(pb.ExperimentMetric, message.metric) or "conversion",
        alpha=message.alpha or DEFAULT_ALPHA,
        by_hand=message.by_hand,
        baseline_rate=message.sample.baseline_rate,
        minimal_effect=message.sample.minimal_effect,
        power=message.sample.power or (0.8 if message.HasField("sample") else 0.0),
    )


def _length(message: Message, field: str, default: timedelta) -> timedelta:
    given = get_duration(message, field)
    return default if given is None else given


def _variant(message: pb.Variant, path: str) -> Variant:
    return Variant(
        id=message.id,
        weight=message.weight or 1,
        template_id=parse_key(message.template, "templates", f"{path}.template") if message.template else "",
        channel=message.channel,
        coupon_pool_id=parse_key(message.coupon_pool, "couponPools", f"{path}.coupon_pool")
        if message.coupon_pool
        else "",
        delay=from_duration(message.delay, f"{path}.delay"),
    )


def encode_experiment(item: Experiment) -> pb.Experiment:
    """Encode an experiment."""
    message = pb.Experiment(
        campaign=format_name("campaigns", item.campaign_id),
        variants=[
            pb.Variant(
                id=variant.id,
                weight=variant.weight,
                template=format_name("templates", variant.template_id) if variant.template_id else "",
                channel=variant.channel,
                coupon_pool=format_name("couponPools", variant.coupon_pool_id)
                if variant.coupon_pool_id
                else "",
                delay=to_duration(variant.delay),
            )
            for variant in item.variants
        ],
        hold_out_percent=item.hold_out_percent,
        test_percent=item.test_percent,
        duration=to_duration(item.duration),
        window=to_duration(item.window),
        metric=enum_number(pb.ExperimentMetric, item.metric),
        alpha=item.alpha,
        by_hand=item.by_hand,
        sample=pb.SamplePlan(
            baseline_rate=item.baseline_rate,
            minimal_effect=item.minimal_effect,
            power=item.power,
            contacts_per_arm=item.planned_per_group,
        )
        if item.minimal_effect
        else None,
        state=enum_number(pb.Experiment.State, item.state),
        winner=item.winner,
        decision=item.decision,
    )
    set_timestamp(message.end_time, item.end_time)
    set_timestamp(message.decide_time, item.decide_time)
    return message


def encode_arm(item: Verdict) -> pb.ArmResult:
    """Encode what a group did."""
    arm = item.arm
    return pb.ArmResult(
        variant=arm.variant,
        assigned=arm.assigned,
        sent=arm.sent,
        converted=arm.converted,
        conversion_rate=arm.rate,
        conversion_interval=_interval(wilson(arm.converted, arm.assigned)),
        revenue=[
            _encode_revenue(item, arm, currency)
            for currency in sorted(arm.spent.keys() | item.revenue.keys())
        ],
        conversion_uplift=comparison(item.conversion, item.against),
        held_out_uplift=comparison(item.held_out, ""),
    )


def _encode_revenue(item: Verdict, arm: Arm, currency: str) -> pb.ArmRevenue:
    amounts = arm.amounts(currency)
    spent = arm.spent.get(currency)
    return pb.ArmRevenue(
        currency_code=currency,
        amount=plain(spent.total) if spent else "0",
        per_contact=amounts.mean,
        largest_share=amounts.largest / amounts.total if amounts.total > 0 else 0.0,
        uplift=comparison(item.revenue.get(currency), item.against),
        held_out_uplift=comparison(item.held_out_revenue.get(currency), ""),
    )


def comparison(item: Compared | None, against: str | None) -> pb.Comparison | None:
    """Encode a difference; None for none."""
    if item is None:
        return None
    return pb.Comparison(
        against=against or "",
        difference=item.difference,
        interval=_interval(item.interval),
        p_value=item.p_value,
        alpha=item.alpha,
        significant=item.significant,
        method=item.method,
    )


def _interval(item: Interval) -> pb.Interval:
    return pb.Interval(low=item.low, high=item.high)


def _encode_hold_out(item: HoldOut) -> pb.HoldOut:
    return pb.HoldOut(
        percent=item.percent, period_days=item.period_days, start_time=to_timestamp(item.start_time)
    )


def _encode_groups(item: uplift.Divided) -> pb.JourneyGroups:
    return pb.JourneyGroups(
        step=item.step,
        since_time=to_timestamp(item.since),
        arms=[
            pb.JourneyArm(
                result=encode_arm(verdict),
                goal_count=count,
                goal_uplift=comparison(compared, item.verdicts[0].arm.variant),
            )
            for verdict, (count, compared) in zip(item.verdicts, item.goals, strict=True)
        ],
        pending_count=item.pending,
        planned_contacts=item.planned,
        compared=item.compared,
    )
