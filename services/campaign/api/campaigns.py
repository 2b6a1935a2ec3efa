"""Methods of CampaignService on campaigns: drafted, launched, paused, resumed, cancelled."""

from __future__ import annotations

import grpc
from rapport.campaign.v1 import campaign_pb2 as pb

from services.campaign import codec
from services.campaign.api.base import Methods
from services.campaign.domain.ledger import Counts
from services.campaign.usecases import campaigns, trial
from services.kit.names import parse_key


class CampaignMethods(Methods):
    """Answer the RPCs on campaigns."""

    def CreateCampaign(
        self, request: pb.CreateCampaignRequest, context: grpc.ServicerContext
    ) -> pb.CreateCampaignResponse:
        """Create a campaign."""
        given = codec.decode_campaign(request.campaign_id, request.campaign)
        return self.once(
            request,
            pb.CreateCampaignResponse,
            lambda connection: pb.CreateCampaignResponse(
                campaign=codec.encode_campaign(
                    campaigns.create_campaign(self._runtime, connection, given), Counts()
                )
            ),
        )

    def GetCampaign(
        self, request: pb.GetCampaignRequest, context: grpc.ServicerContext
    ) -> pb.GetCampaignResponse:
        """Return a campaign with its counts."""
        found = campaigns.get_campaign(self._runtime, parse_key(request.name, "campaigns"))
        return pb.GetCampaignResponse(campaign=codec.encode_campaign(*found))

    def ListCampaigns(
        self, request: pb.ListCampaignsRequest, context: grpc.ServicerContext
    ) -> pb.ListCampaignsResponse:
        """List campaigns by id."""
        if request.segment:
            parse_key(request.segment, "segments", "segment")
        found, token = self.page_by_id(
            request,
            lambda after, count: campaigns.list_campaigns(
                self._runtime, after_id=after, count=count, segment=request.segment
            ),
            lambda item: item[0].id,
        )
        return pb.ListCampaignsResponse(
            campaigns=[codec.encode_campaign(*item) for item in found], next_page_token=token
        )

    def LaunchCampaign(
        self, request: pb.LaunchCampaignRequest, context: grpc.ServicerContext
    ) -> pb.LaunchCampaignResponse:
        """Start a launch, or say what it would do."""
        key = parse_key(request.name, "campaigns")
        if request.validate_only:
            audience, warnings = trial.try_launch(self._runtime, key)
            return pb.LaunchCampaignResponse(audience_size=audience, warnings=warnings)
        kept = pb.LaunchCampaignRequest(name=request.name)
        operation = campaigns.launch_campaign(self._runtime, key, kept, request.request_id)
        warnings = campaigns.channel_warnings(self._runtime, key)
        return pb.LaunchCampaignResponse(operation=operation, warnings=warnings)

    def PauseCampaign(
        self, request: pb.PauseCampaignRequest, context: grpc.ServicerContext
    ) -> pb.PauseCampaignResponse:
        """Pause a campaign."""
        return pb.PauseCampaignResponse(campaign=self._changed("pause", request.name))

    def ResumeCampaign(
        self, request: pb.ResumeCampaignRequest, context: grpc.ServicerContext
    ) -> pb.ResumeCampaignResponse:
        """Resume a campaign."""
        return pb.ResumeCampaignResponse(campaign=self._changed("resume", request.name))

    def CancelCampaign(
        self, request: pb.CancelCampaignRequest, context: grpc.ServicerContext
    ) -> pb.CancelCampaignResponse:
        """Cancel a campaign."""
        return pb.CancelCampaignResponse(campaign=self._changed("cancel", request.name))

    def _changed(self, action: str, name: str) -> pb.Campaign:
        found = campaigns.change_state(self._runtime, action, parse_key(name, "campaigns"))
        return codec.encode_campaign(*found)
