"""Sets of segments, as they are kept in files."""

from __future__ import annotations

from typing import Any

import grpc
from rapport.segmentation.v1 import segmentation_pb2 as pb

from services.kit.errors import InvalidArgument
from services.kit.idempotency import remember, replay
from services.kit.names import format_name
from services.segmentation.api.base import Methods
from services.segmentation.api.segments import KINDS, encode_segment, kind_of
from services.segmentation.domain import SEGMENTS, parse_segment
from services.segmentation.models import kit
from services.segmentation.usecases import applying, previewing
from services.segmentation.usecases.applying import Action, Applied, Removal, Wish
from services.segmentation.usecases.defining import Change

_ACTIONS: dict[Action, Any] = {
    "created": pb.AppliedSegment.ACTION_CREATED,
    "changed": pb.AppliedSegment.ACTION_CHANGED,
    "unchanged": pb.AppliedSegment.ACTION_UNCHANGED,
    "deleted": pb.AppliedSegment.ACTION_DELETED,
}


class CodeMethods(Methods):
    """Answer the RPC on sets of segments."""

    def ApplySegments(
        self, request: pb.ApplySegmentsRequest, context: grpc.ServicerContext
    ) -> pb.ApplySegmentsResponse:
        """Make, change and delete segments as a set."""
        service = self._service
        wishes = [_wish(item, f"changes[{at}]") for at, item in enumerate(request.changes)]
        removals = [
            Removal(parse_segment(item.name, f"deletions[{at}].name"), item.etag, f"deletions[{at}]")
            for at, item in enumerate(request.deletions)
        ]
        if request.validate_only:
            with previewing.snapshot(service) as connection:
                found = applying.check_set(service, connection, wishes, removals)
            return pb.ApplySegmentsResponse(segments=[_encode(item) for item in found])
        with service.db.transaction() as connection:
            done = replay(connection, kit.request_log, request.request_id, request, pb.ApplySegmentsResponse)
            if done is not None:
                return done
            found, rebuild = applying.apply_set(service, connection, wishes, removals)
            response = pb.ApplySegmentsResponse(segments=[_encode(item) for item in found], rebuild=rebuild)
            remember(connection, kit.request_log, request.request_id, request, response, service.clock.now())
        return response


def _wish(given: pb.SegmentChange, field: str) -> Wish:
    segment = given.segment
    id_ = parse_segment(segment.name, f"{field}.segment.name")
    if given.etag and given.create_only:
        raise InvalidArgument.field(f"{field}.etag", "must be empty with create_only: what is new has none")
    return Wish(
        id_,
        segment.display_name,
        kind_of(segment, f"{field}.segment"),
        segment.rule,
        given.etag,
        given.create_only,
        field,
    )


def _encode(found: Applied) -> pb.AppliedSegment:
    message = pb.AppliedSegment(action=_ACTIONS[found.action], expected_member_count=found.expected)
    if found.before is not None:
        message.previous.CopyFrom(encode_segment(found.before))
    message.segment.CopyFrom(_after(found))
    return message


def _after(found: Applied) -> pb.Segment:
    if found.after is not None:
        return encode_segment(found.after)
    wish = found.wish
    change = Change(wish.display_name, wish.rule) if wish is not None else None
    if found.before is not None:
        return encode_segment(found.before, change)
    assert wish is not None
    return pb.Segment(
        name=format_name(SEGMENTS, wish.id),
        display_name=wish.display_name,
        rule=wish.rule,
        version=1,
        state=pb.Segment.STATE_READY if wish.kind == "list" else pb.Segment.STATE_BUILDING,
        kind=KINDS[wish.kind],
    )
