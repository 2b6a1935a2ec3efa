import datetime

from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from rapport.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OverCap(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OVER_CAP_UNSPECIFIED: _ClassVar[OverCap]
    OVER_CAP_SUPPRESS: _ClassVar[OverCap]
    OVER_CAP_DEFER: _ClassVar[OverCap]
OVER_CAP_UNSPECIFIED: OverCap
OVER_CAP_SUPPRESS: OverCap
OVER_CAP_DEFER: OverCap

class SendPolicy(_message.Message):
    __slots__ = ("name", "channel", "topic", "quiet_hours", "send_windows", "caps", "over_cap", "include_transactional", "etag", "create_time", "update_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    QUIET_HOURS_FIELD_NUMBER: _ClassVar[int]
    SEND_WINDOWS_FIELD_NUMBER: _ClassVar[int]
    CAPS_FIELD_NUMBER: _ClassVar[int]
    OVER_CAP_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_TRANSACTIONAL_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    channel: str
    topic: str
    quiet_hours: _containers.RepeatedCompositeFieldContainer[DaySpan]
    send_windows: _containers.RepeatedCompositeFieldContainer[DaySpan]
    caps: _containers.RepeatedCompositeFieldContainer[FrequencyCap]
    over_cap: OverCap
    include_transactional: bool
    etag: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., channel: _Optional[str] = ..., topic: _Optional[str] = ..., quiet_hours: _Optional[_Iterable[_Union[DaySpan, _Mapping]]] = ..., send_windows: _Optional[_Iterable[_Union[DaySpan, _Mapping]]] = ..., caps: _Optional[_Iterable[_Union[FrequencyCap, _Mapping]]] = ..., over_cap: _Optional[_Union[OverCap, str]] = ..., include_transactional: _Optional[bool] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class DaySpan(_message.Message):
    __slots__ = ("start_minute", "end_minute", "days")
    START_MINUTE_FIELD_NUMBER: _ClassVar[int]
    END_MINUTE_FIELD_NUMBER: _ClassVar[int]
    DAYS_FIELD_NUMBER: _ClassVar[int]
    start_minute: int
    end_minute: int
    days: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, start_minute: _Optional[int] = ..., end_minute: _Optional[int] = ..., days: _Optional[_Iterable[int]] = ...) -> None: ...

class FrequencyCap(_message.Message):
    __slots__ = ("count", "period", "per_channel", "per_topic")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    PER_CHANNEL_FIELD_NUMBER: _ClassVar[int]
    PER_TOPIC_FIELD_NUMBER: _ClassVar[int]
    count: int
    period: _duration_pb2.Duration
    per_channel: bool
    per_topic: bool
    def __init__(self, count: _Optional[int] = ..., period: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., per_channel: _Optional[bool] = ..., per_topic: _Optional[bool] = ...) -> None: ...

class SetSendPolicyRequest(_message.Message):
    __slots__ = ("policy",)
    POLICY_FIELD_NUMBER: _ClassVar[int]
    policy: SendPolicy
    def __init__(self, policy: _Optional[_Union[SendPolicy, _Mapping]] = ...) -> None: ...

class SetSendPolicyResponse(_message.Message):
    __slots__ = ("policy",)
    POLICY_FIELD_NUMBER: _ClassVar[int]
    policy: SendPolicy
    def __init__(self, policy: _Optional[_Union[SendPolicy, _Mapping]] = ...) -> None: ...

class GetSendPolicyRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetSendPolicyResponse(_message.Message):
    __slots__ = ("policy",)
    POLICY_FIELD_NUMBER: _ClassVar[int]
    policy: SendPolicy
    def __init__(self, policy: _Optional[_Union[SendPolicy, _Mapping]] = ...) -> None: ...

class ListSendPoliciesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSendPoliciesResponse(_message.Message):
    __slots__ = ("policies", "next_page_token")
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    policies: _containers.RepeatedCompositeFieldContainer[SendPolicy]
    next_page_token: str
    def __init__(self, policies: _Optional[_Iterable[_Union[SendPolicy, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteSendPolicyRequest(_message.Message):
    __slots__ = ("name", "etag")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    etag: str
    def __init__(self, name: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteSendPolicyResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RateLimit(_message.Message):
    __slots__ = ("name", "channels", "domain", "count", "period", "burst", "etag", "create_time", "update_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    BURST_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    channels: _containers.RepeatedScalarFieldContainer[str]
    domain: str
    count: int
    period: _duration_pb2.Duration
    burst: int
    etag: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., channels: _Optional[_Iterable[str]] = ..., domain: _Optional[str] = ..., count: _Optional[int] = ..., period: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., burst: _Optional[int] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SetRateLimitRequest(_message.Message):
    __slots__ = ("limit",)
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    limit: RateLimit
    def __init__(self, limit: _Optional[_Union[RateLimit, _Mapping]] = ...) -> None: ...

class SetRateLimitResponse(_message.Message):
    __slots__ = ("limit",)
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    limit: RateLimit
    def __init__(self, limit: _Optional[_Union[RateLimit, _Mapping]] = ...) -> None: ...

class GetRateLimitRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetRateLimitResponse(_message.Message):
    __slots__ = ("limit",)
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    limit: RateLimit
    def __init__(self, limit: _Optional[_Union[RateLimit, _Mapping]] = ...) -> None: ...

class ListRateLimitsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRateLimitsResponse(_message.Message):
    __slots__ = ("limits", "next_page_token")
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    limits: _containers.RepeatedCompositeFieldContainer[RateLimit]
    next_page_token: str
    def __init__(self, limits: _Optional[_Iterable[_Union[RateLimit, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteRateLimitRequest(_message.Message):
    __slots__ = ("name", "etag")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    etag: str
    def __init__(self, name: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteRateLimitResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ChannelState(_message.Message):
    __slots__ = ("channel", "domain", "sender_id", "circuit", "failure_count", "problem", "retry_delay", "sent_count", "message_duration", "update_time")
    class Circuit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CIRCUIT_UNSPECIFIED: _ClassVar[ChannelState.Circuit]
        CIRCUIT_CLOSED: _ClassVar[ChannelState.Circuit]
        CIRCUIT_OPEN: _ClassVar[ChannelState.Circuit]
        CIRCUIT_HALF_OPEN: _ClassVar[ChannelState.Circuit]
    CIRCUIT_UNSPECIFIED: ChannelState.Circuit
    CIRCUIT_CLOSED: ChannelState.Circuit
    CIRCUIT_OPEN: ChannelState.Circuit
    CIRCUIT_HALF_OPEN: ChannelState.Circuit
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    SENDER_ID_FIELD_NUMBER: _ClassVar[int]
    CIRCUIT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_COUNT_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    RETRY_DELAY_FIELD_NUMBER: _ClassVar[int]
    SENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_DURATION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    channel: str
    domain: str
    sender_id: str
    circuit: ChannelState.Circuit
    failure_count: int
    problem: str
    retry_delay: _duration_pb2.Duration
    sent_count: int
    message_duration: _duration_pb2.Duration
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, channel: _Optional[str] = ..., domain: _Optional[str] = ..., sender_id: _Optional[str] = ..., circuit: _Optional[_Union[ChannelState.Circuit, str]] = ..., failure_count: _Optional[int] = ..., problem: _Optional[str] = ..., retry_delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., sent_count: _Optional[int] = ..., message_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListChannelStatesRequest(_message.Message):
    __slots__ = ("channel",)
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    channel: str
    def __init__(self, channel: _Optional[str] = ...) -> None: ...

class ListChannelStatesResponse(_message.Message):
    __slots__ = ("states",)
    STATES_FIELD_NUMBER: _ClassVar[int]
    states: _containers.RepeatedCompositeFieldContainer[ChannelState]
    def __init__(self, states: _Optional[_Iterable[_Union[ChannelState, _Mapping]]] = ...) -> None: ...
