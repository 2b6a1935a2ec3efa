"""SimulationService over gRPC: each method decodes the request, calls its use case and encodes the answer."""

from __future__ import annotations

from datetime import datetime

import grpc
from rapport.campaign.v1 import simulation_pb2 as pb
from rapport.campaign.v1 import simulation_pb2_grpc
from rapport.operations.v1.operations_pb2 import Operation

from services.campaign import simulation_codec as codec
from services.campaign.api.base import SIZES, Methods
from services.campaign.usecases import simulating
from services.kit.names import format_name, parse_name
from services.kit.wire import enum_text


class SimulationServicer(Methods, simulation_pb2_grpc.SimulationServiceServicer):
    """Answer the RPCs of SimulationService; see the proto for what each promises."""

    def SimulateCampaign(
        self, request: pb.SimulateCampaignRequest, context: grpc.ServicerContext
    ) -> pb.SimulateCampaignResponse:
        """Begin to simulate a campaign."""
        kept = pb.SimulateCampaignRequest()
        kept.CopyFrom(request)
        kept.ClearField("request_id")
        operation = simulating.start_campaign(self._runtime, kept, request.request_id)
        return pb.SimulateCampaignResponse(operation=operation, simulation=_name(operation))

    def SimulateJourney(
        self, request: pb.SimulateJourneyRequest, context: grpc.ServicerContext
    ) -> pb.SimulateJourneyResponse:
        """Begin to simulate a journey."""
        kept = pb.SimulateJourneyRequest()
        kept.CopyFrom(request)
        kept.ClearField("request_id")
        operation = simulating.start_journey(self._runtime, kept, request.request_id)
        return pb.SimulateJourneyResponse(operation=operation, simulation=_name(operation))

    def GetSimulation(
        self, request: pb.GetSimulationRequest, context: grpc.ServicerContext
    ) -> pb.GetSimulationResponse:
        """Return a simulation."""
        found = simulating.get(self._runtime, parse_name(request.name, "simulations"))
        return pb.GetSimulationResponse(simulation=codec.encode_simulation(found))

    def ListSimulatedMessages(
        self, request: pb.ListSimulatedMessagesRequest, context: grpc.ServicerContext
    ) -> pb.ListSimulatedMessagesResponse:
        """List the messages of a simulation."""
        key = parse_name(request.simulation, "simulations", "simulation")
        contact = parse_name(request.contact, "contacts", "contact") if request.contact else None
        decision = enum_text(pb.SimulatedMessage.Decision, request.decision)
        found, token = self.page(
            request,
            SIZES,
            lambda place, count: simulating.list_messages(
                self._runtime,
                key,
                contact_id=contact,
                decision=decision,
                word=request.reason,
                after=(datetime.fromisoformat(place["time"]), place["number"]) if place else None,
                count=count,
            ),
            lambda item: {"time": item.plan_time.isoformat(), "number": item.number},
        )
        return pb.ListSimulatedMessagesResponse(
            messages=[codec.encode_message(item) for item in found], next_page_token=token
        )

    def ListSimulatedEntries(
        self, request: pb.ListSimulatedEntriesRequest, context: grpc.ServicerContext
    ) -> pb.ListSimulatedEntriesResponse:
        """List who would have been on a journey."""
        key = parse_name(request.simulation, "simulations", "simulation")
        origin = simulating.get(self._runtime, key).origin
        found, token = self.page(
            request,
            SIZES,
            lambda place, count: simulating.list_entries(
                self._runtime, key, after=place["number"] if place else 0, count=count
            ),
            lambda item: {"number": item.number},
        )
        return pb.ListSimulatedEntriesResponse(
            entries=[codec.encode_entry(item, origin) for item in found], next_page_token=token
        )


def _name(operation: Operation) -> str:
    return format_name("simulations", parse_name(operation.name, "operations"))
