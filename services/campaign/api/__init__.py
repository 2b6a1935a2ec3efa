"""The servicers over gRPC: each method decodes the request, calls its use case and encodes the answer."""

from __future__ import annotations

import grpc
from rapport.campaign.v1 import (
    approvals_pb2_grpc,
    campaign_pb2_grpc,
    content_pb2_grpc,
    definitions_pb2_grpc,
    experiments_pb2_grpc,
    journeys_pb2_grpc,
    limits_pb2_grpc,
    results_pb2_grpc,
    schedules_pb2_grpc,
    simulation_pb2_grpc,
    tracking_pb2_grpc,
)

from services.campaign.api.approvals import ApprovalServicer
from services.campaign.api.campaigns import CampaignMethods
from services.campaign.api.content import ContentServicer
from services.campaign.api.coupons import CouponMethods
from services.campaign.api.definitions import DefinitionServicer
from services.campaign.api.experiments import ExperimentServicer
from services.campaign.api.journeys import JourneyMethods, JourneyServicer
from services.campaign.api.limits import LimitServicer
from services.campaign.api.messages import MessageMethods
from services.campaign.api.results import ResultServicer
from services.campaign.api.schedules import ScheduleServicer
from services.campaign.api.simulation import SimulationServicer
from services.campaign.api.suppressions import SuppressionMethods
from services.campaign.api.templates import TemplateMethods
from services.campaign.api.tracking import TrackingServicer
from services.campaign.channels import known_channels, release
from services.campaign.usecases.figures import message_figures
from services.kit.runtime import Runtime

own_figures = (message_figures,)


class CampaignServicer(
    TemplateMethods,
    CouponMethods,
    CampaignMethods,
    JourneyMethods,
    SuppressionMethods,
    MessageMethods,
    campaign_pb2_grpc.CampaignServiceServicer,
):
    """Answer the RPCs of CampaignService; see the proto for what each promises."""


def register(server: grpc.Server, runtime: Runtime) -> None:
    """Add the servicers of campaign to a server."""
    campaign_pb2_grpc.add_CampaignServiceServicer_to_server(CampaignServicer(runtime), server)  # type: ignore[no-untyped-call]
    tracking_pb2_grpc.add_TrackingServiceServicer_to_server(TrackingServicer(runtime), server)  # type: ignore[no-untyped-call]
    limits_pb2_grpc.add_LimitServiceServicer_to_server(LimitServicer(runtime), server)  # type: ignore[no-untyped-call]
    content_pb2_grpc.add_ContentServiceServicer_to_server(ContentServicer(runtime), server)  # type: ignore[no-untyped-call]
    journeys_pb2_grpc.add_JourneyServiceServicer_to_server(JourneyServicer(runtime), server)  # type: ignore[no-untyped-call]
    schedules_pb2_grpc.add_ScheduleServiceServicer_to_server(ScheduleServicer(runtime), server)  # type: ignore[no-untyped-call]
    approvals_pb2_grpc.add_ApprovalServiceServicer_to_server(ApprovalServicer(runtime), server)  # type: ignore[no-untyped-call]
    experiments_pb2_grpc.add_ExperimentServiceServicer_to_server(ExperimentServicer(runtime), server)  # type: ignore[no-untyped-call]
    definitions_pb2_grpc.add_DefinitionServiceServicer_to_server(DefinitionServicer(runtime), server)  # type: ignore[no-untyped-call]
    results_pb2_grpc.add_ResultServiceServicer_to_server(ResultServicer(runtime), server)  # type: ignore[no-untyped-call]
    simulation_pb2_grpc.add_SimulationServiceServicer_to_server(SimulationServicer(runtime), server)  # type: ignore[no-untyped-call]


def background(runtime: Runtime) -> list[PluginPart]:
    """Return what runs beside the API: the plugin host."""
    return [PluginPart(runtime)]


class PluginPart:
    """Load the plugins with the process, so that a required one is missed at once, and end their host with it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def start(self) -> None:
        """Load the plugins."""
        known_channels(self._runtime)

    def stop(self) -> None:
        """End the host's processes."""
        release(self._runtime)
