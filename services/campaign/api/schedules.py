"""Campaigns that are launched by themselves."""

from __future__ import annotations

from datetime import datetime

import grpc
from rapport.campaign.v1 import campaign_pb2 as pb
from rapport.campaign.v1 import schedules_pb2, schedules_pb2_grpc

from services.campaign.api.base import SIZES, Methods
from services.campaign.domain.schedules import DEFAULT_CATCH_UP, Schedule
from services.campaign.usecases import schedules
from services.kit.errors import InvalidArgument
from services.kit.names import format_name, parse_key
from services.kit.wire import enum_number, get_duration, to_duration, to_timestamp

_COUNT = 10


class ScheduleServicer(Methods, schedules_pb2_grpc.ScheduleServiceServicer):
    """Answer the RPCs of ScheduleService; see the proto for what each promises."""

    def ScheduleCampaign(
        self, request: schedules_pb2.ScheduleCampaignRequest, context: grpc.ServicerContext
    ) -> schedules_pb2.ScheduleCampaignResponse:
        """Let a campaign be launched by itself."""
        key = parse_key(request.name, "campaigns")
        kept = schedules.schedule_campaign(
            self._runtime, key, decode_schedule(request.schedule, self._runtime.settings.time_zone)
        )
        assert kept.next_local is not None
        assert kept.next_time is not None
        return schedules_pb2.ScheduleCampaignResponse(next=_occurrence((kept.next_local, kept.next_time)))

    def UnscheduleCampaign(
        self, request: schedules_pb2.UnscheduleCampaignRequest, context: grpc.ServicerContext
    ) -> schedules_pb2.UnscheduleCampaignResponse:
        """Make a scheduled campaign a draft again."""
        found = schedules.unschedule_campaign(self._runtime, parse_key(request.name, "campaigns"))
        return schedules_pb2.UnscheduleCampaignResponse(state=enum_number(pb.Campaign.State, found.state))

    def GetCampaignSchedule(
        self, request: schedules_pb2.GetCampaignScheduleRequest, context: grpc.ServicerContext
    ) -> schedules_pb2.GetCampaignScheduleResponse:
        """Return the schedule of a campaign and what comes next."""
        kept, coming = schedules.get_schedule(
            self._runtime, parse_key(request.name, "campaigns"), request.count or _COUNT
        )
        return schedules_pb2.GetCampaignScheduleResponse(
            schedule=encode_schedule(kept.schedule),
            coming=[_occurrence(one) for one in coming],
            run_count=kept.run_count,
        )

    def PreviewSchedule(
        self, request: schedules_pb2.PreviewScheduleRequest, context: grpc.ServicerContext
    ) -> schedules_pb2.PreviewScheduleResponse:
        """Tell the occurrences to come of a schedule."""
        coming = schedules.preview_schedule(
            self._runtime,
            decode_schedule(request.schedule, self._runtime.settings.time_zone),
            request.count or _COUNT,
        )
        return schedules_pb2.PreviewScheduleResponse(coming=[_occurrence(one) for one in coming])

    def ListCampaignRuns(
        self, request: schedules_pb2.ListCampaignRunsRequest, context: grpc.ServicerContext
    ) -> schedules_pb2.ListCampaignRunsResponse:
        """List the occurrences that are over."""
        key = parse_key(request.name, "campaigns")
        found, token = self.page(
            request,
            SIZES,
            lambda place, count: schedules.list_runs(
                self._runtime,
                key,
                before=datetime.fromisoformat(place["local"]) if place else None,
                count=count,
            ),
            lambda item: {"local": item.local.isoformat()},
        )
        return schedules_pb2.ListCampaignRunsResponse(
            runs=[
                schedules_pb2.CampaignRun(
                    local_time=item.local.isoformat(),
                    launch_time=to_timestamp(item.time),
                    campaign=format_name("campaigns", item.run) if item.run else "",
                    reason=item.reason,
                    count=item.count,
                )
                for item in found
            ],
            next_page_token=token,
        )


def decode_schedule(message: schedules_pb2.CampaignSchedule, time_zone: str) -> Schedule:
    """Decode a schedule; time_zone: where none is said. Raises InvalidArgument (INVALID_SCHEDULE)."""
    try:
        start = datetime.fromisoformat(message.start_time)
    except ValueError:
        start = None
    if start is None or start.tzinfo is not None or not 1970 < start.year < 9000:
        raise InvalidArgument.field(
            "schedule.start_time",
            f"{message.start_time!r} is no local time: expected one such as 2026-03-29T09:00",
            reason=schedules.INVALID,
        )
    after = get_duration(message, "catch_up")
    return Schedule(
        start=start,
        zone=message.time_zone or time_zone,
        recurrence=message.recurrence,
        recipient_time=message.recipient_time,
        catch_up=DEFAULT_CATCH_UP if after is None else after,
    )


def encode_schedule(item: Schedule) -> schedules_pb2.CampaignSchedule:
    """Encode a schedule."""
    return schedules_pb2.CampaignSchedule(
        start_time=item.start.isoformat(),
        time_zone=item.zone,
        recurrence=item.recurrence,
        recipient_time=item.recipient_time,
        catch_up=to_duration(item.catch_up),
    )


def _occurrence(item: tuple[datetime, datetime]) -> schedules_pb2.Occurrence:
    return schedules_pb2.Occurrence(local_time=item[0].isoformat(), launch_time=to_timestamp(item[1]))
