import datetime

from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
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

class Template(_message.Message):
    __slots__ = ("name", "display_name", "contents", "etag", "create_time", "update_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    contents: _containers.RepeatedCompositeFieldContainer[TemplateContent]
    etag: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., contents: _Optional[_Iterable[_Union[TemplateContent, _Mapping]]] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TemplateContent(_message.Message):
    __slots__ = ("language_code", "subject", "text", "html", "mjml")
    LANGUAGE_CODE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    HTML_FIELD_NUMBER: _ClassVar[int]
    MJML_FIELD_NUMBER: _ClassVar[int]
    language_code: str
    subject: str
    text: str
    html: str
    mjml: str
    def __init__(self, language_code: _Optional[str] = ..., subject: _Optional[str] = ..., text: _Optional[str] = ..., html: _Optional[str] = ..., mjml: _Optional[str] = ...) -> None: ...

class CouponPool(_message.Message):
    __slots__ = ("name", "display_name", "prefix", "expire_time", "personal", "issued_count", "redeemed_count", "create_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    PERSONAL_FIELD_NUMBER: _ClassVar[int]
    ISSUED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REDEEMED_COUNT_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    prefix: str
    expire_time: _timestamp_pb2.Timestamp
    personal: bool
    issued_count: int
    redeemed_count: int
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., prefix: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., personal: _Optional[bool] = ..., issued_count: _Optional[int] = ..., redeemed_count: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Coupon(_message.Message):
    __slots__ = ("code", "pool", "contact", "issue_time", "redeem_time", "order")
    CODE_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    ISSUE_TIME_FIELD_NUMBER: _ClassVar[int]
    REDEEM_TIME_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    code: str
    pool: str
    contact: str
    issue_time: _timestamp_pb2.Timestamp
    redeem_time: _timestamp_pb2.Timestamp
    order: str
    def __init__(self, code: _Optional[str] = ..., pool: _Optional[str] = ..., contact: _Optional[str] = ..., issue_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., redeem_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., order: _Optional[str] = ...) -> None: ...

class Campaign(_message.Message):
    __slots__ = ("name", "display_name", "segment", "template", "channel", "topic", "coupon_pool", "state", "counts", "create_time", "launch_time", "evergreen", "series", "unknown_policy")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Campaign.State]
        STATE_DRAFT: _ClassVar[Campaign.State]
        STATE_PLANNING: _ClassVar[Campaign.State]
        STATE_SENDING: _ClassVar[Campaign.State]
        STATE_PAUSED: _ClassVar[Campaign.State]
        STATE_DONE: _ClassVar[Campaign.State]
        STATE_CANCELLED: _ClassVar[Campaign.State]
        STATE_SCHEDULED: _ClassVar[Campaign.State]
    STATE_UNSPECIFIED: Campaign.State
    STATE_DRAFT: Campaign.State
    STATE_PLANNING: Campaign.State
    STATE_SENDING: Campaign.State
    STATE_PAUSED: Campaign.State
    STATE_DONE: Campaign.State
    STATE_CANCELLED: Campaign.State
    STATE_SCHEDULED: Campaign.State
    class UnknownPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNKNOWN_POLICY_UNSPECIFIED: _ClassVar[Campaign.UnknownPolicy]
        UNKNOWN_POLICY_HOLD: _ClassVar[Campaign.UnknownPolicy]
        UNKNOWN_POLICY_RETRY: _ClassVar[Campaign.UnknownPolicy]
    UNKNOWN_POLICY_UNSPECIFIED: Campaign.UnknownPolicy
    UNKNOWN_POLICY_HOLD: Campaign.UnknownPolicy
    UNKNOWN_POLICY_RETRY: Campaign.UnknownPolicy
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    COUPON_POOL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    LAUNCH_TIME_FIELD_NUMBER: _ClassVar[int]
    EVERGREEN_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_POLICY_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    segment: str
    template: str
    channel: str
    topic: str
    coupon_pool: str
    state: Campaign.State
    counts: MessageCounts
    create_time: _timestamp_pb2.Timestamp
    launch_time: _timestamp_pb2.Timestamp
    evergreen: bool
    series: str
    unknown_policy: Campaign.UnknownPolicy
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., segment: _Optional[str] = ..., template: _Optional[str] = ..., channel: _Optional[str] = ..., topic: _Optional[str] = ..., coupon_pool: _Optional[str] = ..., state: _Optional[_Union[Campaign.State, str]] = ..., counts: _Optional[_Union[MessageCounts, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., launch_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., evergreen: _Optional[bool] = ..., series: _Optional[str] = ..., unknown_policy: _Optional[_Union[Campaign.UnknownPolicy, str]] = ...) -> None: ...

class MessageCounts(_message.Message):
    __slots__ = ("audience", "planned", "in_flight", "sent", "suppressed", "failed", "unknown", "cancelled", "duplicates", "suppressed_by_reason", "waiting_by_reason")
    class SuppressedByReasonEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class WaitingByReasonEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    AUDIENCE_FIELD_NUMBER: _ClassVar[int]
    PLANNED_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    SUPPRESSED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    SUPPRESSED_BY_REASON_FIELD_NUMBER: _ClassVar[int]
    WAITING_BY_REASON_FIELD_NUMBER: _ClassVar[int]
    audience: int
    planned: int
    in_flight: int
    sent: int
    suppressed: int
    failed: int
    unknown: int
    cancelled: int
    duplicates: int
    suppressed_by_reason: _containers.ScalarMap[str, int]
    waiting_by_reason: _containers.ScalarMap[str, int]
    def __init__(self, audience: _Optional[int] = ..., planned: _Optional[int] = ..., in_flight: _Optional[int] = ..., sent: _Optional[int] = ..., suppressed: _Optional[int] = ..., failed: _Optional[int] = ..., unknown: _Optional[int] = ..., cancelled: _Optional[int] = ..., duplicates: _Optional[int] = ..., suppressed_by_reason: _Optional[_Mapping[str, int]] = ..., waiting_by_reason: _Optional[_Mapping[str, int]] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("name", "contact", "origin", "channel", "state", "reason", "attempt_count", "external_id", "coupon_code", "create_time", "send_time", "topic", "subject")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Message.State]
        STATE_PLANNED: _ClassVar[Message.State]
        STATE_CLAIMED: _ClassVar[Message.State]
        STATE_SENDING: _ClassVar[Message.State]
        STATE_SENT: _ClassVar[Message.State]
        STATE_FAILED: _ClassVar[Message.State]
        STATE_SUPPRESSED: _ClassVar[Message.State]
        STATE_UNKNOWN: _ClassVar[Message.State]
        STATE_CANCELLED: _ClassVar[Message.State]
    STATE_UNSPECIFIED: Message.State
    STATE_PLANNED: Message.State
    STATE_CLAIMED: Message.State
    STATE_SENDING: Message.State
    STATE_SENT: Message.State
    STATE_FAILED: Message.State
    STATE_SUPPRESSED: Message.State
    STATE_UNKNOWN: Message.State
    STATE_CANCELLED: Message.State
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_COUNT_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    COUPON_CODE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    SEND_TIME_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    name: str
    contact: str
    origin: str
    channel: str
    state: Message.State
    reason: str
    attempt_count: int
    external_id: str
    coupon_code: str
    create_time: _timestamp_pb2.Timestamp
    send_time: _timestamp_pb2.Timestamp
    topic: str
    subject: str
    def __init__(self, name: _Optional[str] = ..., contact: _Optional[str] = ..., origin: _Optional[str] = ..., channel: _Optional[str] = ..., state: _Optional[_Union[Message.State, str]] = ..., reason: _Optional[str] = ..., attempt_count: _Optional[int] = ..., external_id: _Optional[str] = ..., coupon_code: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., send_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., topic: _Optional[str] = ..., subject: _Optional[str] = ...) -> None: ...

class Journey(_message.Message):
    __slots__ = ("name", "display_name", "trigger", "steps", "active", "started_count", "finished_count", "counts", "create_time", "exits", "goals", "version", "exited_count", "goal_count", "limit_count", "state", "pause_time", "cancel_reason", "cancelled_count", "removed_count", "hold_out_percent", "held_out_count")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Journey.State]
        STATE_RUNNING: _ClassVar[Journey.State]
        STATE_PAUSED: _ClassVar[Journey.State]
        STATE_CANCELLED: _ClassVar[Journey.State]
    STATE_UNSPECIFIED: Journey.State
    STATE_RUNNING: Journey.State
    STATE_PAUSED: Journey.State
    STATE_CANCELLED: Journey.State
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    TRIGGER_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    STARTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_COUNT_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXITS_FIELD_NUMBER: _ClassVar[int]
    GOALS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    EXITED_COUNT_FIELD_NUMBER: _ClassVar[int]
    GOAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_COUNT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PAUSE_TIME_FIELD_NUMBER: _ClassVar[int]
    CANCEL_REASON_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REMOVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    HOLD_OUT_PERCENT_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_COUNT_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    trigger: JourneyTrigger
    steps: _containers.RepeatedCompositeFieldContainer[JourneyStep]
    active: bool
    started_count: int
    finished_count: int
    counts: MessageCounts
    create_time: _timestamp_pb2.Timestamp
    exits: _containers.RepeatedCompositeFieldContainer[EventMatch]
    goals: _containers.RepeatedCompositeFieldContainer[EventMatch]
    version: int
    exited_count: int
    goal_count: int
    limit_count: int
    state: Journey.State
    pause_time: _timestamp_pb2.Timestamp
    cancel_reason: str
    cancelled_count: int
    removed_count: int
    hold_out_percent: float
    held_out_count: int
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., trigger: _Optional[_Union[JourneyTrigger, _Mapping]] = ..., steps: _Optional[_Iterable[_Union[JourneyStep, _Mapping]]] = ..., active: _Optional[bool] = ..., started_count: _Optional[int] = ..., finished_count: _Optional[int] = ..., counts: _Optional[_Union[MessageCounts, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., exits: _Optional[_Iterable[_Union[EventMatch, _Mapping]]] = ..., goals: _Optional[_Iterable[_Union[EventMatch, _Mapping]]] = ..., version: _Optional[int] = ..., exited_count: _Optional[int] = ..., goal_count: _Optional[int] = ..., limit_count: _Optional[int] = ..., state: _Optional[_Union[Journey.State, str]] = ..., pause_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cancel_reason: _Optional[str] = ..., cancelled_count: _Optional[int] = ..., removed_count: _Optional[int] = ..., hold_out_percent: _Optional[float] = ..., held_out_count: _Optional[int] = ...) -> None: ...

class EventMatch(_message.Message):
    __slots__ = ("event_type", "segment", "condition")
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    event_type: str
    segment: str
    condition: str
    def __init__(self, event_type: _Optional[str] = ..., segment: _Optional[str] = ..., condition: _Optional[str] = ...) -> None: ...

class DateTrigger(_message.Message):
    __slots__ = ("attribute", "offset_days", "local_time", "yearly", "time_zone")
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_DAYS_FIELD_NUMBER: _ClassVar[int]
    LOCAL_TIME_FIELD_NUMBER: _ClassVar[int]
    YEARLY_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    attribute: str
    offset_days: int
    local_time: str
    yearly: bool
    time_zone: str
    def __init__(self, attribute: _Optional[str] = ..., offset_days: _Optional[int] = ..., local_time: _Optional[str] = ..., yearly: _Optional[bool] = ..., time_zone: _Optional[str] = ...) -> None: ...

class JourneyTrigger(_message.Message):
    __slots__ = ("event_type", "segment", "reentry_after", "condition", "date", "reentry_after_leaving")
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    REENTRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    DATE_FIELD_NUMBER: _ClassVar[int]
    REENTRY_AFTER_LEAVING_FIELD_NUMBER: _ClassVar[int]
    event_type: str
    segment: str
    reentry_after: _duration_pb2.Duration
    condition: str
    date: DateTrigger
    reentry_after_leaving: bool
    def __init__(self, event_type: _Optional[str] = ..., segment: _Optional[str] = ..., reentry_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., condition: _Optional[str] = ..., date: _Optional[_Union[DateTrigger, _Mapping]] = ..., reentry_after_leaving: _Optional[bool] = ...) -> None: ...

class JourneyStep(_message.Message):
    __slots__ = ("wait", "send", "wait_until", "wait_event", "branch", "split", "set_attribute", "modify_tags", "open_case", "webhook", "open_task", "id", "next")
    WAIT_FIELD_NUMBER: _ClassVar[int]
    SEND_FIELD_NUMBER: _ClassVar[int]
    WAIT_UNTIL_FIELD_NUMBER: _ClassVar[int]
    WAIT_EVENT_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    SET_ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    MODIFY_TAGS_FIELD_NUMBER: _ClassVar[int]
    OPEN_CASE_FIELD_NUMBER: _ClassVar[int]
    WEBHOOK_FIELD_NUMBER: _ClassVar[int]
    OPEN_TASK_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    wait: WaitStep
    send: SendStep
    wait_until: WaitUntilStep
    wait_event: WaitEventStep
    branch: BranchStep
    split: SplitStep
    set_attribute: SetAttributeStep
    modify_tags: ModifyTagsStep
    open_case: OpenCaseStep
    webhook: WebhookStep
    open_task: OpenTaskStep
    id: str
    next: str
    def __init__(self, wait: _Optional[_Union[WaitStep, _Mapping]] = ..., send: _Optional[_Union[SendStep, _Mapping]] = ..., wait_until: _Optional[_Union[WaitUntilStep, _Mapping]] = ..., wait_event: _Optional[_Union[WaitEventStep, _Mapping]] = ..., branch: _Optional[_Union[BranchStep, _Mapping]] = ..., split: _Optional[_Union[SplitStep, _Mapping]] = ..., set_attribute: _Optional[_Union[SetAttributeStep, _Mapping]] = ..., modify_tags: _Optional[_Union[ModifyTagsStep, _Mapping]] = ..., open_case: _Optional[_Union[OpenCaseStep, _Mapping]] = ..., webhook: _Optional[_Union[WebhookStep, _Mapping]] = ..., open_task: _Optional[_Union[OpenTaskStep, _Mapping]] = ..., id: _Optional[str] = ..., next: _Optional[str] = ...) -> None: ...

class WaitUntilStep(_message.Message):
    __slots__ = ("local_time", "weekdays", "time_zone")
    LOCAL_TIME_FIELD_NUMBER: _ClassVar[int]
    WEEKDAYS_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    local_time: str
    weekdays: _containers.RepeatedScalarFieldContainer[int]
    time_zone: str
    def __init__(self, local_time: _Optional[str] = ..., weekdays: _Optional[_Iterable[int]] = ..., time_zone: _Optional[str] = ...) -> None: ...

class WaitEventStep(_message.Message):
    __slots__ = ("event", "timeout", "timeout_next")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_NEXT_FIELD_NUMBER: _ClassVar[int]
    event: EventMatch
    timeout: _duration_pb2.Duration
    timeout_next: str
    def __init__(self, event: _Optional[_Union[EventMatch, _Mapping]] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., timeout_next: _Optional[str] = ...) -> None: ...

class BranchStep(_message.Message):
    __slots__ = ("cases",)
    class Case(_message.Message):
        __slots__ = ("rule", "next")
        RULE_FIELD_NUMBER: _ClassVar[int]
        NEXT_FIELD_NUMBER: _ClassVar[int]
        rule: str
        next: str
        def __init__(self, rule: _Optional[str] = ..., next: _Optional[str] = ...) -> None: ...
    CASES_FIELD_NUMBER: _ClassVar[int]
    cases: _containers.RepeatedCompositeFieldContainer[BranchStep.Case]
    def __init__(self, cases: _Optional[_Iterable[_Union[BranchStep.Case, _Mapping]]] = ...) -> None: ...

class SplitStep(_message.Message):
    __slots__ = ("parts", "planned_contacts")
    class Part(_message.Message):
        __slots__ = ("percent", "next")
        PERCENT_FIELD_NUMBER: _ClassVar[int]
        NEXT_FIELD_NUMBER: _ClassVar[int]
        percent: float
        next: str
        def __init__(self, percent: _Optional[float] = ..., next: _Optional[str] = ...) -> None: ...
    PARTS_FIELD_NUMBER: _ClassVar[int]
    PLANNED_CONTACTS_FIELD_NUMBER: _ClassVar[int]
    parts: _containers.RepeatedCompositeFieldContainer[SplitStep.Part]
    planned_contacts: int
    def __init__(self, parts: _Optional[_Iterable[_Union[SplitStep.Part, _Mapping]]] = ..., planned_contacts: _Optional[int] = ...) -> None: ...

class SetAttributeStep(_message.Message):
    __slots__ = ("attribute", "string_value", "int_value", "double_value", "bool_value", "timestamp_value")
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    STRING_VALUE_FIELD_NUMBER: _ClassVar[int]
    INT_VALUE_FIELD_NUMBER: _ClassVar[int]
    DOUBLE_VALUE_FIELD_NUMBER: _ClassVar[int]
    BOOL_VALUE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_VALUE_FIELD_NUMBER: _ClassVar[int]
    attribute: str
    string_value: str
    int_value: int
    double_value: float
    bool_value: bool
    timestamp_value: _timestamp_pb2.Timestamp
    def __init__(self, attribute: _Optional[str] = ..., string_value: _Optional[str] = ..., int_value: _Optional[int] = ..., double_value: _Optional[float] = ..., bool_value: _Optional[bool] = ..., timestamp_value: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ModifyTagsStep(_message.Message):
    __slots__ = ("add_tags", "remove_tags")
    ADD_TAGS_FIELD_NUMBER: _ClassVar[int]
    REMOVE_TAGS_FIELD_NUMBER: _ClassVar[int]
    add_tags: _containers.RepeatedScalarFieldContainer[str]
    remove_tags: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, add_tags: _Optional[_Iterable[str]] = ..., remove_tags: _Optional[_Iterable[str]] = ...) -> None: ...

class OpenCaseStep(_message.Message):
    __slots__ = ("subject", "text", "queue", "priority")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    subject: str
    text: str
    queue: str
    priority: str
    def __init__(self, subject: _Optional[str] = ..., text: _Optional[str] = ..., queue: _Optional[str] = ..., priority: _Optional[str] = ...) -> None: ...

class OpenTaskStep(_message.Message):
    __slots__ = ("title", "text", "queue", "assignee", "priority", "due_after")
    TITLE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    ASSIGNEE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    DUE_AFTER_FIELD_NUMBER: _ClassVar[int]
    title: str
    text: str
    queue: str
    assignee: str
    priority: str
    due_after: _duration_pb2.Duration
    def __init__(self, title: _Optional[str] = ..., text: _Optional[str] = ..., queue: _Optional[str] = ..., assignee: _Optional[str] = ..., priority: _Optional[str] = ..., due_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WebhookStep(_message.Message):
    __slots__ = ("url", "channel")
    URL_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    url: str
    channel: str
    def __init__(self, url: _Optional[str] = ..., channel: _Optional[str] = ...) -> None: ...

class WaitStep(_message.Message):
    __slots__ = ("duration",)
    DURATION_FIELD_NUMBER: _ClassVar[int]
    duration: _duration_pb2.Duration
    def __init__(self, duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class SendStep(_message.Message):
    __slots__ = ("template", "channel", "topic", "coupon_pool")
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    COUPON_POOL_FIELD_NUMBER: _ClassVar[int]
    template: str
    channel: str
    topic: str
    coupon_pool: str
    def __init__(self, template: _Optional[str] = ..., channel: _Optional[str] = ..., topic: _Optional[str] = ..., coupon_pool: _Optional[str] = ...) -> None: ...

class Suppression(_message.Message):
    __slots__ = ("kind", "address", "reason", "create_time")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    kind: str
    address: str
    reason: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, kind: _Optional[str] = ..., address: _Optional[str] = ..., reason: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateTemplateRequest(_message.Message):
    __slots__ = ("template_id", "template", "request_id")
    TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    template_id: str
    template: Template
    request_id: str
    def __init__(self, template_id: _Optional[str] = ..., template: _Optional[_Union[Template, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateTemplateResponse(_message.Message):
    __slots__ = ("template",)
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    template: Template
    def __init__(self, template: _Optional[_Union[Template, _Mapping]] = ...) -> None: ...

class GetTemplateRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetTemplateResponse(_message.Message):
    __slots__ = ("template",)
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    template: Template
    def __init__(self, template: _Optional[_Union[Template, _Mapping]] = ...) -> None: ...

class ListTemplatesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTemplatesResponse(_message.Message):
    __slots__ = ("templates", "next_page_token")
    TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    templates: _containers.RepeatedCompositeFieldContainer[Template]
    next_page_token: str
    def __init__(self, templates: _Optional[_Iterable[_Union[Template, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateTemplateRequest(_message.Message):
    __slots__ = ("template", "update_mask", "etag", "request_id")
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    template: Template
    update_mask: _field_mask_pb2.FieldMask
    etag: str
    request_id: str
    def __init__(self, template: _Optional[_Union[Template, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., etag: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpdateTemplateResponse(_message.Message):
    __slots__ = ("template",)
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    template: Template
    def __init__(self, template: _Optional[_Union[Template, _Mapping]] = ...) -> None: ...

class PreviewTemplateRequest(_message.Message):
    __slots__ = ("name", "contact")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    name: str
    contact: str
    def __init__(self, name: _Optional[str] = ..., contact: _Optional[str] = ...) -> None: ...

class PreviewTemplateResponse(_message.Message):
    __slots__ = ("subject", "text", "html", "language_code")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    HTML_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_CODE_FIELD_NUMBER: _ClassVar[int]
    subject: str
    text: str
    html: str
    language_code: str
    def __init__(self, subject: _Optional[str] = ..., text: _Optional[str] = ..., html: _Optional[str] = ..., language_code: _Optional[str] = ...) -> None: ...

class CreateCouponPoolRequest(_message.Message):
    __slots__ = ("coupon_pool_id", "coupon_pool", "request_id")
    COUPON_POOL_ID_FIELD_NUMBER: _ClassVar[int]
    COUPON_POOL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    coupon_pool_id: str
    coupon_pool: CouponPool
    request_id: str
    def __init__(self, coupon_pool_id: _Optional[str] = ..., coupon_pool: _Optional[_Union[CouponPool, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateCouponPoolResponse(_message.Message):
    __slots__ = ("coupon_pool",)
    COUPON_POOL_FIELD_NUMBER: _ClassVar[int]
    coupon_pool: CouponPool
    def __init__(self, coupon_pool: _Optional[_Union[CouponPool, _Mapping]] = ...) -> None: ...

class GetCouponPoolRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetCouponPoolResponse(_message.Message):
    __slots__ = ("coupon_pool",)
    COUPON_POOL_FIELD_NUMBER: _ClassVar[int]
    coupon_pool: CouponPool
    def __init__(self, coupon_pool: _Optional[_Union[CouponPool, _Mapping]] = ...) -> None: ...

class ListCouponPoolsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCouponPoolsResponse(_message.Message):
    __slots__ = ("coupon_pools", "next_page_token")
    COUPON_POOLS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    coupon_pools: _containers.RepeatedCompositeFieldContainer[CouponPool]
    next_page_token: str
    def __init__(self, coupon_pools: _Optional[_Iterable[_Union[CouponPool, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RedeemCouponRequest(_message.Message):
    __slots__ = ("code", "contact", "order")
    CODE_FIELD_NUMBER: _ClassVar[int]
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    code: str
    contact: str
    order: str
    def __init__(self, code: _Optional[str] = ..., contact: _Optional[str] = ..., order: _Optional[str] = ...) -> None: ...

class RedeemCouponResponse(_message.Message):
    __slots__ = ("coupon",)
    COUPON_FIELD_NUMBER: _ClassVar[int]
    coupon: Coupon
    def __init__(self, coupon: _Optional[_Union[Coupon, _Mapping]] = ...) -> None: ...

class CreateCampaignRequest(_message.Message):
    __slots__ = ("campaign_id", "campaign", "request_id")
    CAMPAIGN_ID_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    campaign_id: str
    campaign: Campaign
    request_id: str
    def __init__(self, campaign_id: _Optional[str] = ..., campaign: _Optional[_Union[Campaign, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateCampaignResponse(_message.Message):
    __slots__ = ("campaign",)
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    campaign: Campaign
    def __init__(self, campaign: _Optional[_Union[Campaign, _Mapping]] = ...) -> None: ...

class GetCampaignRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetCampaignResponse(_message.Message):
    __slots__ = ("campaign",)
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    campaign: Campaign
    def __init__(self, campaign: _Optional[_Union[Campaign, _Mapping]] = ...) -> None: ...

class ListCampaignsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "segment")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    segment: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., segment: _Optional[str] = ...) -> None: ...

class ListCampaignsResponse(_message.Message):
    __slots__ = ("campaigns", "next_page_token")
    CAMPAIGNS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    campaigns: _containers.RepeatedCompositeFieldContainer[Campaign]
    next_page_token: str
    def __init__(self, campaigns: _Optional[_Iterable[_Union[Campaign, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class LaunchCampaignRequest(_message.Message):
    __slots__ = ("name", "request_id", "validate_only")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    name: str
    request_id: str
    validate_only: bool
    def __init__(self, name: _Optional[str] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class LaunchCampaignResponse(_message.Message):
    __slots__ = ("operation", "audience_size", "warnings")
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    AUDIENCE_SIZE_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    operation: _operations_pb2.Operation
    audience_size: int
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, operation: _Optional[_Union[_operations_pb2.Operation, _Mapping]] = ..., audience_size: _Optional[int] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class LaunchCampaignResult(_message.Message):
    __slots__ = ("counts",)
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    counts: MessageCounts
    def __init__(self, counts: _Optional[_Union[MessageCounts, _Mapping]] = ...) -> None: ...

class PauseCampaignRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class PauseCampaignResponse(_message.Message):
    __slots__ = ("campaign",)
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    campaign: Campaign
    def __init__(self, campaign: _Optional[_Union[Campaign, _Mapping]] = ...) -> None: ...

class ResumeCampaignRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ResumeCampaignResponse(_message.Message):
    __slots__ = ("campaign",)
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    campaign: Campaign
    def __init__(self, campaign: _Optional[_Union[Campaign, _Mapping]] = ...) -> None: ...

class CancelCampaignRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class CancelCampaignResponse(_message.Message):
    __slots__ = ("campaign",)
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    campaign: Campaign
    def __init__(self, campaign: _Optional[_Union[Campaign, _Mapping]] = ...) -> None: ...

class CreateJourneyRequest(_message.Message):
    __slots__ = ("journey_id", "journey", "request_id")
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    journey_id: str
    journey: Journey
    request_id: str
    def __init__(self, journey_id: _Optional[str] = ..., journey: _Optional[_Union[Journey, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateJourneyResponse(_message.Message):
    __slots__ = ("journey",)
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    journey: Journey
    def __init__(self, journey: _Optional[_Union[Journey, _Mapping]] = ...) -> None: ...

class GetJourneyRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetJourneyResponse(_message.Message):
    __slots__ = ("journey",)
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    journey: Journey
    def __init__(self, journey: _Optional[_Union[Journey, _Mapping]] = ...) -> None: ...

class ListJourneysRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListJourneysResponse(_message.Message):
    __slots__ = ("journeys", "next_page_token")
    JOURNEYS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    journeys: _containers.RepeatedCompositeFieldContainer[Journey]
    next_page_token: str
    def __init__(self, journeys: _Optional[_Iterable[_Union[Journey, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ActivateJourneyRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ActivateJourneyResponse(_message.Message):
    __slots__ = ("journey",)
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    journey: Journey
    def __init__(self, journey: _Optional[_Union[Journey, _Mapping]] = ...) -> None: ...

class DeactivateJourneyRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeactivateJourneyResponse(_message.Message):
    __slots__ = ("journey",)
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    journey: Journey
    def __init__(self, journey: _Optional[_Union[Journey, _Mapping]] = ...) -> None: ...

class AddSuppressionsRequest(_message.Message):
    __slots__ = ("suppressions",)
    SUPPRESSIONS_FIELD_NUMBER: _ClassVar[int]
    suppressions: _containers.RepeatedCompositeFieldContainer[Suppression]
    def __init__(self, suppressions: _Optional[_Iterable[_Union[Suppression, _Mapping]]] = ...) -> None: ...

class AddSuppressionsResponse(_message.Message):
    __slots__ = ("added_count",)
    ADDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    added_count: int
    def __init__(self, added_count: _Optional[int] = ...) -> None: ...

class RemoveSuppressionsRequest(_message.Message):
    __slots__ = ("suppressions",)
    SUPPRESSIONS_FIELD_NUMBER: _ClassVar[int]
    suppressions: _containers.RepeatedCompositeFieldContainer[Suppression]
    def __init__(self, suppressions: _Optional[_Iterable[_Union[Suppression, _Mapping]]] = ...) -> None: ...

class RemoveSuppressionsResponse(_message.Message):
    __slots__ = ("removed_count",)
    REMOVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    removed_count: int
    def __init__(self, removed_count: _Optional[int] = ...) -> None: ...

class ListSuppressionsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSuppressionsResponse(_message.Message):
    __slots__ = ("suppressions", "next_page_token")
    SUPPRESSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    suppressions: _containers.RepeatedCompositeFieldContainer[Suppression]
    next_page_token: str
    def __init__(self, suppressions: _Optional[_Iterable[_Union[Suppression, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class SendMessageRequest(_message.Message):
    __slots__ = ("contact", "channel", "topic", "subject", "text", "reply_to", "in_reply_to", "request_id", "address", "automatic")
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    REPLY_TO_FIELD_NUMBER: _ClassVar[int]
    IN_REPLY_TO_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    AUTOMATIC_FIELD_NUMBER: _ClassVar[int]
    contact: str
    channel: str
    topic: str
    subject: str
    text: str
    reply_to: str
    in_reply_to: str
    request_id: str
    address: str
    automatic: bool
    def __init__(self, contact: _Optional[str] = ..., channel: _Optional[str] = ..., topic: _Optional[str] = ..., subject: _Optional[str] = ..., text: _Optional[str] = ..., reply_to: _Optional[str] = ..., in_reply_to: _Optional[str] = ..., request_id: _Optional[str] = ..., address: _Optional[str] = ..., automatic: _Optional[bool] = ...) -> None: ...

class SendMessageResponse(_message.Message):
    __slots__ = ("message",)
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    message: Message
    def __init__(self, message: _Optional[_Union[Message, _Mapping]] = ...) -> None: ...

class GetMessageRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetMessageResponse(_message.Message):
    __slots__ = ("message",)
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    message: Message
    def __init__(self, message: _Optional[_Union[Message, _Mapping]] = ...) -> None: ...

class ListMessagesRequest(_message.Message):
    __slots__ = ("contact", "origin", "state", "page_size", "page_token", "channel", "planned_before")
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    PLANNED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    contact: str
    origin: str
    state: Message.State
    page_size: int
    page_token: str
    channel: str
    planned_before: _timestamp_pb2.Timestamp
    def __init__(self, contact: _Optional[str] = ..., origin: _Optional[str] = ..., state: _Optional[_Union[Message.State, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., channel: _Optional[str] = ..., planned_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListMessagesResponse(_message.Message):
    __slots__ = ("messages", "next_page_token")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[Message]
    next_page_token: str
    def __init__(self, messages: _Optional[_Iterable[_Union[Message, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ResolveMessageRequest(_message.Message):
    __slots__ = ("name", "resolution", "comment")
    class Resolution(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        RESOLUTION_UNSPECIFIED: _ClassVar[ResolveMessageRequest.Resolution]
        RESOLUTION_SENT: _ClassVar[ResolveMessageRequest.Resolution]
        RESOLUTION_RETRY: _ClassVar[ResolveMessageRequest.Resolution]
        RESOLUTION_FAILED: _ClassVar[ResolveMessageRequest.Resolution]
    RESOLUTION_UNSPECIFIED: ResolveMessageRequest.Resolution
    RESOLUTION_SENT: ResolveMessageRequest.Resolution
    RESOLUTION_RETRY: ResolveMessageRequest.Resolution
    RESOLUTION_FAILED: ResolveMessageRequest.Resolution
    NAME_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    resolution: ResolveMessageRequest.Resolution
    comment: str
    def __init__(self, name: _Optional[str] = ..., resolution: _Optional[_Union[ResolveMessageRequest.Resolution, str]] = ..., comment: _Optional[str] = ...) -> None: ...

class ResolveMessageResponse(_message.Message):
    __slots__ = ("message",)
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    message: Message
    def __init__(self, message: _Optional[_Union[Message, _Mapping]] = ...) -> None: ...

class ResolveMessagesRequest(_message.Message):
    __slots__ = ("origin", "channel", "planned_before", "resolution", "comment", "validate_only", "request_id")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    PLANNED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    origin: str
    channel: str
    planned_before: _timestamp_pb2.Timestamp
    resolution: ResolveMessageRequest.Resolution
    comment: str
    validate_only: bool
    request_id: str
    def __init__(self, origin: _Optional[str] = ..., channel: _Optional[str] = ..., planned_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., resolution: _Optional[_Union[ResolveMessageRequest.Resolution, str]] = ..., comment: _Optional[str] = ..., validate_only: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class ResolveMessagesResponse(_message.Message):
    __slots__ = ("resolved_count", "remaining_count")
    RESOLVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REMAINING_COUNT_FIELD_NUMBER: _ClassVar[int]
    resolved_count: int
    remaining_count: int
    def __init__(self, resolved_count: _Optional[int] = ..., remaining_count: _Optional[int] = ...) -> None: ...

class MessageResolution(_message.Message):
    __slots__ = ("name", "origin", "message", "channel", "planned_before", "resolution", "comment", "resolver", "resolve_time", "message_count")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    PLANNED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    RESOLVER_FIELD_NUMBER: _ClassVar[int]
    RESOLVE_TIME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    name: str
    origin: str
    message: str
    channel: str
    planned_before: _timestamp_pb2.Timestamp
    resolution: ResolveMessageRequest.Resolution
    comment: str
    resolver: str
    resolve_time: _timestamp_pb2.Timestamp
    message_count: int
    def __init__(self, name: _Optional[str] = ..., origin: _Optional[str] = ..., message: _Optional[str] = ..., channel: _Optional[str] = ..., planned_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., resolution: _Optional[_Union[ResolveMessageRequest.Resolution, str]] = ..., comment: _Optional[str] = ..., resolver: _Optional[str] = ..., resolve_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., message_count: _Optional[int] = ...) -> None: ...

class ListMessageResolutionsRequest(_message.Message):
    __slots__ = ("origin", "page_size", "page_token")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    origin: str
    page_size: int
    page_token: str
    def __init__(self, origin: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListMessageResolutionsResponse(_message.Message):
    __slots__ = ("resolutions", "next_page_token")
    RESOLUTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    resolutions: _containers.RepeatedCompositeFieldContainer[MessageResolution]
    next_page_token: str
    def __init__(self, resolutions: _Optional[_Iterable[_Union[MessageResolution, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
