import datetime

from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.type import date_pb2 as _date_pb2
from google.type import timeofday_pb2 as _timeofday_pb2
from rapport.campaign.v1 import campaign_pb2 as _campaign_pb2
from rapport.contacts.v1 import contacts_pb2 as _contacts_pb2
from rapport.sales.v1 import sales_pb2 as _sales_pb2
from rapport.segmentation.v1 import segmentation_pb2 as _segmentation_pb2
from rapport.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_UNSPECIFIED: _ClassVar[Priority]
    PRIORITY_LOW: _ClassVar[Priority]
    PRIORITY_NORMAL: _ClassVar[Priority]
    PRIORITY_HIGH: _ClassVar[Priority]
    PRIORITY_URGENT: _ClassVar[Priority]
PRIORITY_UNSPECIFIED: Priority
PRIORITY_LOW: Priority
PRIORITY_NORMAL: Priority
PRIORITY_HIGH: Priority
PRIORITY_URGENT: Priority

class Case(_message.Message):
    __slots__ = ("name", "number", "contact", "subject", "channel", "queue", "assignee", "assignment_reason", "priority", "state", "first_response_due_time", "first_response_time", "resolution_due_time", "resolve_time", "breached", "csat_score", "create_time", "update_time", "etag", "sender_verified")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Case.State]
        STATE_NEW: _ClassVar[Case.State]
        STATE_OPEN: _ClassVar[Case.State]
        STATE_WAITING: _ClassVar[Case.State]
        STATE_RESOLVED: _ClassVar[Case.State]
        STATE_CLOSED: _ClassVar[Case.State]
    STATE_UNSPECIFIED: Case.State
    STATE_NEW: Case.State
    STATE_OPEN: Case.State
    STATE_WAITING: Case.State
    STATE_RESOLVED: Case.State
    STATE_CLOSED: Case.State
    NAME_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    ASSIGNEE_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_REASON_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    FIRST_RESPONSE_DUE_TIME_FIELD_NUMBER: _ClassVar[int]
    FIRST_RESPONSE_TIME_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_DUE_TIME_FIELD_NUMBER: _ClassVar[int]
    RESOLVE_TIME_FIELD_NUMBER: _ClassVar[int]
    BREACHED_FIELD_NUMBER: _ClassVar[int]
    CSAT_SCORE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    SENDER_VERIFIED_FIELD_NUMBER: _ClassVar[int]
    name: str
    number: int
    contact: str
    subject: str
    channel: str
    queue: str
    assignee: str
    assignment_reason: str
    priority: Priority
    state: Case.State
    first_response_due_time: _timestamp_pb2.Timestamp
    first_response_time: _timestamp_pb2.Timestamp
    resolution_due_time: _timestamp_pb2.Timestamp
    resolve_time: _timestamp_pb2.Timestamp
    breached: bool
    csat_score: int
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    etag: str
    sender_verified: bool
    def __init__(self, name: _Optional[str] = ..., number: _Optional[int] = ..., contact: _Optional[str] = ..., subject: _Optional[str] = ..., channel: _Optional[str] = ..., queue: _Optional[str] = ..., assignee: _Optional[str] = ..., assignment_reason: _Optional[str] = ..., priority: _Optional[_Union[Priority, str]] = ..., state: _Optional[_Union[Case.State, str]] = ..., first_response_due_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., first_response_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., resolution_due_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., resolve_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., breached: _Optional[bool] = ..., csat_score: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ..., sender_verified: _Optional[bool] = ...) -> None: ...

class Task(_message.Message):
    __slots__ = ("name", "title", "text", "contact", "case", "queue", "assignee", "priority", "due_time", "state", "end_time", "source", "create_time", "update_time", "etag")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Task.State]
        STATE_OPEN: _ClassVar[Task.State]
        STATE_DONE: _ClassVar[Task.State]
        STATE_DROPPED: _ClassVar[Task.State]
    STATE_UNSPECIFIED: Task.State
    STATE_OPEN: Task.State
    STATE_DONE: Task.State
    STATE_DROPPED: Task.State
    NAME_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    CASE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    ASSIGNEE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    DUE_TIME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    title: str
    text: str
    contact: str
    case: str
    queue: str
    assignee: str
    priority: Priority
    due_time: _timestamp_pb2.Timestamp
    state: Task.State
    end_time: _timestamp_pb2.Timestamp
    source: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    etag: str
    def __init__(self, name: _Optional[str] = ..., title: _Optional[str] = ..., text: _Optional[str] = ..., contact: _Optional[str] = ..., case: _Optional[str] = ..., queue: _Optional[str] = ..., assignee: _Optional[str] = ..., priority: _Optional[_Union[Priority, str]] = ..., due_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., state: _Optional[_Union[Task.State, str]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., source: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class CaseMessage(_message.Message):
    __slots__ = ("name", "kind", "text", "author", "create_time", "external_id")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[CaseMessage.Kind]
        KIND_INBOUND: _ClassVar[CaseMessage.Kind]
        KIND_REPLY: _ClassVar[CaseMessage.Kind]
        KIND_NOTE: _ClassVar[CaseMessage.Kind]
    KIND_UNSPECIFIED: CaseMessage.Kind
    KIND_INBOUND: CaseMessage.Kind
    KIND_REPLY: CaseMessage.Kind
    KIND_NOTE: CaseMessage.Kind
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: CaseMessage.Kind
    text: str
    author: str
    create_time: _timestamp_pb2.Timestamp
    external_id: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[CaseMessage.Kind, str]] = ..., text: _Optional[str] = ..., author: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., external_id: _Optional[str] = ...) -> None: ...

class Agent(_message.Message):
    __slots__ = ("name", "display_name", "available", "capacity", "open_case_count")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    OPEN_CASE_COUNT_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    available: bool
    capacity: int
    open_case_count: int
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., available: _Optional[bool] = ..., capacity: _Optional[int] = ..., open_case_count: _Optional[int] = ...) -> None: ...

class Calendar(_message.Message):
    __slots__ = ("name", "time_zone", "weekly_intervals", "special_days")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    WEEKLY_INTERVALS_FIELD_NUMBER: _ClassVar[int]
    SPECIAL_DAYS_FIELD_NUMBER: _ClassVar[int]
    name: str
    time_zone: str
    weekly_intervals: _containers.RepeatedCompositeFieldContainer[WeeklyInterval]
    special_days: _containers.RepeatedCompositeFieldContainer[SpecialDay]
    def __init__(self, name: _Optional[str] = ..., time_zone: _Optional[str] = ..., weekly_intervals: _Optional[_Iterable[_Union[WeeklyInterval, _Mapping]]] = ..., special_days: _Optional[_Iterable[_Union[SpecialDay, _Mapping]]] = ...) -> None: ...

class WeeklyInterval(_message.Message):
    __slots__ = ("week_day", "start_time", "end_time")
    WEEK_DAY_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    week_day: int
    start_time: _timeofday_pb2.TimeOfDay
    end_time: _timeofday_pb2.TimeOfDay
    def __init__(self, week_day: _Optional[int] = ..., start_time: _Optional[_Union[_timeofday_pb2.TimeOfDay, _Mapping]] = ..., end_time: _Optional[_Union[_timeofday_pb2.TimeOfDay, _Mapping]] = ...) -> None: ...

class SpecialDay(_message.Message):
    __slots__ = ("date", "intervals", "label")
    DATE_FIELD_NUMBER: _ClassVar[int]
    INTERVALS_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    date: _date_pb2.Date
    intervals: _containers.RepeatedCompositeFieldContainer[DayInterval]
    label: str
    def __init__(self, date: _Optional[_Union[_date_pb2.Date, _Mapping]] = ..., intervals: _Optional[_Iterable[_Union[DayInterval, _Mapping]]] = ..., label: _Optional[str] = ...) -> None: ...

class DayInterval(_message.Message):
    __slots__ = ("start_time", "end_time")
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    start_time: _timeofday_pb2.TimeOfDay
    end_time: _timeofday_pb2.TimeOfDay
    def __init__(self, start_time: _Optional[_Union[_timeofday_pb2.TimeOfDay, _Mapping]] = ..., end_time: _Optional[_Union[_timeofday_pb2.TimeOfDay, _Mapping]] = ...) -> None: ...

class Queue(_message.Message):
    __slots__ = ("name", "display_name", "agents", "calendar", "sla_targets", "default_queue", "reply_channel", "etag")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    CALENDAR_FIELD_NUMBER: _ClassVar[int]
    SLA_TARGETS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_QUEUE_FIELD_NUMBER: _ClassVar[int]
    REPLY_CHANNEL_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    agents: _containers.RepeatedScalarFieldContainer[str]
    calendar: str
    sla_targets: _containers.RepeatedCompositeFieldContainer[SlaTarget]
    default_queue: bool
    reply_channel: str
    etag: str
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., agents: _Optional[_Iterable[str]] = ..., calendar: _Optional[str] = ..., sla_targets: _Optional[_Iterable[_Union[SlaTarget, _Mapping]]] = ..., default_queue: _Optional[bool] = ..., reply_channel: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class SlaTarget(_message.Message):
    __slots__ = ("priority", "first_response_minutes", "resolution_minutes")
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    FIRST_RESPONSE_MINUTES_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_MINUTES_FIELD_NUMBER: _ClassVar[int]
    priority: Priority
    first_response_minutes: int
    resolution_minutes: int
    def __init__(self, priority: _Optional[_Union[Priority, str]] = ..., first_response_minutes: _Optional[int] = ..., resolution_minutes: _Optional[int] = ...) -> None: ...

class CreateCaseRequest(_message.Message):
    __slots__ = ("case", "text", "request_id")
    CASE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    case: Case
    text: str
    request_id: str
    def __init__(self, case: _Optional[_Union[Case, _Mapping]] = ..., text: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateCaseResponse(_message.Message):
    __slots__ = ("case",)
    CASE_FIELD_NUMBER: _ClassVar[int]
    case: Case
    def __init__(self, case: _Optional[_Union[Case, _Mapping]] = ...) -> None: ...

class GetCaseRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetCaseResponse(_message.Message):
    __slots__ = ("case",)
    CASE_FIELD_NUMBER: _ClassVar[int]
    case: Case
    def __init__(self, case: _Optional[_Union[Case, _Mapping]] = ...) -> None: ...

class ListCasesRequest(_message.Message):
    __slots__ = ("contact", "assignee", "state", "page_size", "page_token")
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    ASSIGNEE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    contact: str
    assignee: str
    state: Case.State
    page_size: int
    page_token: str
    def __init__(self, contact: _Optional[str] = ..., assignee: _Optional[str] = ..., state: _Optional[_Union[Case.State, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCasesResponse(_message.Message):
    __slots__ = ("cases", "next_page_token")
    CASES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    cases: _containers.RepeatedCompositeFieldContainer[Case]
    next_page_token: str
    def __init__(self, cases: _Optional[_Iterable[_Union[Case, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListCaseMessagesRequest(_message.Message):
    __slots__ = ("case", "page_size", "page_token")
    CASE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    case: str
    page_size: int
    page_token: str
    def __init__(self, case: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCaseMessagesResponse(_message.Message):
    __slots__ = ("messages", "next_page_token")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[CaseMessage]
    next_page_token: str
    def __init__(self, messages: _Optional[_Iterable[_Union[CaseMessage, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class AddCaseMessageRequest(_message.Message):
    __slots__ = ("case", "message", "request_id", "etag")
    CASE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    case: str
    message: CaseMessage
    request_id: str
    etag: str
    def __init__(self, case: _Optional[str] = ..., message: _Optional[_Union[CaseMessage, _Mapping]] = ..., request_id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class AddCaseMessageResponse(_message.Message):
    __slots__ = ("message", "case")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CASE_FIELD_NUMBER: _ClassVar[int]
    message: CaseMessage
    case: Case
    def __init__(self, message: _Optional[_Union[CaseMessage, _Mapping]] = ..., case: _Optional[_Union[Case, _Mapping]] = ...) -> None: ...

class AssignCaseRequest(_message.Message):
    __slots__ = ("name", "agent", "etag")
    NAME_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    agent: str
    etag: str
    def __init__(self, name: _Optional[str] = ..., agent: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class AssignCaseResponse(_message.Message):
    __slots__ = ("case",)
    CASE_FIELD_NUMBER: _ClassVar[int]
    case: Case
    def __init__(self, case: _Optional[_Union[Case, _Mapping]] = ...) -> None: ...

class ResolveCaseRequest(_message.Message):
    __slots__ = ("name", "etag")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    etag: str
    def __init__(self, name: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class ResolveCaseResponse(_message.Message):
    __slots__ = ("case",)
    CASE_FIELD_NUMBER: _ClassVar[int]
    case: Case
    def __init__(self, case: _Optional[_Union[Case, _Mapping]] = ...) -> None: ...

class ReopenCaseRequest(_message.Message):
    __slots__ = ("name", "etag")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    etag: str
    def __init__(self, name: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class ReopenCaseResponse(_message.Message):
    __slots__ = ("case",)
    CASE_FIELD_NUMBER: _ClassVar[int]
    case: Case
    def __init__(self, case: _Optional[_Union[Case, _Mapping]] = ...) -> None: ...

class ReceiveMailRequest(_message.Message):
    __slots__ = ("raw", "recipients", "sender")
    RAW_FIELD_NUMBER: _ClassVar[int]
    RECIPIENTS_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    raw: bytes
    recipients: _containers.RepeatedScalarFieldContainer[str]
    sender: str
    def __init__(self, raw: _Optional[bytes] = ..., recipients: _Optional[_Iterable[str]] = ..., sender: _Optional[str] = ...) -> None: ...

class ReceiveMailResponse(_message.Message):
    __slots__ = ("outcome", "case")
    class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OUTCOME_UNSPECIFIED: _ClassVar[ReceiveMailResponse.Outcome]
        OUTCOME_OPENED: _ClassVar[ReceiveMailResponse.Outcome]
        OUTCOME_CONTINUED: _ClassVar[ReceiveMailResponse.Outcome]
        OUTCOME_DUPLICATE: _ClassVar[ReceiveMailResponse.Outcome]
        OUTCOME_AUTOMATIC: _ClassVar[ReceiveMailResponse.Outcome]
        OUTCOME_UNSUBSCRIBED: _ClassVar[ReceiveMailResponse.Outcome]
    OUTCOME_UNSPECIFIED: ReceiveMailResponse.Outcome
    OUTCOME_OPENED: ReceiveMailResponse.Outcome
    OUTCOME_CONTINUED: ReceiveMailResponse.Outcome
    OUTCOME_DUPLICATE: ReceiveMailResponse.Outcome
    OUTCOME_AUTOMATIC: ReceiveMailResponse.Outcome
    OUTCOME_UNSUBSCRIBED: ReceiveMailResponse.Outcome
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    CASE_FIELD_NUMBER: _ClassVar[int]
    outcome: ReceiveMailResponse.Outcome
    case: Case
    def __init__(self, outcome: _Optional[_Union[ReceiveMailResponse.Outcome, str]] = ..., case: _Optional[_Union[Case, _Mapping]] = ...) -> None: ...

class CreateAgentRequest(_message.Message):
    __slots__ = ("agent_id", "agent", "request_id")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    agent: Agent
    request_id: str
    def __init__(self, agent_id: _Optional[str] = ..., agent: _Optional[_Union[Agent, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateAgentResponse(_message.Message):
    __slots__ = ("agent",)
    AGENT_FIELD_NUMBER: _ClassVar[int]
    agent: Agent
    def __init__(self, agent: _Optional[_Union[Agent, _Mapping]] = ...) -> None: ...

class SetAgentAvailabilityRequest(_message.Message):
    __slots__ = ("name", "available", "hand_over")
    NAME_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    HAND_OVER_FIELD_NUMBER: _ClassVar[int]
    name: str
    available: bool
    hand_over: bool
    def __init__(self, name: _Optional[str] = ..., available: _Optional[bool] = ..., hand_over: _Optional[bool] = ...) -> None: ...

class SetAgentAvailabilityResponse(_message.Message):
    __slots__ = ("agent", "handed_over_count")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    HANDED_OVER_COUNT_FIELD_NUMBER: _ClassVar[int]
    agent: Agent
    handed_over_count: int
    def __init__(self, agent: _Optional[_Union[Agent, _Mapping]] = ..., handed_over_count: _Optional[int] = ...) -> None: ...

class ListAgentsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAgentsResponse(_message.Message):
    __slots__ = ("agents", "next_page_token")
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    agents: _containers.RepeatedCompositeFieldContainer[Agent]
    next_page_token: str
    def __init__(self, agents: _Optional[_Iterable[_Union[Agent, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CreateCalendarRequest(_message.Message):
    __slots__ = ("calendar_id", "calendar", "request_id")
    CALENDAR_ID_FIELD_NUMBER: _ClassVar[int]
    CALENDAR_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    calendar_id: str
    calendar: Calendar
    request_id: str
    def __init__(self, calendar_id: _Optional[str] = ..., calendar: _Optional[_Union[Calendar, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateCalendarResponse(_message.Message):
    __slots__ = ("calendar",)
    CALENDAR_FIELD_NUMBER: _ClassVar[int]
    calendar: Calendar
    def __init__(self, calendar: _Optional[_Union[Calendar, _Mapping]] = ...) -> None: ...

class GetCalendarRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetCalendarResponse(_message.Message):
    __slots__ = ("calendar",)
    CALENDAR_FIELD_NUMBER: _ClassVar[int]
    calendar: Calendar
    def __init__(self, calendar: _Optional[_Union[Calendar, _Mapping]] = ...) -> None: ...

class CreateQueueRequest(_message.Message):
    __slots__ = ("queue_id", "queue", "request_id")
    QUEUE_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    queue_id: str
    queue: Queue
    request_id: str
    def __init__(self, queue_id: _Optional[str] = ..., queue: _Optional[_Union[Queue, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateQueueResponse(_message.Message):
    __slots__ = ("queue",)
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    queue: Queue
    def __init__(self, queue: _Optional[_Union[Queue, _Mapping]] = ...) -> None: ...

class UpdateQueueRequest(_message.Message):
    __slots__ = ("queue", "update_mask", "etag")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    queue: Queue
    update_mask: _field_mask_pb2.FieldMask
    etag: str
    def __init__(self, queue: _Optional[_Union[Queue, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class UpdateQueueResponse(_message.Message):
    __slots__ = ("queue",)
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    queue: Queue
    def __init__(self, queue: _Optional[_Union[Queue, _Mapping]] = ...) -> None: ...

class ListQueuesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListQueuesResponse(_message.Message):
    __slots__ = ("queues", "next_page_token")
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    queues: _containers.RepeatedCompositeFieldContainer[Queue]
    next_page_token: str
    def __init__(self, queues: _Optional[_Iterable[_Union[Queue, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RecordCsatAnswerRequest(_message.Message):
    __slots__ = ("token", "score", "comment")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    token: str
    score: int
    comment: str
    def __init__(self, token: _Optional[str] = ..., score: _Optional[int] = ..., comment: _Optional[str] = ...) -> None: ...

class RecordCsatAnswerResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetCareSummaryRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetCareSummaryResponse(_message.Message):
    __slots__ = ("opened_count", "resolved_count", "breached_count", "unassigned_count", "csat_answer_count", "csat_mean_score")
    OPENED_COUNT_FIELD_NUMBER: _ClassVar[int]
    RESOLVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    BREACHED_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNASSIGNED_COUNT_FIELD_NUMBER: _ClassVar[int]
    CSAT_ANSWER_COUNT_FIELD_NUMBER: _ClassVar[int]
    CSAT_MEAN_SCORE_FIELD_NUMBER: _ClassVar[int]
    opened_count: int
    resolved_count: int
    breached_count: int
    unassigned_count: int
    csat_answer_count: int
    csat_mean_score: float
    def __init__(self, opened_count: _Optional[int] = ..., resolved_count: _Optional[int] = ..., breached_count: _Optional[int] = ..., unassigned_count: _Optional[int] = ..., csat_answer_count: _Optional[int] = ..., csat_mean_score: _Optional[float] = ...) -> None: ...

class GetCustomerGlanceRequest(_message.Message):
    __slots__ = ("contact",)
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    contact: str
    def __init__(self, contact: _Optional[str] = ...) -> None: ...

class GetCustomerGlanceResponse(_message.Message):
    __slots__ = ("contact", "segments", "traits", "sales", "messages", "cases", "activities", "open_tasks", "unavailable_parts")
    class UnavailablePartsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    TRAITS_FIELD_NUMBER: _ClassVar[int]
    SALES_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    CASES_FIELD_NUMBER: _ClassVar[int]
    ACTIVITIES_FIELD_NUMBER: _ClassVar[int]
    OPEN_TASKS_FIELD_NUMBER: _ClassVar[int]
    UNAVAILABLE_PARTS_FIELD_NUMBER: _ClassVar[int]
    contact: _contacts_pb2.Contact
    segments: _containers.RepeatedCompositeFieldContainer[_segmentation_pb2.ContactSegment]
    traits: _struct_pb2.Struct
    sales: _sales_pb2.GetContactSalesResponse
    messages: _containers.RepeatedCompositeFieldContainer[_campaign_pb2.Message]
    cases: _containers.RepeatedCompositeFieldContainer[Case]
    activities: _containers.RepeatedCompositeFieldContainer[_contacts_pb2.Activity]
    open_tasks: _containers.RepeatedCompositeFieldContainer[Task]
    unavailable_parts: _containers.ScalarMap[str, str]
    def __init__(self, contact: _Optional[_Union[_contacts_pb2.Contact, _Mapping]] = ..., segments: _Optional[_Iterable[_Union[_segmentation_pb2.ContactSegment, _Mapping]]] = ..., traits: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., sales: _Optional[_Union[_sales_pb2.GetContactSalesResponse, _Mapping]] = ..., messages: _Optional[_Iterable[_Union[_campaign_pb2.Message, _Mapping]]] = ..., cases: _Optional[_Iterable[_Union[Case, _Mapping]]] = ..., activities: _Optional[_Iterable[_Union[_contacts_pb2.Activity, _Mapping]]] = ..., open_tasks: _Optional[_Iterable[_Union[Task, _Mapping]]] = ..., unavailable_parts: _Optional[_Mapping[str, str]] = ...) -> None: ...
