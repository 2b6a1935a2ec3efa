"""Journeys: made, read, switched on and off; changed, migrated, and who is on them."""

from __future__ import annotations

from uuid import UUID

import grpc
from rapport.campaign.v1 import campaign_pb2 as pb
from rapport.campaign.v1 import journeys_pb2, journeys_pb2_grpc

from services.campaign import journey_codec as codec
from services.campaign.api.base import SIZES, Methods
from services.campaign.domain.ledger import Counts
from services.campaign.usecases import journey_control, journey_history, journeys
from services.kit.names import parse_key, parse_name

_NO_VERSION = (1 << 31) - 1
"""Beyond the last."""


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


class JourneyServicer(Methods, journeys_pb2_grpc.JourneyServiceServicer):
    """Answer the RPCs of JourneyService; see the proto for what each promises."""

    def ValidateJourney(
        self, request: journeys_pb2.ValidateJourneyRequest, context: grpc.ServicerContext
    ) -> journeys_pb2.ValidateJourneyResponse:
        """Check a journey."""
        given = codec.decode_journey("", request.journey)
        found = journeys.validate_journey(self._runtime, given)
        return journeys_pb2.ValidateJourneyResponse(problems=[codec.encode_problem(item) for item in found])

    def UpdateJourney(
        self, request: journeys_pb2.UpdateJourneyRequest, context: grpc.ServicerContext
    ) -> journeys_pb2.UpdateJourneyResponse:
        """Replace a journey."""
        key = parse_key(request.journey.name, "journeys", "journey.name")
        given = codec.decode_journey(key, request.journey)
        return self.once(
            request,
            journeys_pb2.UpdateJourneyResponse,
            lambda connection: journeys_pb2.UpdateJourneyResponse(
                journey=codec.encode_journey(
                    *journeys.update_journey(self._runtime, connection, given, request.version)
                )
            ),
        )

    def ListJourneyVersions(
        self, request: journeys_pb2.ListJourneyVersionsRequest, context: grpc.ServicerContext
    ) -> journeys_pb2.ListJourneyVersionsResponse:
        """List the versions of a journey."""
        key = parse_key(request.name, "journeys")
        found, token = self.page(
            request,
            SIZES,
            lambda place, count: journeys.list_versions(
                self._runtime, key, before=place["version"] if place else _NO_VERSION, count=count
            ),
            lambda item: {"version": item[0]},
        )
        return journeys_pb2.ListJourneyVersionsResponse(
            versions=[codec.encode_version(*item) for item in found], next_page_token=token
        )

    def MigrateJourney(
        self, request: journeys_pb2.MigrateJourneyRequest, context: grpc.ServicerContext
    ) -> journeys_pb2.MigrateJourneyResponse:
        """Put people onto the newest version."""
        count, version = journeys.migrate_journey(
            self._runtime, parse_key(request.name, "journeys"), dict(request.steps), request.from_version
        )
        return journeys_pb2.MigrateJourneyResponse(migrated_count=count, version=version)

    def PauseJourney(
        self, request: journeys_pb2.PauseJourneyRequest, context: grpc.ServicerContext
    ) -> journeys_pb2.PauseJourneyResponse:
        """Halt a journey."""
        found = journey_control.change_state(self._runtime, "pause", parse_key(request.name, "journeys"))
        return journeys_pb2.PauseJourneyResponse(journey=codec.encode_journey(*found))

    def ResumeJourney(
        self, request: journeys_pb2.ResumeJourneyRequest, context: grpc.ServicerContext
    ) -> journeys_pb2.ResumeJourneyResponse:
        """Let a journey go on."""
        found = journey_control.change_state(self._runtime, "resume", parse_key(request.name, "journeys"))
        return journeys_pb2.ResumeJourneyResponse(journey=codec.encode_journey(*found))

    def CancelJourney(
        self, request: journeys_pb2.CancelJourneyRequest, context: grpc.ServicerContext
    ) -> journeys_pb2.CancelJourneyResponse:
        """End a journey for good."""
        key = parse_key(request.name, "journeys")
        found = journey_control.change_state(self._runtime, "cancel", key, request.reason)
        return journeys_pb2.CancelJourneyResponse(journey=codec.encode_journey(*found))

    def RemoveJourneyContacts(
        self, request: journeys_pb2.RemoveJourneyContactsRequest, context: grpc.ServicerContext
    ) -> journeys_pb2.RemoveJourneyContactsResponse:
        """Take contacts out of a journey."""
        contacts = [parse_name(name, "contacts", "contacts") for name in request.contacts]
        removed, cancelled = journey_control.remove_contacts(
            self._runtime, parse_key(request.name, "journeys"), contacts, request.reason
        )
        return journeys_pb2.RemoveJourneyContactsResponse(
            removed_count=removed, cancelled_message_count=cancelled
        )

    def ListJourneyEntries(
        self, request: journeys_pb2.ListJourneyEntriesRequest, context: grpc.ServicerContext
    ) -> journeys_pb2.ListJourneyEntriesResponse:
        """List who is or was on a journey."""
        journey = parse_key(request.journey, "journeys", "journey") if request.journey else ""
        contact = parse_name(request.contact, "contacts", "contact") if request.contact else None
        found, token = self.page(
            request,
            SIZES,
            lambda place, count: journey_history.list_entries(
                self._runtime,
                journey_id=journey,
                contact_id=contact,
                only_open=request.open,
                step_id=request.step,
                before=UUID(place["id"]) if place else None,
                count=count,
            ),
            lambda item: {"id": str(item.id)},
        )
        return journeys_pb2.ListJourneyEntriesResponse(
            entries=[codec.encode_standing(item) for item in found], next_page_token=token
        )

    def GetJourneyEntry(
        self, request: journeys_pb2.GetJourneyEntryRequest, context: grpc.ServicerContext
    ) -> journeys_pb2.GetJourneyEntryResponse:
        """Return who is or was on a journey, with the path."""
        found = journey_history.get_entry(self._runtime, parse_name(request.name, "journeyEntries"))
        return journeys_pb2.GetJourneyEntryResponse(entry=codec.encode_told(found))

    def GetJourneyFlow(
        self, request: journeys_pb2.GetJourneyFlowRequest, context: grpc.ServicerContext
    ) -> journeys_pb2.GetJourneyFlowResponse:
        """Count what happened at each step."""
        version, found = journey_history.get_flow(
            self._runtime, parse_key(request.name, "journeys"), request.version
        )
        return journeys_pb2.GetJourneyFlowResponse(
            version=version, steps=[codec.encode_flow(item) for item in found]
        )
