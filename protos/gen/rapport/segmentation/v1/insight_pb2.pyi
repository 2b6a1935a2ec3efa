import datetime

from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from rapport.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CalendarPeriod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CALENDAR_PERIOD_UNSPECIFIED: _ClassVar[CalendarPeriod]
    CALENDAR_PERIOD_WEEK: _ClassVar[CalendarPeriod]
    CALENDAR_PERIOD_MONTH: _ClassVar[CalendarPeriod]
    CALENDAR_PERIOD_YEAR: _ClassVar[CalendarPeriod]
CALENDAR_PERIOD_UNSPECIFIED: CalendarPeriod
CALENDAR_PERIOD_WEEK: CalendarPeriod
CALENDAR_PERIOD_MONTH: CalendarPeriod
CALENDAR_PERIOD_YEAR: CalendarPeriod

class GetDistributionRequest(_message.Message):
    __slots__ = ("rule", "segment", "attribute", "bin_limits", "bin_count", "value_count", "period")
    RULE_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    BIN_LIMITS_FIELD_NUMBER: _ClassVar[int]
    BIN_COUNT_FIELD_NUMBER: _ClassVar[int]
    VALUE_COUNT_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    rule: str
    segment: str
    attribute: str
    bin_limits: _containers.RepeatedScalarFieldContainer[float]
    bin_count: int
    value_count: int
    period: CalendarPeriod
    def __init__(self, rule: _Optional[str] = ..., segment: _Optional[str] = ..., attribute: _Optional[str] = ..., bin_limits: _Optional[_Iterable[float]] = ..., bin_count: _Optional[int] = ..., value_count: _Optional[int] = ..., period: _Optional[_Union[CalendarPeriod, str]] = ...) -> None: ...

class GetDistributionResponse(_message.Message):
    __slots__ = ("attribute", "type", "member_count", "contact_count", "groups", "omitted_value_count", "as_of_time")
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MEMBER_COUNT_FIELD_NUMBER: _ClassVar[int]
    CONTACT_COUNT_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    OMITTED_VALUE_COUNT_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    attribute: str
    type: str
    member_count: int
    contact_count: int
    groups: _containers.RepeatedCompositeFieldContainer[DistributionGroup]
    omitted_value_count: int
    as_of_time: _timestamp_pb2.Timestamp
    def __init__(self, attribute: _Optional[str] = ..., type: _Optional[str] = ..., member_count: _Optional[int] = ..., contact_count: _Optional[int] = ..., groups: _Optional[_Iterable[_Union[DistributionGroup, _Mapping]]] = ..., omitted_value_count: _Optional[int] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class DistributionGroup(_message.Message):
    __slots__ = ("value", "bin", "missing", "other", "member_count", "contact_count", "member_share", "contact_share", "lift", "member_share_low", "member_share_high", "significant")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    BIN_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    OTHER_FIELD_NUMBER: _ClassVar[int]
    MEMBER_COUNT_FIELD_NUMBER: _ClassVar[int]
    CONTACT_COUNT_FIELD_NUMBER: _ClassVar[int]
    MEMBER_SHARE_FIELD_NUMBER: _ClassVar[int]
    CONTACT_SHARE_FIELD_NUMBER: _ClassVar[int]
    LIFT_FIELD_NUMBER: _ClassVar[int]
    MEMBER_SHARE_LOW_FIELD_NUMBER: _ClassVar[int]
    MEMBER_SHARE_HIGH_FIELD_NUMBER: _ClassVar[int]
    SIGNIFICANT_FIELD_NUMBER: _ClassVar[int]
    value: str
    bin: NumberBin
    missing: bool
    other: bool
    member_count: int
    contact_count: int
    member_share: float
    contact_share: float
    lift: float
    member_share_low: float
    member_share_high: float
    significant: bool
    def __init__(self, value: _Optional[str] = ..., bin: _Optional[_Union[NumberBin, _Mapping]] = ..., missing: _Optional[bool] = ..., other: _Optional[bool] = ..., member_count: _Optional[int] = ..., contact_count: _Optional[int] = ..., member_share: _Optional[float] = ..., contact_share: _Optional[float] = ..., lift: _Optional[float] = ..., member_share_low: _Optional[float] = ..., member_share_high: _Optional[float] = ..., significant: _Optional[bool] = ...) -> None: ...

class NumberBin(_message.Message):
    __slots__ = ("low", "high")
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    low: str
    high: str
    def __init__(self, low: _Optional[str] = ..., high: _Optional[str] = ...) -> None: ...

class GetCohortRetentionRequest(_message.Message):
    __slots__ = ("rule", "segment", "first_event_type", "active_event_type", "period", "cohort_count")
    RULE_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    FIRST_EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    COHORT_COUNT_FIELD_NUMBER: _ClassVar[int]
    rule: str
    segment: str
    first_event_type: str
    active_event_type: str
    period: CalendarPeriod
    cohort_count: int
    def __init__(self, rule: _Optional[str] = ..., segment: _Optional[str] = ..., first_event_type: _Optional[str] = ..., active_event_type: _Optional[str] = ..., period: _Optional[_Union[CalendarPeriod, str]] = ..., cohort_count: _Optional[int] = ...) -> None: ...

class GetCohortRetentionResponse(_message.Message):
    __slots__ = ("cohorts", "as_of_time", "time_zone")
    COHORTS_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    cohorts: _containers.RepeatedCompositeFieldContainer[Cohort]
    as_of_time: _timestamp_pb2.Timestamp
    time_zone: str
    def __init__(self, cohorts: _Optional[_Iterable[_Union[Cohort, _Mapping]]] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., time_zone: _Optional[str] = ...) -> None: ...

class Cohort(_message.Message):
    __slots__ = ("start_date", "contact_count", "periods")
    START_DATE_FIELD_NUMBER: _ClassVar[int]
    CONTACT_COUNT_FIELD_NUMBER: _ClassVar[int]
    PERIODS_FIELD_NUMBER: _ClassVar[int]
    start_date: str
    contact_count: int
    periods: _containers.RepeatedCompositeFieldContainer[CohortPeriod]
    def __init__(self, start_date: _Optional[str] = ..., contact_count: _Optional[int] = ..., periods: _Optional[_Iterable[_Union[CohortPeriod, _Mapping]]] = ...) -> None: ...

class CohortPeriod(_message.Message):
    __slots__ = ("start_date", "active_count", "active_share", "amount", "complete")
    START_DATE_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_SHARE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    start_date: str
    active_count: int
    active_share: float
    amount: str
    complete: bool
    def __init__(self, start_date: _Optional[str] = ..., active_count: _Optional[int] = ..., active_share: _Optional[float] = ..., amount: _Optional[str] = ..., complete: _Optional[bool] = ...) -> None: ...

class GetRfmGridRequest(_message.Message):
    __slots__ = ("rule", "segment")
    RULE_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    rule: str
    segment: str
    def __init__(self, rule: _Optional[str] = ..., segment: _Optional[str] = ...) -> None: ...

class GetRfmGridResponse(_message.Message):
    __slots__ = ("cells", "unscored_count", "score_time", "as_of_time")
    CELLS_FIELD_NUMBER: _ClassVar[int]
    UNSCORED_COUNT_FIELD_NUMBER: _ClassVar[int]
    SCORE_TIME_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    cells: _containers.RepeatedCompositeFieldContainer[RfmCell]
    unscored_count: int
    score_time: _timestamp_pb2.Timestamp
    as_of_time: _timestamp_pb2.Timestamp
    def __init__(self, cells: _Optional[_Iterable[_Union[RfmCell, _Mapping]]] = ..., unscored_count: _Optional[int] = ..., score_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RfmCell(_message.Message):
    __slots__ = ("recency", "frequency", "contact_count", "amount")
    RECENCY_FIELD_NUMBER: _ClassVar[int]
    FREQUENCY_FIELD_NUMBER: _ClassVar[int]
    CONTACT_COUNT_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    recency: int
    frequency: int
    contact_count: int
    amount: str
    def __init__(self, recency: _Optional[int] = ..., frequency: _Optional[int] = ..., contact_count: _Optional[int] = ..., amount: _Optional[str] = ...) -> None: ...
