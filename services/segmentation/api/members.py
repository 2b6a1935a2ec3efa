"""Who is in which segment, and what is known of a contact."""

from __future__ import annotations

import grpc
from rapport.segmentation.v1 import segmentation_pb2 as pb

from services.kit import paging
from services.kit.names import format_name, parse_name
from services.kit.wire import get_timestamp, set_timestamp
from services.segmentation.api.base import Methods
from services.segmentation.domain import SEGMENTS, parse_segment
from services.segmentation.store import membership
from services.segmentation.usecases import defining, history, reading


class MemberMethods(Methods):
    """Answer the RPCs on members and profiles."""

    def ListMembers(
        self, request: pb.ListMembersRequest, context: grpc.ServicerContext
    ) -> pb.ListMembersResponse:
        """Return a page of members."""
        signer = self._service.signer
        id_ = parse_segment(request.segment, "segment")
        size = paging.page_size(request.page_size, 1000, 10_000)
        position = paging.decode(request.page_token, request, signer)
        after = position["contact"] if position else None
        at = get_timestamp(request, "as_of_time")
        # The segment and its members as of one moment, while others change or remove them.
        with self._service.db.snapshot() as connection:
            if at is not None:
                past = history.members_at(self._service, connection, id_, at, after=after, limit=size + 1)
                found, version = past.contacts, past.version
            else:
                segment = defining.load(connection, id_)
                found = membership.list_members(connection, segment.number, after=after, limit=size + 1)
                version = segment.active_version or 0
        page = found[:size]
        response = pb.ListMembersResponse(
            contacts=[format_name("contacts", item) for item in page], version=version
        )
        if len(found) > size:
            response.next_page_token = paging.encode({"contact": page[-1]}, request, signer)
        return response

    def ListContactSegments(
        self, request: pb.ListContactSegmentsRequest, context: grpc.ServicerContext
    ) -> pb.ListContactSegmentsResponse:
        """Return the segments that a contact is in."""
        contact = parse_name(request.contact, "contacts", "contact")
        response = pb.ListContactSegmentsResponse()
        with self._service.db.read() as connection:
            for row in membership.segments_of(connection, contact):
                item = response.segments.add(
                    segment=format_name(SEGMENTS, row.id), display_name=row.display_name
                )
                set_timestamp(item.enter_time, row.enter_time)
        return response

    def GetProfile(
        self, request: pb.GetProfileRequest, context: grpc.ServicerContext
    ) -> pb.GetProfileResponse:
        """Return what rules see of a contact."""
        view = reading.get_profile(self._service, parse_name(request.contact, "contacts", "contact"))
        response = pb.GetProfileResponse(
            tags=view.tags, consents=view.consents, event_counts=view.event_counts, revision=view.revision
        )
        response.attributes.update(view.attributes)
        response.traits.update(view.traits)
        return response
