"""Why a contact is in a segment, or is not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Value
from rapport.segmentation.v1 import segmentation_pb2 as pb

from services.kit.errors import InvalidArgument
from services.kit.names import parse_name
from services.kit.wire import get_timestamp, set_timestamp
from services.segmentation.api.base import Methods
from services.segmentation.domain import SEGMENTS, parse_segment
from services.segmentation.rules.explanation import Leaf, Part
from services.segmentation.rules.facts import (
    MISSING,
    AttributeFact,
    EventFact,
    EventsFact,
    PluginFact,
    SegmentFact,
)
from services.segmentation.usecases.explaining import Explained, explain_membership

_TRUTHS = {True: pb.TRUTH_TRUE, False: pb.TRUTH_FALSE, None: pb.TRUTH_UNKNOWN}
_KINDS = {
    "and": pb.RulePart.KIND_AND,
    "or": pb.RulePart.KIND_OR,
    "not": pb.RulePart.KIND_NOT,
    "choose": pb.RulePart.KIND_CHOOSE,
    "leaf": pb.RulePart.KIND_LEAF,
}
_EXACT_DOUBLES = 2**53


class ExplainMethods(Methods):
    """Answer the RPC that explains."""

    def ExplainMembership(
        self, request: pb.ExplainMembershipRequest, context: grpc.ServicerContext
    ) -> pb.ExplainMembershipResponse:
        """Explain what a rule says about a contact."""
        target = request.WhichOneof("target")
        if target is None:
            raise InvalidArgument.field("target", "is required: give a rule or the name of a segment")
        explained = explain_membership(
            self._service,
            parse_name(request.contact, "contacts", "contact"),
            rule=request.rule if target == "rule" else "",
            segment=parse_segment(request.segment, "segment") if target == "segment" else "",
            as_of=get_timestamp(request, "as_of_time"),
        )
        return _response(explained)


def _response(explained: Explained) -> pb.ExplainMembershipResponse:
    found = explained.explanation
    outlook = found.outlook
    response = pb.ExplainMembershipResponse(
        outcome=_TRUTHS[found.outcome],
        rule=explained.rule,
        version=explained.version,
        member=explained.member,
        tree=_part(found.tree),
        leaves=[_leaf(leaf, explained.entered) for leaf in found.leaves],
        changes=[
            pb.LeafChange(leaf=change.leaf, to=_TRUTHS[change.to], hint=change.hint)
            for change in found.changes or ()
        ],
        changes_are_fewest=found.changes_certain,
        next_outcome=_TRUTHS[outlook.value] if outlook.at is not None else pb.TRUTH_UNSPECIFIED,
        read_event_count=explained.events_read,
        event_count=explained.events_total,
    )
    set_timestamp(response.enter_time, explained.enter_time)
    set_timestamp(response.as_of_time, found.now)
    set_timestamp(response.next_change_time, outlook.at)
    if outlook.at is None:
        set_timestamp(response.known_until_time, outlook.known_until)
    return response


def _part(part: Part) -> pb.RulePart:
    return pb.RulePart(
        kind=_KINDS[part.op],
        value=_TRUTHS[part.value],
        line=part.place.line,
        column=part.place.column,
        length=part.place.end - part.place.start,
        leaf=max(0, part.leaf),
        parts=[_part(below) for below in part.parts],
    )


def _leaf(leaf: Leaf, entered: Mapping[str, datetime]) -> pb.RuleLeaf:
    message = pb.RuleLeaf(
        text=leaf.place.text,
        line=leaf.place.line,
        column=leaf.place.column,
        value=_TRUTHS[leaf.value],
        sides=[pb.ComparedValue(text=side.text, value=_value(side.value)) for side in leaf.sides],
    )
    for fact in leaf.facts:
        match fact:
            case AttributeFact():
                message.attributes.add(name=fact.name, value=_value(fact.value))
            case EventsFact():
                message.events.append(_events(fact))
            case SegmentFact():
                item = message.segments.add(segment=fact.segment, member=fact.member)
                set_timestamp(item.enter_time, entered.get(fact.segment.removeprefix(f"{SEGMENTS}/")))
            case PluginFact():
                message.plugins.add(
                    function=fact.function,
                    parameters=[_value(item) for item in fact.params],
                    answer=_value(fact.answer),
                )
    return message


def _events(fact: EventsFact) -> pb.EventsFact:
    message = pb.EventsFact(
        type=fact.type,
        asks=fact.role,
        count=fact.counted,
        seen_count=fact.seen,
        unknown_count=fact.unknown,
        newest=[_event(item) for item in fact.newest],
        nearest=_event(fact.nearest) if fact.nearest is not None else None,
    )
    set_timestamp(message.outer_time, fact.within)
    return message


def _event(fact: EventFact) -> pb.EventFact:
    event = fact.event
    message = pb.EventFact(event=str(event.id or ""), reason=fact.why)
    set_timestamp(message.time, event.time)
    message.payload.update({name: _plain(value) for name, value in event.payload.items()})
    return message


def _value(value: Any) -> Value | None:
    return None if value is MISSING else ParseDict(_plain(value), Value())


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    match value:
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Decimal():
            return float(value)
        case int() if abs(value) > _EXACT_DOUBLES:
            return str(value)
        case list() | tuple():
            return [_plain(item) for item in value]
    return value
