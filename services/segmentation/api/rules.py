"""What rules may name, evaluations that store nothing, and traits."""

from __future__ import annotations

import grpc
from rapport.segmentation.v1 import segmentation_pb2 as pb

from services.kit.errors import InvalidArgument
from services.kit.names import format_name, parse_name
from services.kit.wire import from_timestamp, set_timestamp
from services.segmentation.api.base import Methods
from services.segmentation.domain import parse_segment
from services.segmentation.usecases import previewing, reading, traits


class RuleMethods(Methods):
    """Answer the RPCs on rules and traits."""

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

    def MatchContacts(
        self, request: pb.MatchContactsRequest, context: grpc.ServicerContext
    ) -> pb.MatchContactsResponse:
        """Say for which contacts a rule is TRUE."""
        keys = [
            parse_name(name, "contacts", f"contacts[{place}]") for place, name in enumerate(request.contacts)
        ]
        as_of = from_timestamp(request.as_of_time, "as_of_time") if request.HasField("as_of_time") else None
        found = previewing.match_contacts(self._service, request.rule, keys, as_of)
        return pb.MatchContactsResponse(contacts=[format_name("contacts", key) for key in found])

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
            built_ins=[
                pb.RuleBuiltIn(
                    name=item.name,
                    returns=item.returns,
                    parameters=item.parameters,
                    method=item.method,
                    description=item.description,
                    example=item.example,
                )
                for item in schema.built_ins
            ],
        )

    def RefreshTraits(
        self, request: pb.RefreshTraitsRequest, context: grpc.ServicerContext
    ) -> pb.RefreshTraitsResponse:
        """Start a refresh of traits."""
        return pb.RefreshTraitsResponse(operation=traits.request_refresh(self._service, request))


def _field(item: reading.FieldView) -> pb.RuleField:
    return pb.RuleField(
        name=item.name,
        type=item.type,
        optional=item.optional,
        plugin=item.plugin,
        refresh_problem=item.refresh_problem,
    )
