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

class Interaction(_message.Message):
    __slots__ = ("name", "message", "origin", "contact", "kind", "link", "time", "verdict", "rule", "agent")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Interaction.Kind]
        KIND_OPEN: _ClassVar[Interaction.Kind]
        KIND_CLICK: _ClassVar[Interaction.Kind]
        KIND_UNSUBSCRIBE: _ClassVar[Interaction.Kind]
    KIND_UNSPECIFIED: Interaction.Kind
    KIND_OPEN: Interaction.Kind
    KIND_CLICK: Interaction.Kind
    KIND_UNSUBSCRIBE: Interaction.Kind
    class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        VERDICT_UNSPECIFIED: _ClassVar[Interaction.Verdict]
        VERDICT_PENDING: _ClassVar[Interaction.Verdict]
        VERDICT_HUMAN: _ClassVar[Interaction.Verdict]
        VERDICT_SCANNER: _ClassVar[Interaction.Verdict]
    VERDICT_UNSPECIFIED: Interaction.Verdict
    VERDICT_PENDING: Interaction.Verdict
    VERDICT_HUMAN: Interaction.Verdict
    VERDICT_SCANNER: Interaction.Verdict
    NAME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    message: str
    origin: str
    contact: str
    kind: Interaction.Kind
    link: int
    time: _timestamp_pb2.Timestamp
    verdict: Interaction.Verdict
    rule: str
    agent: str
    def __init__(self, name: _Optional[str] = ..., message: _Optional[str] = ..., origin: _Optional[str] = ..., contact: _Optional[str] = ..., kind: _Optional[_Union[Interaction.Kind, str]] = ..., link: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., verdict: _Optional[_Union[Interaction.Verdict, str]] = ..., rule: _Optional[str] = ..., agent: _Optional[str] = ...) -> None: ...

class ListInteractionsRequest(_message.Message):
    __slots__ = ("message", "contact", "origin", "kind", "verdict", "page_size", "page_token")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    message: str
    contact: str
    origin: str
    kind: Interaction.Kind
    verdict: Interaction.Verdict
    page_size: int
    page_token: str
    def __init__(self, message: _Optional[str] = ..., contact: _Optional[str] = ..., origin: _Optional[str] = ..., kind: _Optional[_Union[Interaction.Kind, str]] = ..., verdict: _Optional[_Union[Interaction.Verdict, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListInteractionsResponse(_message.Message):
    __slots__ = ("interactions", "next_page_token")
    INTERACTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    interactions: _containers.RepeatedCompositeFieldContainer[Interaction]
    next_page_token: str
    def __init__(self, interactions: _Optional[_Iterable[_Union[Interaction, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ReclassifyInteractionsRequest(_message.Message):
    __slots__ = ("message", "origin", "rule", "start_time", "end_time", "verdict", "reason")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    message: str
    origin: str
    rule: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    verdict: Interaction.Verdict
    reason: str
    def __init__(self, message: _Optional[str] = ..., origin: _Optional[str] = ..., rule: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., verdict: _Optional[_Union[Interaction.Verdict, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class ReclassifyInteractionsResponse(_message.Message):
    __slots__ = ("changed_count", "reversed_count", "told_count", "has_more")
    CHANGED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REVERSED_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOLD_COUNT_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    changed_count: int
    reversed_count: int
    told_count: int
    has_more: bool
    def __init__(self, changed_count: _Optional[int] = ..., reversed_count: _Optional[int] = ..., told_count: _Optional[int] = ..., has_more: _Optional[bool] = ...) -> None: ...

class GetEngagementRequest(_message.Message):
    __slots__ = ("origin",)
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    origin: str
    def __init__(self, origin: _Optional[str] = ...) -> None: ...

class GetEngagementResponse(_message.Message):
    __slots__ = ("origin", "sent_count", "delivered_count", "bounced_count", "soft_bounced_count", "complained_count", "open_count", "unique_open_count", "click_count", "unique_click_count", "unsubscribed_count", "scanner_count", "pending_count", "links")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    SENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_COUNT_FIELD_NUMBER: _ClassVar[int]
    BOUNCED_COUNT_FIELD_NUMBER: _ClassVar[int]
    SOFT_BOUNCED_COUNT_FIELD_NUMBER: _ClassVar[int]
    COMPLAINED_COUNT_FIELD_NUMBER: _ClassVar[int]
    OPEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNIQUE_OPEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    CLICK_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNIQUE_CLICK_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNSUBSCRIBED_COUNT_FIELD_NUMBER: _ClassVar[int]
    SCANNER_COUNT_FIELD_NUMBER: _ClassVar[int]
    PENDING_COUNT_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    origin: str
    sent_count: int
    delivered_count: int
    bounced_count: int
    soft_bounced_count: int
    complained_count: int
    open_count: int
    unique_open_count: int
    click_count: int
    unique_click_count: int
    unsubscribed_count: int
    scanner_count: int
    pending_count: int
    links: _containers.RepeatedCompositeFieldContainer[LinkClicks]
    def __init__(self, origin: _Optional[str] = ..., sent_count: _Optional[int] = ..., delivered_count: _Optional[int] = ..., bounced_count: _Optional[int] = ..., soft_bounced_count: _Optional[int] = ..., complained_count: _Optional[int] = ..., open_count: _Optional[int] = ..., unique_open_count: _Optional[int] = ..., click_count: _Optional[int] = ..., unique_click_count: _Optional[int] = ..., unsubscribed_count: _Optional[int] = ..., scanner_count: _Optional[int] = ..., pending_count: _Optional[int] = ..., links: _Optional[_Iterable[_Union[LinkClicks, _Mapping]]] = ...) -> None: ...

class LinkClicks(_message.Message):
    __slots__ = ("link", "click_count", "unique_click_count")
    LINK_FIELD_NUMBER: _ClassVar[int]
    CLICK_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNIQUE_CLICK_COUNT_FIELD_NUMBER: _ClassVar[int]
    link: int
    click_count: int
    unique_click_count: int
    def __init__(self, link: _Optional[int] = ..., click_count: _Optional[int] = ..., unique_click_count: _Optional[int] = ...) -> None: ...

class ReportDeliveryRequest(_message.Message):
    __slots__ = ("raw", "recipient")
    RAW_FIELD_NUMBER: _ClassVar[int]
    RECIPIENT_FIELD_NUMBER: _ClassVar[int]
    raw: bytes
    recipient: str
    def __init__(self, raw: _Optional[bytes] = ..., recipient: _Optional[str] = ...) -> None: ...

class ReportDeliveryResponse(_message.Message):
    __slots__ = ("outcome", "message")
    class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OUTCOME_UNSPECIFIED: _ClassVar[ReportDeliveryResponse.Outcome]
        OUTCOME_RECORDED: _ClassVar[ReportDeliveryResponse.Outcome]
        OUTCOME_IGNORED: _ClassVar[ReportDeliveryResponse.Outcome]
        OUTCOME_UNPROVEN: _ClassVar[ReportDeliveryResponse.Outcome]
        OUTCOME_QUARANTINED: _ClassVar[ReportDeliveryResponse.Outcome]
    OUTCOME_UNSPECIFIED: ReportDeliveryResponse.Outcome
    OUTCOME_RECORDED: ReportDeliveryResponse.Outcome
    OUTCOME_IGNORED: ReportDeliveryResponse.Outcome
    OUTCOME_UNPROVEN: ReportDeliveryResponse.Outcome
    OUTCOME_QUARANTINED: ReportDeliveryResponse.Outcome
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    outcome: ReportDeliveryResponse.Outcome
    message: str
    def __init__(self, outcome: _Optional[_Union[ReportDeliveryResponse.Outcome, str]] = ..., message: _Optional[str] = ...) -> None: ...

class DeliveryReport(_message.Message):
    __slots__ = ("message", "origin", "contact", "kind", "reason", "time", "suppressed")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[DeliveryReport.Kind]
        KIND_DELIVERED: _ClassVar[DeliveryReport.Kind]
        KIND_DELAYED: _ClassVar[DeliveryReport.Kind]
        KIND_SOFT_BOUNCED: _ClassVar[DeliveryReport.Kind]
        KIND_BOUNCED: _ClassVar[DeliveryReport.Kind]
        KIND_COMPLAINED: _ClassVar[DeliveryReport.Kind]
    KIND_UNSPECIFIED: DeliveryReport.Kind
    KIND_DELIVERED: DeliveryReport.Kind
    KIND_DELAYED: DeliveryReport.Kind
    KIND_SOFT_BOUNCED: DeliveryReport.Kind
    KIND_BOUNCED: DeliveryReport.Kind
    KIND_COMPLAINED: DeliveryReport.Kind
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    SUPPRESSED_FIELD_NUMBER: _ClassVar[int]
    message: str
    origin: str
    contact: str
    kind: DeliveryReport.Kind
    reason: str
    time: _timestamp_pb2.Timestamp
    suppressed: bool
    def __init__(self, message: _Optional[str] = ..., origin: _Optional[str] = ..., contact: _Optional[str] = ..., kind: _Optional[_Union[DeliveryReport.Kind, str]] = ..., reason: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., suppressed: _Optional[bool] = ...) -> None: ...

class ListDeliveryReportsRequest(_message.Message):
    __slots__ = ("message", "origin", "kind", "page_size", "page_token")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    message: str
    origin: str
    kind: DeliveryReport.Kind
    page_size: int
    page_token: str
    def __init__(self, message: _Optional[str] = ..., origin: _Optional[str] = ..., kind: _Optional[_Union[DeliveryReport.Kind, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDeliveryReportsResponse(_message.Message):
    __slots__ = ("delivery_reports", "next_page_token")
    DELIVERY_REPORTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    delivery_reports: _containers.RepeatedCompositeFieldContainer[DeliveryReport]
    next_page_token: str
    def __init__(self, delivery_reports: _Optional[_Iterable[_Union[DeliveryReport, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class QuarantinedReport(_message.Message):
    __slots__ = ("name", "source", "reason", "content", "size_bytes", "time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    source: str
    reason: str
    content: bytes
    size_bytes: int
    time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., source: _Optional[str] = ..., reason: _Optional[str] = ..., content: _Optional[bytes] = ..., size_bytes: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListQuarantineRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListQuarantineResponse(_message.Message):
    __slots__ = ("reports", "next_page_token")
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    reports: _containers.RepeatedCompositeFieldContainer[QuarantinedReport]
    next_page_token: str
    def __init__(self, reports: _Optional[_Iterable[_Union[QuarantinedReport, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DropQuarantinedRequest(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ...) -> None: ...

class DropQuarantinedResponse(_message.Message):
    __slots__ = ("dropped_count",)
    DROPPED_COUNT_FIELD_NUMBER: _ClassVar[int]
    dropped_count: int
    def __init__(self, dropped_count: _Optional[int] = ...) -> None: ...
