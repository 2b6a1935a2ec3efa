import datetime

from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from rapport.operations.v1 import operations_pb2 as _operations_pb2
from rapport.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Truth(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRUTH_UNSPECIFIED: _ClassVar[Truth]
    TRUTH_TRUE: _ClassVar[Truth]
    TRUTH_FALSE: _ClassVar[Truth]
    TRUTH_UNKNOWN: _ClassVar[Truth]

class RuleVerdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RULE_VERDICT_UNSPECIFIED: _ClassVar[RuleVerdict]
    RULE_VERDICT_MEMBER: _ClassVar[RuleVerdict]
    RULE_VERDICT_NOT_MEMBER: _ClassVar[RuleVerdict]
    RULE_VERDICT_UNKNOWN: _ClassVar[RuleVerdict]
    RULE_VERDICT_INVALID: _ClassVar[RuleVerdict]
TRUTH_UNSPECIFIED: Truth
TRUTH_TRUE: Truth
TRUTH_FALSE: Truth
TRUTH_UNKNOWN: Truth
RULE_VERDICT_UNSPECIFIED: RuleVerdict
RULE_VERDICT_MEMBER: RuleVerdict
RULE_VERDICT_NOT_MEMBER: RuleVerdict
RULE_VERDICT_UNKNOWN: RuleVerdict
RULE_VERDICT_INVALID: RuleVerdict

class Segment(_message.Message):
    __slots__ = ("name", "display_name", "rule", "version", "state", "state_message", "member_count", "etag", "create_time", "update_time", "rebuild_time", "kind", "origin")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Segment.State]
        STATE_BUILDING: _ClassVar[Segment.State]
        STATE_READY: _ClassVar[Segment.State]
        STATE_FAILED: _ClassVar[Segment.State]
    STATE_UNSPECIFIED: Segment.State
    STATE_BUILDING: Segment.State
    STATE_READY: Segment.State
    STATE_FAILED: Segment.State
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Segment.Kind]
        KIND_RULE: _ClassVar[Segment.Kind]
        KIND_LIST: _ClassVar[Segment.Kind]
    KIND_UNSPECIFIED: Segment.Kind
    KIND_RULE: Segment.Kind
    KIND_LIST: Segment.Kind
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STATE_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    MEMBER_COUNT_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    REBUILD_TIME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    rule: str
    version: int
    state: Segment.State
    state_message: str
    member_count: int
    etag: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    rebuild_time: _timestamp_pb2.Timestamp
    kind: Segment.Kind
    origin: SegmentOrigin
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., rule: _Optional[str] = ..., version: _Optional[int] = ..., state: _Optional[_Union[Segment.State, str]] = ..., state_message: _Optional[str] = ..., member_count: _Optional[int] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., rebuild_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., kind: _Optional[_Union[Segment.Kind, str]] = ..., origin: _Optional[_Union[SegmentOrigin, _Mapping]] = ...) -> None: ...

class SegmentOrigin(_message.Message):
    __slots__ = ("segment", "version", "rule", "as_of_time")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    segment: str
    version: int
    rule: str
    as_of_time: _timestamp_pb2.Timestamp
    def __init__(self, segment: _Optional[str] = ..., version: _Optional[int] = ..., rule: _Optional[str] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateSegmentRequest(_message.Message):
    __slots__ = ("segment_id", "segment", "validate_only", "request_id")
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    segment_id: str
    segment: Segment
    validate_only: bool
    request_id: str
    def __init__(self, segment_id: _Optional[str] = ..., segment: _Optional[_Union[Segment, _Mapping]] = ..., validate_only: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateSegmentResponse(_message.Message):
    __slots__ = ("segment", "rebuild")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    REBUILD_FIELD_NUMBER: _ClassVar[int]
    segment: Segment
    rebuild: _operations_pb2.Operation
    def __init__(self, segment: _Optional[_Union[Segment, _Mapping]] = ..., rebuild: _Optional[_Union[_operations_pb2.Operation, _Mapping]] = ...) -> None: ...

class GetSegmentRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetSegmentResponse(_message.Message):
    __slots__ = ("segment",)
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    segment: Segment
    def __init__(self, segment: _Optional[_Union[Segment, _Mapping]] = ...) -> None: ...

class ListSegmentsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSegmentsResponse(_message.Message):
    __slots__ = ("segments", "next_page_token")
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    segments: _containers.RepeatedCompositeFieldContainer[Segment]
    next_page_token: str
    def __init__(self, segments: _Optional[_Iterable[_Union[Segment, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateSegmentRequest(_message.Message):
    __slots__ = ("segment", "update_mask", "etag", "validate_only", "request_id")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    segment: Segment
    update_mask: _field_mask_pb2.FieldMask
    etag: str
    validate_only: bool
    request_id: str
    def __init__(self, segment: _Optional[_Union[Segment, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., etag: _Optional[str] = ..., validate_only: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpdateSegmentResponse(_message.Message):
    __slots__ = ("segment", "rebuild")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    REBUILD_FIELD_NUMBER: _ClassVar[int]
    segment: Segment
    rebuild: _operations_pb2.Operation
    def __init__(self, segment: _Optional[_Union[Segment, _Mapping]] = ..., rebuild: _Optional[_Union[_operations_pb2.Operation, _Mapping]] = ...) -> None: ...

class DeleteSegmentRequest(_message.Message):
    __slots__ = ("name", "etag")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    etag: str
    def __init__(self, name: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteSegmentResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RebuildSegmentsRequest(_message.Message):
    __slots__ = ("names", "request_id")
    NAMES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    request_id: str
    def __init__(self, names: _Optional[_Iterable[str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class RebuildSegmentsResponse(_message.Message):
    __slots__ = ("operation",)
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    operation: _operations_pb2.Operation
    def __init__(self, operation: _Optional[_Union[_operations_pb2.Operation, _Mapping]] = ...) -> None: ...

class RebuildSegmentsResult(_message.Message):
    __slots__ = ("segments",)
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    segments: _containers.RepeatedCompositeFieldContainer[SegmentRebuild]
    def __init__(self, segments: _Optional[_Iterable[_Union[SegmentRebuild, _Mapping]]] = ...) -> None: ...

class SegmentRebuild(_message.Message):
    __slots__ = ("segment", "version", "entered_count", "left_count", "member_count")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ENTERED_COUNT_FIELD_NUMBER: _ClassVar[int]
    LEFT_COUNT_FIELD_NUMBER: _ClassVar[int]
    MEMBER_COUNT_FIELD_NUMBER: _ClassVar[int]
    segment: str
    version: int
    entered_count: int
    left_count: int
    member_count: int
    def __init__(self, segment: _Optional[str] = ..., version: _Optional[int] = ..., entered_count: _Optional[int] = ..., left_count: _Optional[int] = ..., member_count: _Optional[int] = ...) -> None: ...

class EvaluateRuleRequest(_message.Message):
    __slots__ = ("rule", "segment", "as_of_time", "sample_size")
    RULE_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_SIZE_FIELD_NUMBER: _ClassVar[int]
    rule: str
    segment: str
    as_of_time: _timestamp_pb2.Timestamp
    sample_size: int
    def __init__(self, rule: _Optional[str] = ..., segment: _Optional[str] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sample_size: _Optional[int] = ...) -> None: ...

class EvaluateRuleResponse(_message.Message):
    __slots__ = ("member_count", "contact_count", "sample_contacts", "as_of_time")
    MEMBER_COUNT_FIELD_NUMBER: _ClassVar[int]
    CONTACT_COUNT_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_CONTACTS_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    member_count: int
    contact_count: int
    sample_contacts: _containers.RepeatedScalarFieldContainer[str]
    as_of_time: _timestamp_pb2.Timestamp
    def __init__(self, member_count: _Optional[int] = ..., contact_count: _Optional[int] = ..., sample_contacts: _Optional[_Iterable[str]] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class MatchContactsRequest(_message.Message):
    __slots__ = ("rule", "contacts", "as_of_time")
    RULE_FIELD_NUMBER: _ClassVar[int]
    CONTACTS_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    rule: str
    contacts: _containers.RepeatedScalarFieldContainer[str]
    as_of_time: _timestamp_pb2.Timestamp
    def __init__(self, rule: _Optional[str] = ..., contacts: _Optional[_Iterable[str]] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class MatchContactsResponse(_message.Message):
    __slots__ = ("contacts",)
    CONTACTS_FIELD_NUMBER: _ClassVar[int]
    contacts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, contacts: _Optional[_Iterable[str]] = ...) -> None: ...

class ExplainMembershipRequest(_message.Message):
    __slots__ = ("contact", "rule", "segment", "as_of_time")
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    contact: str
    rule: str
    segment: str
    as_of_time: _timestamp_pb2.Timestamp
    def __init__(self, contact: _Optional[str] = ..., rule: _Optional[str] = ..., segment: _Optional[str] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ExplainMembershipResponse(_message.Message):
    __slots__ = ("outcome", "rule", "version", "member", "enter_time", "as_of_time", "tree", "leaves", "changes", "changes_are_fewest", "next_change_time", "next_outcome", "known_until_time", "read_event_count", "event_count")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    ENTER_TIME_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    TREE_FIELD_NUMBER: _ClassVar[int]
    LEAVES_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    CHANGES_ARE_FEWEST_FIELD_NUMBER: _ClassVar[int]
    NEXT_CHANGE_TIME_FIELD_NUMBER: _ClassVar[int]
    NEXT_OUTCOME_FIELD_NUMBER: _ClassVar[int]
    KNOWN_UNTIL_TIME_FIELD_NUMBER: _ClassVar[int]
    READ_EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    outcome: Truth
    rule: str
    version: int
    member: bool
    enter_time: _timestamp_pb2.Timestamp
    as_of_time: _timestamp_pb2.Timestamp
    tree: RulePart
    leaves: _containers.RepeatedCompositeFieldContainer[RuleLeaf]
    changes: _containers.RepeatedCompositeFieldContainer[LeafChange]
    changes_are_fewest: bool
    next_change_time: _timestamp_pb2.Timestamp
    next_outcome: Truth
    known_until_time: _timestamp_pb2.Timestamp
    read_event_count: int
    event_count: int
    def __init__(self, outcome: _Optional[_Union[Truth, str]] = ..., rule: _Optional[str] = ..., version: _Optional[int] = ..., member: _Optional[bool] = ..., enter_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., tree: _Optional[_Union[RulePart, _Mapping]] = ..., leaves: _Optional[_Iterable[_Union[RuleLeaf, _Mapping]]] = ..., changes: _Optional[_Iterable[_Union[LeafChange, _Mapping]]] = ..., changes_are_fewest: _Optional[bool] = ..., next_change_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., next_outcome: _Optional[_Union[Truth, str]] = ..., known_until_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., read_event_count: _Optional[int] = ..., event_count: _Optional[int] = ...) -> None: ...

class RulePart(_message.Message):
    __slots__ = ("kind", "value", "line", "column", "length", "leaf", "parts")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[RulePart.Kind]
        KIND_AND: _ClassVar[RulePart.Kind]
        KIND_OR: _ClassVar[RulePart.Kind]
        KIND_NOT: _ClassVar[RulePart.Kind]
        KIND_CHOOSE: _ClassVar[RulePart.Kind]
        KIND_LEAF: _ClassVar[RulePart.Kind]
    KIND_UNSPECIFIED: RulePart.Kind
    KIND_AND: RulePart.Kind
    KIND_OR: RulePart.Kind
    KIND_NOT: RulePart.Kind
    KIND_CHOOSE: RulePart.Kind
    KIND_LEAF: RulePart.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    LEAF_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    kind: RulePart.Kind
    value: Truth
    line: int
    column: int
    length: int
    leaf: int
    parts: _containers.RepeatedCompositeFieldContainer[RulePart]
    def __init__(self, kind: _Optional[_Union[RulePart.Kind, str]] = ..., value: _Optional[_Union[Truth, str]] = ..., line: _Optional[int] = ..., column: _Optional[int] = ..., length: _Optional[int] = ..., leaf: _Optional[int] = ..., parts: _Optional[_Iterable[_Union[RulePart, _Mapping]]] = ...) -> None: ...

class RuleLeaf(_message.Message):
    __slots__ = ("text", "line", "column", "value", "sides", "attributes", "events", "segments", "plugins")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    SIDES_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    PLUGINS_FIELD_NUMBER: _ClassVar[int]
    text: str
    line: int
    column: int
    value: Truth
    sides: _containers.RepeatedCompositeFieldContainer[ComparedValue]
    attributes: _containers.RepeatedCompositeFieldContainer[AttributeFact]
    events: _containers.RepeatedCompositeFieldContainer[EventsFact]
    segments: _containers.RepeatedCompositeFieldContainer[SegmentFact]
    plugins: _containers.RepeatedCompositeFieldContainer[PluginFact]
    def __init__(self, text: _Optional[str] = ..., line: _Optional[int] = ..., column: _Optional[int] = ..., value: _Optional[_Union[Truth, str]] = ..., sides: _Optional[_Iterable[_Union[ComparedValue, _Mapping]]] = ..., attributes: _Optional[_Iterable[_Union[AttributeFact, _Mapping]]] = ..., events: _Optional[_Iterable[_Union[EventsFact, _Mapping]]] = ..., segments: _Optional[_Iterable[_Union[SegmentFact, _Mapping]]] = ..., plugins: _Optional[_Iterable[_Union[PluginFact, _Mapping]]] = ...) -> None: ...

class ComparedValue(_message.Message):
    __slots__ = ("text", "value")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    text: str
    value: _struct_pb2.Value
    def __init__(self, text: _Optional[str] = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class AttributeFact(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: _struct_pb2.Value
    def __init__(self, name: _Optional[str] = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class EventsFact(_message.Message):
    __slots__ = ("type", "asks", "count", "seen_count", "unknown_count", "newest", "nearest", "outer_time")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ASKS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SEEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_COUNT_FIELD_NUMBER: _ClassVar[int]
    NEWEST_FIELD_NUMBER: _ClassVar[int]
    NEAREST_FIELD_NUMBER: _ClassVar[int]
    OUTER_TIME_FIELD_NUMBER: _ClassVar[int]
    type: str
    asks: str
    count: int
    seen_count: int
    unknown_count: int
    newest: _containers.RepeatedCompositeFieldContainer[EventFact]
    nearest: EventFact
    outer_time: _timestamp_pb2.Timestamp
    def __init__(self, type: _Optional[str] = ..., asks: _Optional[str] = ..., count: _Optional[int] = ..., seen_count: _Optional[int] = ..., unknown_count: _Optional[int] = ..., newest: _Optional[_Iterable[_Union[EventFact, _Mapping]]] = ..., nearest: _Optional[_Union[EventFact, _Mapping]] = ..., outer_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class EventFact(_message.Message):
    __slots__ = ("event", "time", "payload", "reason")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    event: str
    time: _timestamp_pb2.Timestamp
    payload: _struct_pb2.Struct
    reason: str
    def __init__(self, event: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., payload: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class SegmentFact(_message.Message):
    __slots__ = ("segment", "member", "enter_time")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    ENTER_TIME_FIELD_NUMBER: _ClassVar[int]
    segment: str
    member: bool
    enter_time: _timestamp_pb2.Timestamp
    def __init__(self, segment: _Optional[str] = ..., member: _Optional[bool] = ..., enter_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PluginFact(_message.Message):
    __slots__ = ("function", "parameters", "answer")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    function: str
    parameters: _containers.RepeatedCompositeFieldContainer[_struct_pb2.Value]
    answer: _struct_pb2.Value
    def __init__(self, function: _Optional[str] = ..., parameters: _Optional[_Iterable[_Union[_struct_pb2.Value, _Mapping]]] = ..., answer: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class LeafChange(_message.Message):
    __slots__ = ("leaf", "to", "hint")
    LEAF_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    leaf: int
    to: Truth
    hint: str
    def __init__(self, leaf: _Optional[int] = ..., to: _Optional[_Union[Truth, str]] = ..., hint: _Optional[str] = ...) -> None: ...

class ListMembersRequest(_message.Message):
    __slots__ = ("segment", "page_size", "page_token", "as_of_time")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    segment: str
    page_size: int
    page_token: str
    as_of_time: _timestamp_pb2.Timestamp
    def __init__(self, segment: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListMembersResponse(_message.Message):
    __slots__ = ("contacts", "next_page_token", "version")
    CONTACTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    contacts: _containers.RepeatedScalarFieldContainer[str]
    next_page_token: str
    version: int
    def __init__(self, contacts: _Optional[_Iterable[str]] = ..., next_page_token: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class ListMembershipChangesRequest(_message.Message):
    __slots__ = ("contact", "segment", "start_time", "end_time", "page_size", "page_token")
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    contact: str
    segment: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    page_size: int
    page_token: str
    def __init__(self, contact: _Optional[str] = ..., segment: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListMembershipChangesResponse(_message.Message):
    __slots__ = ("changes", "next_page_token")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[MembershipChange]
    next_page_token: str
    def __init__(self, changes: _Optional[_Iterable[_Union[MembershipChange, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class MembershipChange(_message.Message):
    __slots__ = ("segment", "contact", "kind", "time", "version")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[MembershipChange.Kind]
        KIND_ENTERED: _ClassVar[MembershipChange.Kind]
        KIND_LEFT: _ClassVar[MembershipChange.Kind]
    KIND_UNSPECIFIED: MembershipChange.Kind
    KIND_ENTERED: MembershipChange.Kind
    KIND_LEFT: MembershipChange.Kind
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    segment: str
    contact: str
    kind: MembershipChange.Kind
    time: _timestamp_pb2.Timestamp
    version: int
    def __init__(self, segment: _Optional[str] = ..., contact: _Optional[str] = ..., kind: _Optional[_Union[MembershipChange.Kind, str]] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[int] = ...) -> None: ...

class ListContactSegmentsRequest(_message.Message):
    __slots__ = ("contact",)
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    contact: str
    def __init__(self, contact: _Optional[str] = ...) -> None: ...

class ListContactSegmentsResponse(_message.Message):
    __slots__ = ("segments",)
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    segments: _containers.RepeatedCompositeFieldContainer[ContactSegment]
    def __init__(self, segments: _Optional[_Iterable[_Union[ContactSegment, _Mapping]]] = ...) -> None: ...

class ContactSegment(_message.Message):
    __slots__ = ("segment", "display_name", "enter_time")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    ENTER_TIME_FIELD_NUMBER: _ClassVar[int]
    segment: str
    display_name: str
    enter_time: _timestamp_pb2.Timestamp
    def __init__(self, segment: _Optional[str] = ..., display_name: _Optional[str] = ..., enter_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetProfileRequest(_message.Message):
    __slots__ = ("contact",)
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    contact: str
    def __init__(self, contact: _Optional[str] = ...) -> None: ...

class GetProfileResponse(_message.Message):
    __slots__ = ("attributes", "tags", "consents", "traits", "event_counts", "revision")
    class ConsentsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class EventCountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    CONSENTS_FIELD_NUMBER: _ClassVar[int]
    TRAITS_FIELD_NUMBER: _ClassVar[int]
    EVENT_COUNTS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    attributes: _struct_pb2.Struct
    tags: _containers.RepeatedScalarFieldContainer[str]
    consents: _containers.ScalarMap[str, str]
    traits: _struct_pb2.Struct
    event_counts: _containers.ScalarMap[str, int]
    revision: int
    def __init__(self, attributes: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., tags: _Optional[_Iterable[str]] = ..., consents: _Optional[_Mapping[str, str]] = ..., traits: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., event_counts: _Optional[_Mapping[str, int]] = ..., revision: _Optional[int] = ...) -> None: ...

class GetRuleSchemaRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetRuleSchemaResponse(_message.Message):
    __slots__ = ("attributes", "event_types", "traits", "functions", "built_ins")
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPES_FIELD_NUMBER: _ClassVar[int]
    TRAITS_FIELD_NUMBER: _ClassVar[int]
    FUNCTIONS_FIELD_NUMBER: _ClassVar[int]
    BUILT_INS_FIELD_NUMBER: _ClassVar[int]
    attributes: _containers.RepeatedCompositeFieldContainer[RuleField]
    event_types: _containers.RepeatedCompositeFieldContainer[RuleEventType]
    traits: _containers.RepeatedCompositeFieldContainer[RuleField]
    functions: _containers.RepeatedCompositeFieldContainer[RuleFunction]
    built_ins: _containers.RepeatedCompositeFieldContainer[RuleBuiltIn]
    def __init__(self, attributes: _Optional[_Iterable[_Union[RuleField, _Mapping]]] = ..., event_types: _Optional[_Iterable[_Union[RuleEventType, _Mapping]]] = ..., traits: _Optional[_Iterable[_Union[RuleField, _Mapping]]] = ..., functions: _Optional[_Iterable[_Union[RuleFunction, _Mapping]]] = ..., built_ins: _Optional[_Iterable[_Union[RuleBuiltIn, _Mapping]]] = ...) -> None: ...

class RuleField(_message.Message):
    __slots__ = ("name", "type", "optional", "plugin", "refresh_problem")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    OPTIONAL_FIELD_NUMBER: _ClassVar[int]
    PLUGIN_FIELD_NUMBER: _ClassVar[int]
    REFRESH_PROBLEM_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    optional: bool
    plugin: str
    refresh_problem: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., optional: _Optional[bool] = ..., plugin: _Optional[str] = ..., refresh_problem: _Optional[str] = ...) -> None: ...

class RuleEventType(_message.Message):
    __slots__ = ("name", "type", "fields")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    fields: _containers.RepeatedCompositeFieldContainer[RuleField]
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., fields: _Optional[_Iterable[_Union[RuleField, _Mapping]]] = ...) -> None: ...

class RuleFunction(_message.Message):
    __slots__ = ("name", "returns", "parameters", "description", "available")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RETURNS_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    name: str
    returns: str
    parameters: _containers.RepeatedScalarFieldContainer[str]
    description: str
    available: bool
    def __init__(self, name: _Optional[str] = ..., returns: _Optional[str] = ..., parameters: _Optional[_Iterable[str]] = ..., description: _Optional[str] = ..., available: _Optional[bool] = ...) -> None: ...

class RuleBuiltIn(_message.Message):
    __slots__ = ("name", "returns", "parameters", "method", "description", "example")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RETURNS_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    EXAMPLE_FIELD_NUMBER: _ClassVar[int]
    name: str
    returns: str
    parameters: _containers.RepeatedScalarFieldContainer[str]
    method: bool
    description: str
    example: str
    def __init__(self, name: _Optional[str] = ..., returns: _Optional[str] = ..., parameters: _Optional[_Iterable[str]] = ..., method: _Optional[bool] = ..., description: _Optional[str] = ..., example: _Optional[str] = ...) -> None: ...

class RefreshTraitsRequest(_message.Message):
    __slots__ = ("traits", "request_id")
    TRAITS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    traits: _containers.RepeatedScalarFieldContainer[str]
    request_id: str
    def __init__(self, traits: _Optional[_Iterable[str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class RefreshTraitsResponse(_message.Message):
    __slots__ = ("operation",)
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    operation: _operations_pb2.Operation
    def __init__(self, operation: _Optional[_Union[_operations_pb2.Operation, _Mapping]] = ...) -> None: ...

class RefreshTraitsResult(_message.Message):
    __slots__ = ("changed_count", "traits")
    CHANGED_COUNT_FIELD_NUMBER: _ClassVar[int]
    TRAITS_FIELD_NUMBER: _ClassVar[int]
    changed_count: int
    traits: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, changed_count: _Optional[int] = ..., traits: _Optional[_Iterable[str]] = ...) -> None: ...

class AddMembersRequest(_message.Message):
    __slots__ = ("segment", "contacts", "historical", "request_id")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    CONTACTS_FIELD_NUMBER: _ClassVar[int]
    HISTORICAL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    segment: str
    contacts: _containers.RepeatedScalarFieldContainer[str]
    historical: bool
    request_id: str
    def __init__(self, segment: _Optional[str] = ..., contacts: _Optional[_Iterable[str]] = ..., historical: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class AddMembersResponse(_message.Message):
    __slots__ = ("added_count", "member_count")
    ADDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    MEMBER_COUNT_FIELD_NUMBER: _ClassVar[int]
    added_count: int
    member_count: int
    def __init__(self, added_count: _Optional[int] = ..., member_count: _Optional[int] = ...) -> None: ...

class RemoveMembersRequest(_message.Message):
    __slots__ = ("segment", "contacts", "historical", "request_id")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    CONTACTS_FIELD_NUMBER: _ClassVar[int]
    HISTORICAL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    segment: str
    contacts: _containers.RepeatedScalarFieldContainer[str]
    historical: bool
    request_id: str
    def __init__(self, segment: _Optional[str] = ..., contacts: _Optional[_Iterable[str]] = ..., historical: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class RemoveMembersResponse(_message.Message):
    __slots__ = ("removed_count", "member_count")
    REMOVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    MEMBER_COUNT_FIELD_NUMBER: _ClassVar[int]
    removed_count: int
    member_count: int
    def __init__(self, removed_count: _Optional[int] = ..., member_count: _Optional[int] = ...) -> None: ...

class SnapshotSegmentRequest(_message.Message):
    __slots__ = ("segment_id", "display_name", "segment", "rule", "as_of_time", "request_id")
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    segment_id: str
    display_name: str
    segment: str
    rule: str
    as_of_time: _timestamp_pb2.Timestamp
    request_id: str
    def __init__(self, segment_id: _Optional[str] = ..., display_name: _Optional[str] = ..., segment: _Optional[str] = ..., rule: _Optional[str] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class SnapshotSegmentResponse(_message.Message):
    __slots__ = ("segment", "operation")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    segment: Segment
    operation: _operations_pb2.Operation
    def __init__(self, segment: _Optional[_Union[Segment, _Mapping]] = ..., operation: _Optional[_Union[_operations_pb2.Operation, _Mapping]] = ...) -> None: ...

class SnapshotSegmentResult(_message.Message):
    __slots__ = ("segment", "member_count", "as_of_time")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    MEMBER_COUNT_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    segment: str
    member_count: int
    as_of_time: _timestamp_pb2.Timestamp
    def __init__(self, segment: _Optional[str] = ..., member_count: _Optional[int] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ApplySegmentsRequest(_message.Message):
    __slots__ = ("changes", "deletions", "validate_only", "request_id")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    DELETIONS_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[SegmentChange]
    deletions: _containers.RepeatedCompositeFieldContainer[SegmentDeletion]
    validate_only: bool
    request_id: str
    def __init__(self, changes: _Optional[_Iterable[_Union[SegmentChange, _Mapping]]] = ..., deletions: _Optional[_Iterable[_Union[SegmentDeletion, _Mapping]]] = ..., validate_only: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class SegmentChange(_message.Message):
    __slots__ = ("segment", "etag", "create_only")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    segment: Segment
    etag: str
    create_only: bool
    def __init__(self, segment: _Optional[_Union[Segment, _Mapping]] = ..., etag: _Optional[str] = ..., create_only: _Optional[bool] = ...) -> None: ...

class SegmentDeletion(_message.Message):
    __slots__ = ("name", "etag")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    etag: str
    def __init__(self, name: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class ApplySegmentsResponse(_message.Message):
    __slots__ = ("segments", "rebuild")
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    REBUILD_FIELD_NUMBER: _ClassVar[int]
    segments: _containers.RepeatedCompositeFieldContainer[AppliedSegment]
    rebuild: _operations_pb2.Operation
    def __init__(self, segments: _Optional[_Iterable[_Union[AppliedSegment, _Mapping]]] = ..., rebuild: _Optional[_Union[_operations_pb2.Operation, _Mapping]] = ...) -> None: ...

class AppliedSegment(_message.Message):
    __slots__ = ("action", "segment", "previous", "expected_member_count")
    class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ACTION_UNSPECIFIED: _ClassVar[AppliedSegment.Action]
        ACTION_CREATED: _ClassVar[AppliedSegment.Action]
        ACTION_CHANGED: _ClassVar[AppliedSegment.Action]
        ACTION_UNCHANGED: _ClassVar[AppliedSegment.Action]
        ACTION_DELETED: _ClassVar[AppliedSegment.Action]
    ACTION_UNSPECIFIED: AppliedSegment.Action
    ACTION_CREATED: AppliedSegment.Action
    ACTION_CHANGED: AppliedSegment.Action
    ACTION_UNCHANGED: AppliedSegment.Action
    ACTION_DELETED: AppliedSegment.Action
    ACTION_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_MEMBER_COUNT_FIELD_NUMBER: _ClassVar[int]
    action: AppliedSegment.Action
    segment: Segment
    previous: Segment
    expected_member_count: int
    def __init__(self, action: _Optional[_Union[AppliedSegment.Action, str]] = ..., segment: _Optional[_Union[Segment, _Mapping]] = ..., previous: _Optional[_Union[Segment, _Mapping]] = ..., expected_member_count: _Optional[int] = ...) -> None: ...

class TestRulesRequest(_message.Message):
    __slots__ = ("cases", "file_name")
    CASES_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    cases: str
    file_name: str
    def __init__(self, cases: _Optional[str] = ..., file_name: _Optional[str] = ...) -> None: ...

class TestRulesResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[RuleTestResult]
    def __init__(self, results: _Optional[_Iterable[_Union[RuleTestResult, _Mapping]]] = ...) -> None: ...

class RuleTestResult(_message.Message):
    __slots__ = ("name", "sql", "cel", "expected", "ok", "message", "cel_limited", "line")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SQL_FIELD_NUMBER: _ClassVar[int]
    CEL_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    OK_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CEL_LIMITED_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    name: str
    sql: RuleVerdict
    cel: RuleVerdict
    expected: RuleVerdict
    ok: bool
    message: str
    cel_limited: bool
    line: int
    def __init__(self, name: _Optional[str] = ..., sql: _Optional[_Union[RuleVerdict, str]] = ..., cel: _Optional[_Union[RuleVerdict, str]] = ..., expected: _Optional[_Union[RuleVerdict, str]] = ..., ok: _Optional[bool] = ..., message: _Optional[str] = ..., cel_limited: _Optional[bool] = ..., line: _Optional[int] = ...) -> None: ...
