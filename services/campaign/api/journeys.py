"""Methods of CampaignService on journeys: made, read, switched on and off."""

from __future__ import annotations

import grpc
from rapport.campaign.v1 import campaign_pb2 as pb

from services.campaign import codec
from services.campaign.api.base import Methods
from services.campaign.domain.ledger import Counts
from services.campaign.usecases import journeys
from services.kit.names import parse_key


class JourneyMethods(Methods):
    """Answer the RPCs on journeys."""

    def CreateJourney(
        self, request: pb.CreateJourneyRequest, context: grpc.ServicerContext
    ) -> pb.CreateJourneyResponse:
        """Create a journey."""
        given = codec.decode_journey(request.journey_id, request.journey)
        return self.once(
            request,
            pb.CreateJourneyResponse,
            lambda connection: pb.CreateJourneyResponse(
                journey=codec.encode_journey(
                    journeys.create_journey(self._runtime, connection, given), Counts()
                )
            ),
        )

    def GetJourney(
        self, request: pb.GetJourneyRequest, context: grpc.ServicerContext
    ) -> pb.GetJourneyResponse:
        """Return a journey with its counts."""
        found = journeys.get_journey(self._runtime, parse_key(request.name, "journeys"))
        return pb.GetJourneyResponse(journey=codec.encode_journey(*found))

    def ListJourneys(
        self, request: pb.ListJourneysRequest, context: grpc.ServicerContext
    ) -> pb.ListJourneysResponse:
        """List journeys by id."""
        found, token = self.page_by_id(
            request,
            lambda after, count: journeys.list_journeys(self._runtime, after=after, count=count),
            lambda item: item[0].id,
        )
        return pb.ListJourneysResponse(
            journeys=[codec.encode_journey(*item) for item in found], next_page_token=token
        )

    def ActivateJourney(
        self, request: pb.ActivateJourneyRequest, context: grpc.ServicerContext
    ) -> pb.ActivateJourneyResponse:
        """Let events start a journey."""
        found = journeys.set_active(self._runtime, parse_key(request.name, "journeys"), active=True)
        return pb.ActivateJourneyResponse(journey=codec.encode_journey(*found))

    def DeactivateJourney(
        self, request: pb.DeactivateJourneyRequest, context: grpc.ServicerContext
    ) -> pb.DeactivateJourneyResponse:
        """Let events start a journey no more."""
        found = journeys.set_active(self._runtime, parse_key(request.name, "journeys"), active=False)
        return pb.DeactivateJourneyResponse(journey=codec.encode_journey(*found))
