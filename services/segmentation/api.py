"""The servicer: decode, call the use case, encode."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.struct_pb2 import Struct
from rapport.segmentation.v1 import segmentation_pb2 as pb
from rapport.segmentation.v1 import segmentation_pb2_grpc

from services.kit import paging
from services.kit.errors import InvalidArgument
from services.kit.idempotency import remember, replay
from services.kit.names import format_name, parse_name
from services.kit.runtime import Runtime
from services.kit.wire import from_timestamp, set_timestamp
from services.segmentation.context import Service, release, service_of
from services.segmentation.domain import SEGMENTS, Segment, check_id, parse_segment
from services.segmentation.models import kit
from services.segmentation.store import membership, segments
from services.segmentation.usecases import defining, previewing, reading, rebuilding, traits
from services.segmentation.usecases.defining import Change

_STATES = {
    "building": pb.Segment.STATE_BUILDING,
    "ready": pb.Segment.STATE_READY,
    "failed": pb.Segment.STATE_FAILED,
}


def register(server: grpc.Server, runtime: Runtime) -> None:
    """Add the service to a server."""
    servicer = SegmentationServicer(service_of(runtime))
    segmentation_pb2_grpc.add_SegmentationServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]


def background(runtime: Runtime) -> list[PluginPart]:
    """Return what runs beside the API: the plugin host."""
    return [PluginPart(runtime)]


class PluginPart:
    """Start the plugin host with the process, so that a required plugin is missed at once, and end it with it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def start(self) -> None:
        """Load the plugins."""
        service_of(self._runtime).plugins.catalog()

    def stop(self) -> None:
        """End the host's processes."""
        release(self._runtime)


class SegmentationServicer(segmentation_pb2_grpc.SegmentationServiceServicer):
    """Serve rapport.segmentation.v1.SegmentationService."""

    def __init__(self, service: Service) -> None:
        self._service = service

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
        if request.validate_only:
            with previewing.snapshot(service) as connection:
                compiled = defining.check_new(service, connection, id_, given.rule)
                found = previewing.count(service, connection, compiled, service.clock.now(), 0)
            checked = pb.Segment(
                name=name,
                display_name=given.display_name,
                rule=given.rule,
                version=1,
                state=pb.Segment.STATE_BUILDING,
                member_count=found.members,
            )
            return pb.CreateSegmentResponse(segment=checked)
        with service.db.transaction() as connection:
            done = replay(connection, kit.request_log, request.request_id, request, pb.CreateSegmentResponse)
            if done is not None:
                return done
            made = defining.create_segment(service, connection, id_, given.display_name, given.rule)
            response = pb.CreateSegmentResponse(segment=_segment(made.segment), rebuild=made.rebuild)
            remember(connection, kit.request_log, request.request_id, request, response, service.clock.now())
        return response

    def GetSegment(
        self, request: pb.GetSegmentRequest, context: grpc.ServicerContext
    ) -> pb.GetSegmentResponse:
        """Return a segment."""
        id_ = parse_segment(request.name)
        with self._service.db.read() as connection:
            return pb.GetSegmentResponse(segment=_segment(defining.load(connection, id_)))

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
        response = pb.ListSegmentsResponse(segments=[_segment(item) for item in page])
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
                found = defining.check_change(service, connection, id_, change, request.etag)
            return pb.UpdateSegmentResponse(segment=_segment(found, change))
        with service.db.transaction() as connection:
            done = replay(connection, kit.request_log, request.request_id, request, pb.UpdateSegmentResponse)
            if done is not None:
                return done
            made = defining.update_segment(service, connection, id_, change, request.etag)
            response = pb.UpdateSegmentResponse(segment=_segment(made.segment), rebuild=made.rebuild)
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

    def EvaluateRule(
        self, request: pb.EvaluateRuleRequest, context: grpc.ServicerContext
    ) -> pb.EvaluateRuleResponse:
        """Evaluate a rule as of a time."""
        target = request.WhichOneof("target")
        if target is None:
            raise InvalidArgument.field("target", "is required: give a rule or the name of a segment")
        as_of = from_timestamp(request.as_of_time, "as_of_time") if request.HasField("as_of_time") else None
        found = previewing.evaluate_rule(
            self._service,
            rule=request.rule if target == "rule" else "",
            segment=parse_segment(request.segment, "segment") if target == "segment" else "",
            as_of=as_of,
            sample=request.sample_size,
        )
        response = pb.EvaluateRuleResponse(
            member_count=found.members,
            contact_count=found.contacts,
            sample_contacts=[format_name("contacts", item) for item in found.sample],
        )
        set_timestamp(response.as_of_time, found.as_of)
        return response

    def ListMembers(
        self, request: pb.ListMembersRequest, context: grpc.ServicerContext
    ) -> pb.ListMembersResponse:
        """Return a page of members."""
        signer = self._service.signer
        id_ = parse_segment(request.segment, "segment")
        size = paging.page_size(request.page_size, 1000, 10_000)
        position = paging.decode(request.page_token, request, signer)
        with self._service.db.read() as connection:
            number = defining.load(connection, id_).number
            after = position["contact"] if position else None
            found = membership.list_members(connection, number, after=after, limit=size + 1)
        page = found[:size]
        response = pb.ListMembersResponse(contacts=[format_name("contacts", item) for item in page])
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
        _fill(response.attributes, view.attributes)
        _fill(response.traits, view.traits)
        return response

    def GetRuleSchema(
        self, request: pb.GetRuleSchemaRequest, context: grpc.ServicerContext
    ) -> pb.GetRuleSchemaResponse:
        """Return what rules may name."""
        schema = reading.get_schema(self._service)
        return pb.GetRuleSchemaResponse(
            attributes=[_field(item) for item in schema.attributes],
            event_types=[
                pb.RuleEventType(
                    name=kind.name, type=kind.type, fields=[_field(item) for item in kind.fields]
                )
                for kind in schema.event_types
            ],
            traits=[_field(item) for item in schema.traits],
            functions=[
                pb.RuleFunction(
                    name=item.name,
                    returns=item.returns,
                    parameters=item.parameters,
                    description=item.description,
                    available=item.available,
                )
                for item in schema.functions
            ],
        )

    def RefreshTraits(
        self, request: pb.RefreshTraitsRequest, context: grpc.ServicerContext
    ) -> pb.RefreshTraitsResponse:
        """Start a refresh of traits."""
        return pb.RefreshTraitsResponse(operation=traits.request_refresh(self._service, request))


def _change(request: pb.UpdateSegmentRequest) -> Change:
    values: dict[str, str] = {}
    for path in request.update_mask.paths:
        if path not in ("display_name", "rule"):
            raise InvalidArgument.field(
                "update_mask", f"{path!r} cannot be changed; use display_name and rule"
            )
        values[path] = getattr(request.segment, path)
    return Change(**values)


def _segment(found: Segment, change: Change | None = None) -> pb.Segment:
    change = change or Change()
    stalled = found.stalled and found.state != "building"
    message = pb.Segment(
        name=found.name,
        display_name=found.display_name if change.display_name is None else change.display_name,
        rule=found.rule if change.rule is None else change.rule,
        version=found.version,
        state=pb.Segment.STATE_FAILED if stalled else _STATES[found.state],
        state_message="; ".join(filter(None, (found.state_message, found.stalled))),
        member_count=found.member_count,
        etag=found.etag,
    )
    set_timestamp(message.create_time, found.create_time)
    set_timestamp(message.update_time, found.update_time)
    set_timestamp(message.rebuild_time, found.rebuild_time)
    return message


def _field(item: reading.FieldView) -> pb.RuleField:
    return pb.RuleField(name=item.name, type=item.type, optional=item.optional, plugin=item.plugin)


def _fill(struct: Struct, values: dict[str, Any]) -> None:
    struct.update(values)
