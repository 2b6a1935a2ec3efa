"""How memberships changed."""

from __future__ import annotations

import grpc
from rapport.segmentation.v1 import segmentation_pb2 as pb

from services.kit import paging
from services.kit.errors import InvalidArgument
from services.kit.names import format_name, parse_name
from services.kit.wire import get_timestamp, set_timestamp
from services.segmentation.api.base import Methods
from services.segmentation.domain import SEGMENTS, parse_segment
from services.segmentation.usecases import history


class HistoryMethods(Methods):
    """Answer the RPCs on entries and exits."""

    def ListMembershipChanges(
        self, request: pb.ListMembershipChangesRequest, context: grpc.ServicerContext
    ) -> pb.ListMembershipChangesResponse:
        """Return a page of entries and exits."""
        signer = self._service.signer
        if not request.contact and not request.segment:
            raise InvalidArgument.field("contact", "is required when no segment is given")
        size = paging.page_size(request.page_size, 100, 1000)
        position = paging.decode(request.page_token, request, signer)
        # The earliest time that is kept, and what is kept, as of one moment.
        with self._service.db.snapshot() as connection:
            found = history.changes(
                self._service,
                connection,
                contact_id=parse_name(request.contact, "contacts", "contact") if request.contact else None,
                segment=parse_segment(request.segment, "segment") if request.segment else None,
                start=get_timestamp(request, "start_time"),
                end=get_timestamp(request, "end_time"),
                after=tuple(position["after"]) if position else None,
                limit=size + 1,
            )
        page = found[:size]
        response = pb.ListMembershipChangesResponse()
        for item in page:
            change = response.changes.add(
                segment=format_name(SEGMENTS, item.segment),
                contact=format_name("contacts", item.contact_id),
                kind=pb.MembershipChange.KIND_LEFT if item.left else pb.MembershipChange.KIND_ENTERED,
                version=item.version,
            )
            set_timestamp(change.time, item.time)
        if len(found) > size:
            response.next_page_token = paging.encode({"after": list(page[-1].key)}, request, signer)
        return response
