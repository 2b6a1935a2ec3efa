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

class RuleVerdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RULE_VERDICT_UNSPECIFIED: _ClassVar[RuleVerdict]
    RULE_VERDICT_MEMBER: _ClassVar[RuleVerdict]
    RULE_VERDICT_NOT_MEMBER: _ClassVar[RuleVerdict]
    RULE_VERDICT_UNKNOWN: _ClassVar[RuleVerdict]
    RULE_VERDICT_INVALID: _ClassVar[RuleVerdict]
RULE_VERDICT_UNSPECIFIED: RuleVerdict
RULE_VERDICT_MEMBER: RuleVerdict
RULE_VERDICT_NOT_MEMBER: RuleVerdict
RULE_VERDICT_UNKNOWN: RuleVerdict
RULE_VERDICT_INVALID: RuleVerdict

class Segment(_message.Message):
    __slots__ = ("name", "display_name", "rule", "version", "state", "state_message", "member_count", "etag", "create_time", "update_time", "rebuild_time")
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
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., rule: _Optional[str] = ..., version: _Optional[int] = ..., state: _Optional[_Union[Segment.State, str]] = ..., state_message: _Optional[str] = ..., member_count: _Optional[int] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., rebuild_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

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

class ListMembersRequest(_message.Message):
    __slots__ = ("segment", "page_size", "page_token")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    segment: str
    page_size: int
    page_token: str
    def __init__(self, segment: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListMembersResponse(_message.Message):
    __slots__ = ("contacts", "next_page_token")
    CONTACTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    contacts: _containers.RepeatedScalarFieldContainer[str]
    next_page_token: str
    def __init__(self, contacts: _Optional[_Iterable[str]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("attributes", "event_types", "traits", "functions")
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPES_FIELD_NUMBER: _ClassVar[int]
    TRAITS_FIELD_NUMBER: _ClassVar[int]
    FUNCTIONS_FIELD_NUMBER: _ClassVar[int]
    attributes: _containers.RepeatedCompositeFieldContainer[RuleField]
    event_types: _containers.RepeatedCompositeFieldContainer[RuleEventType]
    traits: _containers.RepeatedCompositeFieldContainer[RuleField]
    functions: _containers.RepeatedCompositeFieldContainer[RuleFunction]
    def __init__(self, attributes: _Optional[_Iterable[_Union[RuleField, _Mapping]]] = ..., event_types: _Optional[_Iterable[_Union[RuleEventType, _Mapping]]] = ..., traits: _Optional[_Iterable[_Union[RuleField, _Mapping]]] = ..., functions: _Optional[_Iterable[_Union[RuleFunction, _Mapping]]] = ...) -> None: ...

class RuleField(_message.Message):
    __slots__ = ("name", "type", "optional", "plugin")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    OPTIONAL_FIELD_NUMBER: _ClassVar[int]
    PLUGIN_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    optional: bool
    plugin: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., optional: _Optional[bool] = ..., plugin: _Optional[str] = ...) -> None: ...

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
