import datetime

from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from rapport.campaign.v1 import campaign_pb2 as _campaign_pb2
from rapport.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CampaignSchedule(_message.Message):
    __slots__ = ("start_time", "time_zone", "recurrence", "recipient_time", "catch_up")
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    RECURRENCE_FIELD_NUMBER: _ClassVar[int]
    RECIPIENT_TIME_FIELD_NUMBER: _ClassVar[int]
    CATCH_UP_FIELD_NUMBER: _ClassVar[int]
    start_time: str
    time_zone: str
    recurrence: str
    recipient_time: bool
    catch_up: _duration_pb2.Duration
    def __init__(self, start_time: _Optional[str] = ..., time_zone: _Optional[str] = ..., recurrence: _Optional[str] = ..., recipient_time: _Optional[bool] = ..., catch_up: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Occurrence(_message.Message):
    __slots__ = ("local_time", "launch_time")
    LOCAL_TIME_FIELD_NUMBER: _ClassVar[int]
    LAUNCH_TIME_FIELD_NUMBER: _ClassVar[int]
    local_time: str
    launch_time: _timestamp_pb2.Timestamp
    def __init__(self, local_time: _Optional[str] = ..., launch_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CampaignRun(_message.Message):
    __slots__ = ("local_time", "launch_time", "campaign", "reason", "count")
    LOCAL_TIME_FIELD_NUMBER: _ClassVar[int]
    LAUNCH_TIME_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    local_time: str
    launch_time: _timestamp_pb2.Timestamp
    campaign: str
    reason: str
    count: int
    def __init__(self, local_time: _Optional[str] = ..., launch_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., campaign: _Optional[str] = ..., reason: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class ScheduleCampaignRequest(_message.Message):
    __slots__ = ("name", "schedule")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    name: str
    schedule: CampaignSchedule
    def __init__(self, name: _Optional[str] = ..., schedule: _Optional[_Union[CampaignSchedule, _Mapping]] = ...) -> None: ...

class ScheduleCampaignResponse(_message.Message):
    __slots__ = ("next",)
    NEXT_FIELD_NUMBER: _ClassVar[int]
    next: Occurrence
    def __init__(self, next: _Optional[_Union[Occurrence, _Mapping]] = ...) -> None: ...

class UnscheduleCampaignRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class UnscheduleCampaignResponse(_message.Message):
    __slots__ = ("state",)
    STATE_FIELD_NUMBER: _ClassVar[int]
    state: _campaign_pb2.Campaign.State
    def __init__(self, state: _Optional[_Union[_campaign_pb2.Campaign.State, str]] = ...) -> None: ...

class GetCampaignScheduleRequest(_message.Message):
    __slots__ = ("name", "count")
    NAME_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    name: str
    count: int
    def __init__(self, name: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class GetCampaignScheduleResponse(_message.Message):
    __slots__ = ("schedule", "coming", "run_count")
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    COMING_FIELD_NUMBER: _ClassVar[int]
    RUN_COUNT_FIELD_NUMBER: _ClassVar[int]
    schedule: CampaignSchedule
    coming: _containers.RepeatedCompositeFieldContainer[Occurrence]
    run_count: int
    def __init__(self, schedule: _Optional[_Union[CampaignSchedule, _Mapping]] = ..., coming: _Optional[_Iterable[_Union[Occurrence, _Mapping]]] = ..., run_count: _Optional[int] = ...) -> None: ...

class PreviewScheduleRequest(_message.Message):
    __slots__ = ("schedule", "count")
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    schedule: CampaignSchedule
    count: int
    def __init__(self, schedule: _Optional[_Union[CampaignSchedule, _Mapping]] = ..., count: _Optional[int] = ...) -> None: ...

class PreviewScheduleResponse(_message.Message):
    __slots__ = ("coming",)
    COMING_FIELD_NUMBER: _ClassVar[int]
    coming: _containers.RepeatedCompositeFieldContainer[Occurrence]
    def __init__(self, coming: _Optional[_Iterable[_Union[Occurrence, _Mapping]]] = ...) -> None: ...

class ListCampaignRunsRequest(_message.Message):
    __slots__ = ("name", "page_size", "page_token")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    name: str
    page_size: int
    page_token: str
    def __init__(self, name: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCampaignRunsResponse(_message.Message):
    __slots__ = ("runs", "next_page_token")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[CampaignRun]
    next_page_token: str
    def __init__(self, runs: _Optional[_Iterable[_Union[CampaignRun, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
