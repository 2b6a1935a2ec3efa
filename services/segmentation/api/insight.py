"""InsightService over gRPC: each method decodes the request, calls its use case and encodes the answer."""

from __future__ import annotations

from typing import Any

import grpc
from rapport.segmentation.v1 import insight_pb2 as pb
from rapport.segmentation.v1 import insight_pb2_grpc

from services.kit.errors import InvalidArgument
from services.kit.wire import enum_text, set_timestamp
from services.segmentation.context import Service
from services.segmentation.domain import parse_segment
from services.segmentation.usecases import insight
from services.segmentation.usecases.insight import Target, decimal_text


class InsightServicer(insight_pb2_grpc.InsightServiceServicer):
    """Answer the RPCs of InsightService; see the proto for what each promises."""

    def __init__(self, service: Service) -> None:
        """Serve from the context of a process."""
        self._service = service

    def GetDistribution(
        self, request: pb.GetDistributionRequest, context: grpc.ServicerContext
    ) -> pb.GetDistributionResponse:
        """Count contacts by an attribute."""
        target = _target(request)
        if target == Target():
            raise InvalidArgument.field("target", "is required: give a rule or the name of a segment")
        found = insight.distribution(
            self._service,
            target,
            request.attribute,
            limits=list(request.bin_limits),
            bins=request.bin_count or 10,
            values=request.value_count or 20,
            period=enum_text(pb.CalendarPeriod, request.period) or "month",  # type: ignore[arg-type]
        )
        response = pb.GetDistributionResponse(
            attribute=found.attribute,
            type="list(string)" if found.type == "strings" else found.type,
            member_count=found.members,
            contact_count=found.contacts,
            groups=[_group(item) for item in found.groups],
            omitted_value_count=found.omitted,
        )
        set_timestamp(response.as_of_time, found.as_of)
        return response

    def GetCohortRetention(
        self, request: pb.GetCohortRetentionRequest, context: grpc.ServicerContext
    ) -> pb.GetCohortRetentionResponse:
        """Return the retention of cohorts."""
        period = enum_text(pb.CalendarPeriod, request.period) or "month"
        if period == "year":
            raise InvalidArgument.field("period", "cohorts are of weeks or months")
        found, as_of = insight.cohorts(
            self._service,
            _target(request),
            first=request.first_event_type,
            active=request.active_event_type,
            period=period,  # type: ignore[arg-type]
            count=request.cohort_count or 12,
        )
        response = pb.GetCohortRetentionResponse(time_zone=self._service.time_zone)
        for cohort in found:
            added = response.cohorts.add(start_date=cohort.start.isoformat(), contact_count=cohort.contacts)
            for item in cohort.periods:
                added.periods.add(
                    start_date=item.start.isoformat(),
                    active_count=item.active,
                    active_share=item.share,
                    amount=decimal_text(item.amount),
                    complete=item.complete,
                )
        set_timestamp(response.as_of_time, as_of)
        return response

    def GetRfmGrid(
        self, request: pb.GetRfmGridRequest, context: grpc.ServicerContext
    ) -> pb.GetRfmGridResponse:
        """Count contacts by their scores."""
        found = insight.rfm_grid(self._service, _target(request))
        response = pb.GetRfmGridResponse(
            cells=[
                pb.RfmCell(
                    recency=cell.recency,
                    frequency=cell.frequency,
                    contact_count=cell.contacts,
                    amount=decimal_text(cell.amount),
                )
                for cell in found.cells
            ],
            unscored_count=found.unscored,
        )
        set_timestamp(response.score_time, found.scored_at)
        set_timestamp(response.as_of_time, found.as_of)
        return response


def _target(request: Any) -> Target:
    match request.WhichOneof("target"):
        case "rule":
            return Target(rule=request.rule)
        case "segment":
            return Target(segment=parse_segment(request.segment, "segment"))
    return Target()


def _group(item: insight.DistributionGroup) -> pb.DistributionGroup:
    share = item.share
    message = pb.DistributionGroup(
        member_count=item.members,
        contact_count=item.contacts,
        member_share=share.members,
        contact_share=share.contacts,
        lift=share.lift,
        member_share_low=share.low,
        member_share_high=share.high,
        significant=share.significant,
    )
    if item.other:
        message.other = True
    elif item.bin is not None:
        low, high = (decimal_text(bound) if bound is not None else "" for bound in item.bin)
        message.bin.CopyFrom(pb.NumberBin(low=low, high=high))
    elif item.value is not None:
        message.value = item.value
    else:
        message.missing = True
    return message
