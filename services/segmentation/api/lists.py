"""Lists: their members, and snapshots."""

from __future__ import annotations

import grpc
from rapport.segmentation.v1 import segmentation_pb2 as pb

from services.kit.idempotency import remember, replay
from services.kit.names import parse_name
from services.segmentation.api.base import Methods
from services.segmentation.api.segments import encode_segment
from services.segmentation.domain import check_id, parse_segment
from services.segmentation.models import kit
from services.segmentation.usecases import lists, snapshots


class ListMethods(Methods):
    """Answer the RPCs on lists."""

    def AddMembers(
        self, request: pb.AddMembersRequest, context: grpc.ServicerContext
    ) -> pb.AddMembersResponse:
        """Put contacts into a list."""
        with self._service.db.transaction() as connection:
            done = replay(connection, kit.request_log, request.request_id, request, pb.AddMembersResponse)
            if done is not None:
                return done
            changed, members = lists.change_members(
                self._service,
                connection,
                parse_segment(request.segment, "segment"),
                [parse_name(item, "contacts", "contacts") for item in request.contacts],
                entered=True,
                historical=request.historical,
            )
            response = pb.AddMembersResponse(added_count=changed, member_count=members)
            now = self._service.clock.now()
            remember(connection, kit.request_log, request.request_id, request, response, now)
        return response

    def RemoveMembers(
        self, request: pb.RemoveMembersRequest, context: grpc.ServicerContext
    ) -> pb.RemoveMembersResponse:
        """Take contacts out of a list."""
        with self._service.db.transaction() as connection:
            done = replay(connection, kit.request_log, request.request_id, request, pb.RemoveMembersResponse)
            if done is not None:
                return done
            changed, members = lists.change_members(
                self._service,
                connection,
                parse_segment(request.segment, "segment"),
                [parse_name(item, "contacts", "contacts") for item in request.contacts],
                entered=False,
                historical=request.historical,
            )
            response = pb.RemoveMembersResponse(removed_count=changed, member_count=members)
            now = self._service.clock.now()
            remember(connection, kit.request_log, request.request_id, request, response, now)
        return response

    def SnapshotSegment(
        self, request: pb.SnapshotSegmentRequest, context: grpc.ServicerContext
    ) -> pb.SnapshotSegmentResponse:
        """Start a snapshot."""
        check_id(request.segment_id)
        with self._service.db.transaction() as connection:
            done = replay(
                connection, kit.request_log, request.request_id, request, pb.SnapshotSegmentResponse
            )
            if done is not None:
                return done
            made, operation = snapshots.request_snapshot(self._service, connection, request)
            response = pb.SnapshotSegmentResponse(segment=encode_segment(made), operation=operation)
            now = self._service.clock.now()
            remember(connection, kit.request_log, request.request_id, request, response, now)
        return response
