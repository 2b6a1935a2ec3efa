"""Segments: their definitions and rebuilds."""

from __future__ import annotations

from typing import Any

import grpc
from rapport.segmentation.v1 import segmentation_pb2 as pb

from services.kit import paging
from services.kit.errors import InvalidArgument
from services.kit.idempotency import remember, replay
from services.kit.names import format_name
from services.kit.wire import set_timestamp
from services.segmentation.api.base import Methods
from services.segmentation.domain import SEGMENTS, Kind, Segment, check_id, parse_segment
from services.segmentation.models import kit
from services.segmentation.store import segments
from services.segmentation.usecases import defining, previewing, rebuilding
from services.segmentation.usecases.defining import Change

_STATES = {
    "building": pb.Segment.STATE_BUILDING,
    "ready": pb.Segment.STATE_READY,
    "failed": pb.Segment.STATE_FAILED,
}
KINDS: dict[Kind, Any] = {"rule": pb.Segment.KIND_RULE, "list": pb.Segment.KIND_LIST}


class SegmentMethods(Methods):
    """Answer the RPCs on definitions of segments."""

    def CreateSegment(
        self, request: pb.CreateSegmentRequest, context: grpc.ServicerContext
    ) -> pb.CreateSegmentResponse:
        """Create a segment."""
        service = self._service
        id_ = check_id(request.segment_id)
        name = format_name(SEGMENTS, id_)
        given = request.segment
        if given.name and given.name != name:
            raise InvalidArgument.field("segment.name", f"must be empty or {name!r}, as the id says")
        if kind_of(given, "segment") == "list":
            return self._create_list(request, id_)
        if request.validate_only:
            with previewing.snapshot(service) as connection:
                compiled = defining.check_new(service, connection, id_, given.rule)
                found = previewing.count(service, connection, compiled, None, 0)
            checked = pb.Segment(
                name=name,
                display_name=given.display_name,
                rule=given.rule,
                version=1,
                state=pb.Segment.STATE_BUILDING,
                member_count=found.members,
                kind=pb.Segment.KIND_RULE,
            )
            return pb.CreateSegmentResponse(segment=checked)
        with service.db.transaction() as connection:
            done = replay(connection, kit.request_log, request.request_id, request, pb.CreateSegmentResponse)
            if done is not None:
                return done
            made = defining.create_segment(service, connection, id_, given.display_name, given.rule)
            response = pb.CreateSegmentResponse(segment=encode_segment(made.segment), rebuild=made.rebuild)
            remember(connection, kit.request_log, request.request_id, request, response, service.clock.now())
        return response

    def _create_list(self, request: pb.CreateSegmentRequest, id_: str) -> pb.CreateSegmentResponse:
        service = self._service
        with service.db.transaction() as connection:
            if request.validate_only:
                if segments.find(connection, id_) is not None:
                    raise defining.taken(id_)
                checked = pb.Segment(
                    name=format_name(SEGMENTS, id_),
                    display_name=request.segment.display_name,
                    version=1,
                    state=pb.Segment.STATE_READY,
                    kind=pb.Segment.KIND_LIST,
                )
                return pb.CreateSegmentResponse(segment=checked)
            done = replay(connection, kit.request_log, request.request_id, request, pb.CreateSegmentResponse)
            if done is not None:
                return done
            made = defining.create_list(service, connection, id_, request.segment.display_name)
            response = pb.CreateSegmentResponse(segment=encode_segment(made))
            remember(connection, kit.request_log, request.request_id, request, response, service.clock.now())
        return response

    def GetSegment(
        self, request: pb.GetSegmentRequest, context: grpc.ServicerContext
    ) -> pb.GetSegmentResponse:
        """Return a segment."""
        id_ = parse_segment(request.name)
        with self._service.db.read() as connection:
            return pb.GetSegmentResponse(segment=encode_segment(defining.load(connection, id_)))

    def ListSegments(
        self, request: pb.ListSegmentsRequest, context: grpc.ServicerContext
    ) -> pb.ListSegmentsResponse:
        """Return a page of segments."""
        signer = self._service.signer
        size = paging.page_size(request.page_size, 100, 1000)
        position = paging.decode(request.page_token, request, signer)
        with self._service.db.read() as connection:
            found = segments.list_page(connection, after=position["id"] if position else "", limit=size + 1)
        page = found[:size]
        response = pb.ListSegmentsResponse(segments=[encode_segment(item) for item in page])
        if len(found) > size:
            response.next_page_token = paging.encode({"id": page[-1].id}, request, signer)
        return response

    def UpdateSegment(
        self, request: pb.UpdateSegmentRequest, context: grpc.ServicerContext
    ) -> pb.UpdateSegmentResponse:
        """Change a segment."""
        service = self._service
        id_ = parse_segment(request.segment.name, "segment.name")
        change = _change(request)
        if request.validate_only:
            with previewing.snapshot(service) as connection:
                found, compiled = defining.check_change(service, connection, id_, change, request.etag)
                checked = encode_segment(found, change)
                if compiled is not None:
                    counted = previewing.count(service, connection, compiled, None, 0)
                    checked.member_count = counted.members
            return pb.UpdateSegmentResponse(segment=checked)
        with service.db.transaction() as connection:
            done = replay(connection, kit.request_log, request.request_id, request, pb.UpdateSegmentResponse)
            if done is not None:
                return done
            made = defining.update_segment(service, connection, id_, change, request.etag)
            response = pb.UpdateSegmentResponse(segment=encode_segment(made.segment), rebuild=made.rebuild)
            remember(connection, kit.request_log, request.request_id, request, response, service.clock.now())
        return response

    def DeleteSegment(
        self, request: pb.DeleteSegmentRequest, context: grpc.ServicerContext
    ) -> pb.DeleteSegmentResponse:
        """Delete a segment."""
        id_ = parse_segment(request.name)
        with self._service.db.transaction() as connection:
            defining.delete_segment(self._service, connection, id_, request.etag)
        return pb.DeleteSegmentResponse()

    def RebuildSegments(
        self, request: pb.RebuildSegmentsRequest, context: grpc.ServicerContext
    ) -> pb.RebuildSegmentsResponse:
        """Start a rebuild."""
        return pb.RebuildSegmentsResponse(operation=rebuilding.request_rebuild(self._service, request))


def _change(request: pb.UpdateSegmentRequest) -> Change:
    values: dict[str, str] = {}
    for path in request.update_mask.paths:
        if path not in ("display_name", "rule"):
            raise InvalidArgument.field(
                "update_mask", f"{path!r} cannot be changed; use display_name and rule"
            )
        values[path] = getattr(request.segment, path)
    return Change(**values)


def kind_of(given: pb.Segment, field: str) -> Kind:
    """Return the kind of a segment that a caller gives; raises InvalidArgument when its rule does not fit that."""
    if given.kind == pb.Segment.KIND_LIST:
        if given.rule:
            raise InvalidArgument.field(
                f"{field}.rule", "must be empty for a list: calls say who is in it, no rule does"
            )
        return "list"
    if not given.rule:
        raise InvalidArgument.field(f"{field}.rule", "is required, unless the kind is LIST")
    return "rule"


def encode_segment(found: Segment, change: Change | None = None) -> pb.Segment:
    """Return the message of a segment, as it would be after a change."""
    change = change or Change()
    stalled = found.stalled and found.state != "building"
    message = pb.Segment(
        name=found.name,
        display_name=found.display_name if change.display_name is None else change.display_name,
        rule=found.rule if change.rule is None else change.rule,
        version=found.version,
        state=pb.Segment.STATE_FAILED if stalled else _STATES[found.state],
        state_message=_said_once(found.state_message, found.stalled),
        member_count=found.member_count,
        etag=found.etag,
        kind=KINDS[found.kind],
    )
    if found.origin is not None:
        origin = found.origin
        message.origin.segment = format_name(SEGMENTS, origin.source) if origin.source else ""
        message.origin.version = origin.version
        message.origin.rule = origin.rule
        set_timestamp(message.origin.as_of_time, origin.as_of)
    set_timestamp(message.create_time, found.create_time)
    set_timestamp(message.update_time, found.update_time)
    set_timestamp(message.rebuild_time, found.rebuild_time)
    return message


def _said_once(failed: str, stalled: str) -> str:
    """Join why the last rebuild failed and why changes do not arrive; often the one says the other as well."""
    if stalled in failed:
        return failed
    return stalled if failed in stalled else f"{failed}; {stalled}"
