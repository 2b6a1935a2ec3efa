"""The servicers over gRPC: each method decodes the request, calls its use case and encodes the answer."""

from __future__ import annotations

import grpc
from rapport.campaign.v1 import campaign_pb2_grpc, limits_pb2_grpc

from services.campaign.api.campaigns import CampaignMethods
from services.campaign.api.coupons import CouponMethods
from services.campaign.api.journeys import JourneyMethods
from services.campaign.api.limits import LimitServicer
from services.campaign.api.messages import MessageMethods
from services.campaign.api.suppressions import SuppressionMethods
from services.campaign.api.templates import TemplateMethods
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
    """Add the servicers of campaigns and limits to a server."""
    campaign_pb2_grpc.add_CampaignServiceServicer_to_server(CampaignServicer(runtime), server)  # type: ignore[no-untyped-call]
    limits_pb2_grpc.add_LimitServiceServicer_to_server(LimitServicer(runtime), server)  # type: ignore[no-untyped-call]


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
