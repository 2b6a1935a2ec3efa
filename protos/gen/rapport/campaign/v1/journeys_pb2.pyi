import datetime

from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from rapport.campaign.v1 import campaign_pb2 as _campaign_pb2
from rapport.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ValidateJourneyRequest(_message.Message):
    __slots__ = ("journey",)
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    journey: _campaign_pb2.Journey
    def __init__(self, journey: _Optional[_Union[_campaign_pb2.Journey, _Mapping]] = ...) -> None: ...

class ValidateJourneyResponse(_message.Message):
    __slots__ = ("problems",)
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    problems: _containers.RepeatedCompositeFieldContainer[JourneyProblem]
    def __init__(self, problems: _Optional[_Iterable[_Union[JourneyProblem, _Mapping]]] = ...) -> None: ...

class JourneyProblem(_message.Message):
    __slots__ = ("field", "step", "description")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    field: str
    step: str
    description: str
    def __init__(self, field: _Optional[str] = ..., step: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...

class UpdateJourneyRequest(_message.Message):
    __slots__ = ("journey", "version", "request_id")
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    journey: _campaign_pb2.Journey
    version: int
    request_id: str
    def __init__(self, journey: _Optional[_Union[_campaign_pb2.Journey, _Mapping]] = ..., version: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpdateJourneyResponse(_message.Message):
    __slots__ = ("journey",)
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    journey: _campaign_pb2.Journey
    def __init__(self, journey: _Optional[_Union[_campaign_pb2.Journey, _Mapping]] = ...) -> None: ...

class ListJourneyVersionsRequest(_message.Message):
    __slots__ = ("name", "page_size", "page_token")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    name: str
    page_size: int
    page_token: str
    def __init__(self, name: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListJourneyVersionsResponse(_message.Message):
    __slots__ = ("versions", "next_page_token")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[JourneyVersion]
    next_page_token: str
    def __init__(self, versions: _Optional[_Iterable[_Union[JourneyVersion, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class JourneyVersion(_message.Message):
    __slots__ = ("version", "trigger", "steps", "exits", "goals", "create_time", "open_count")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TRIGGER_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    EXITS_FIELD_NUMBER: _ClassVar[int]
    GOALS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    OPEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    version: int
    trigger: _campaign_pb2.JourneyTrigger
    steps: _containers.RepeatedCompositeFieldContainer[_campaign_pb2.JourneyStep]
    exits: _containers.RepeatedCompositeFieldContainer[_campaign_pb2.EventMatch]
    goals: _containers.RepeatedCompositeFieldContainer[_campaign_pb2.EventMatch]
    create_time: _timestamp_pb2.Timestamp
    open_count: int
    def __init__(self, version: _Optional[int] = ..., trigger: _Optional[_Union[_campaign_pb2.JourneyTrigger, _Mapping]] = ..., steps: _Optional[_Iterable[_Union[_campaign_pb2.JourneyStep, _Mapping]]] = ..., exits: _Optional[_Iterable[_Union[_campaign_pb2.EventMatch, _Mapping]]] = ..., goals: _Optional[_Iterable[_Union[_campaign_pb2.EventMatch, _Mapping]]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., open_count: _Optional[int] = ...) -> None: ...

class MigrateJourneyRequest(_message.Message):
    __slots__ = ("name", "from_version", "steps")
    class StepsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    FROM_VERSION_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    name: str
    from_version: int
    steps: _containers.ScalarMap[str, str]
    def __init__(self, name: _Optional[str] = ..., from_version: _Optional[int] = ..., steps: _Optional[_Mapping[str, str]] = ...) -> None: ...

class MigrateJourneyResponse(_message.Message):
    __slots__ = ("migrated_count", "version")
    MIGRATED_COUNT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    migrated_count: int
    version: int
    def __init__(self, migrated_count: _Optional[int] = ..., version: _Optional[int] = ...) -> None: ...

class JourneyEntry(_message.Message):
    __slots__ = ("name", "journey", "version", "contact", "step", "step_count", "start_time", "due_time", "end_time", "outcome", "problem", "path", "event_type", "end_reason")
    class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OUTCOME_UNSPECIFIED: _ClassVar[JourneyEntry.Outcome]
        OUTCOME_FINISHED: _ClassVar[JourneyEntry.Outcome]
        OUTCOME_EXITED: _ClassVar[JourneyEntry.Outcome]
        OUTCOME_GOAL: _ClassVar[JourneyEntry.Outcome]
        OUTCOME_LIMIT: _ClassVar[JourneyEntry.Outcome]
        OUTCOME_MERGED: _ClassVar[JourneyEntry.Outcome]
        OUTCOME_ERASED: _ClassVar[JourneyEntry.Outcome]
        OUTCOME_CANCELLED: _ClassVar[JourneyEntry.Outcome]
        OUTCOME_REMOVED: _ClassVar[JourneyEntry.Outcome]
    OUTCOME_UNSPECIFIED: JourneyEntry.Outcome
    OUTCOME_FINISHED: JourneyEntry.Outcome
    OUTCOME_EXITED: JourneyEntry.Outcome
    OUTCOME_GOAL: JourneyEntry.Outcome
    OUTCOME_LIMIT: JourneyEntry.Outcome
    OUTCOME_MERGED: JourneyEntry.Outcome
    OUTCOME_ERASED: JourneyEntry.Outcome
    OUTCOME_CANCELLED: JourneyEntry.Outcome
    OUTCOME_REMOVED: JourneyEntry.Outcome
    NAME_FIELD_NUMBER: _ClassVar[int]
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    STEP_COUNT_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    DUE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    END_REASON_FIELD_NUMBER: _ClassVar[int]
    name: str
    journey: str
    version: int
    contact: str
    step: str
    step_count: int
    start_time: _timestamp_pb2.Timestamp
    due_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    outcome: JourneyEntry.Outcome
    problem: str
    path: _containers.RepeatedCompositeFieldContainer[JourneyMove]
    event_type: str
    end_reason: str
    def __init__(self, name: _Optional[str] = ..., journey: _Optional[str] = ..., version: _Optional[int] = ..., contact: _Optional[str] = ..., step: _Optional[str] = ..., step_count: _Optional[int] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., due_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., outcome: _Optional[_Union[JourneyEntry.Outcome, str]] = ..., problem: _Optional[str] = ..., path: _Optional[_Iterable[_Union[JourneyMove, _Mapping]]] = ..., event_type: _Optional[str] = ..., end_reason: _Optional[str] = ...) -> None: ...

class JourneyMove(_message.Message):
    __slots__ = ("number", "step", "version", "edge", "next", "arrive_time", "leave_time", "message", "state", "reason")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    EDGE_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    ARRIVE_TIME_FIELD_NUMBER: _ClassVar[int]
    LEAVE_TIME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    number: int
    step: str
    version: int
    edge: str
    next: str
    arrive_time: _timestamp_pb2.Timestamp
    leave_time: _timestamp_pb2.Timestamp
    message: str
    state: str
    reason: str
    def __init__(self, number: _Optional[int] = ..., step: _Optional[str] = ..., version: _Optional[int] = ..., edge: _Optional[str] = ..., next: _Optional[str] = ..., arrive_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., leave_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., message: _Optional[str] = ..., state: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class PauseJourneyRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class PauseJourneyResponse(_message.Message):
    __slots__ = ("journey",)
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    journey: _campaign_pb2.Journey
    def __init__(self, journey: _Optional[_Union[_campaign_pb2.Journey, _Mapping]] = ...) -> None: ...

class ResumeJourneyRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ResumeJourneyResponse(_message.Message):
    __slots__ = ("journey",)
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    journey: _campaign_pb2.Journey
    def __init__(self, journey: _Optional[_Union[_campaign_pb2.Journey, _Mapping]] = ...) -> None: ...

class CancelJourneyRequest(_message.Message):
    __slots__ = ("name", "reason")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    name: str
    reason: str
    def __init__(self, name: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class CancelJourneyResponse(_message.Message):
    __slots__ = ("journey",)
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    journey: _campaign_pb2.Journey
    def __init__(self, journey: _Optional[_Union[_campaign_pb2.Journey, _Mapping]] = ...) -> None: ...

class RemoveJourneyContactsRequest(_message.Message):
    __slots__ = ("name", "contacts", "reason")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTACTS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    name: str
    contacts: _containers.RepeatedScalarFieldContainer[str]
    reason: str
    def __init__(self, name: _Optional[str] = ..., contacts: _Optional[_Iterable[str]] = ..., reason: _Optional[str] = ...) -> None: ...

class RemoveJourneyContactsResponse(_message.Message):
    __slots__ = ("removed_count", "cancelled_message_count")
    REMOVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_MESSAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    removed_count: int
    cancelled_message_count: int
    def __init__(self, removed_count: _Optional[int] = ..., cancelled_message_count: _Optional[int] = ...) -> None: ...

class ListJourneyEntriesRequest(_message.Message):
    __slots__ = ("journey", "contact", "open", "step", "page_size", "page_token")
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    journey: str
    contact: str
    open: bool
    step: str
    page_size: int
    page_token: str
    def __init__(self, journey: _Optional[str] = ..., contact: _Optional[str] = ..., open: _Optional[bool] = ..., step: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListJourneyEntriesResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[JourneyEntry]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[JourneyEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetJourneyEntryRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetJourneyEntryResponse(_message.Message):
    __slots__ = ("entry",)
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    entry: JourneyEntry
    def __init__(self, entry: _Optional[_Union[JourneyEntry, _Mapping]] = ...) -> None: ...

class GetJourneyFlowRequest(_message.Message):
    __slots__ = ("name", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class GetJourneyFlowResponse(_message.Message):
    __slots__ = ("version", "steps")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    version: int
    steps: _containers.RepeatedCompositeFieldContainer[JourneyStepFlow]
    def __init__(self, version: _Optional[int] = ..., steps: _Optional[_Iterable[_Union[JourneyStepFlow, _Mapping]]] = ...) -> None: ...

class JourneyStepFlow(_message.Message):
    __slots__ = ("step", "entered_count", "waiting_count", "problem_count", "exits", "dropped_count")
    class Exit(_message.Message):
        __slots__ = ("edge", "next", "count")
        EDGE_FIELD_NUMBER: _ClassVar[int]
        NEXT_FIELD_NUMBER: _ClassVar[int]
        COUNT_FIELD_NUMBER: _ClassVar[int]
        edge: str
        next: str
        count: int
        def __init__(self, edge: _Optional[str] = ..., next: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...
    STEP_FIELD_NUMBER: _ClassVar[int]
    ENTERED_COUNT_FIELD_NUMBER: _ClassVar[int]
    WAITING_COUNT_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_COUNT_FIELD_NUMBER: _ClassVar[int]
    EXITS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_COUNT_FIELD_NUMBER: _ClassVar[int]
    step: str
    entered_count: int
    waiting_count: int
    problem_count: int
    exits: _containers.RepeatedCompositeFieldContainer[JourneyStepFlow.Exit]
    dropped_count: int
    def __init__(self, step: _Optional[str] = ..., entered_count: _Optional[int] = ..., waiting_count: _Optional[int] = ..., problem_count: _Optional[int] = ..., exits: _Optional[_Iterable[_Union[JourneyStepFlow.Exit, _Mapping]]] = ..., dropped_count: _Optional[int] = ...) -> None: ...
