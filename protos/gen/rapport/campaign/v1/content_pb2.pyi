from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from rapport.campaign.v1 import campaign_pb2 as _campaign_pb2
from rapport.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LinkSettings(_message.Message):
    __slots__ = ("origin", "utm_source", "utm_medium", "utm_campaign", "utm_content", "track_clicks", "track_opens")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    UTM_SOURCE_FIELD_NUMBER: _ClassVar[int]
    UTM_MEDIUM_FIELD_NUMBER: _ClassVar[int]
    UTM_CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    UTM_CONTENT_FIELD_NUMBER: _ClassVar[int]
    TRACK_CLICKS_FIELD_NUMBER: _ClassVar[int]
    TRACK_OPENS_FIELD_NUMBER: _ClassVar[int]
    origin: str
    utm_source: str
    utm_medium: str
    utm_campaign: str
    utm_content: str
    track_clicks: bool
    track_opens: bool
    def __init__(self, origin: _Optional[str] = ..., utm_source: _Optional[str] = ..., utm_medium: _Optional[str] = ..., utm_campaign: _Optional[str] = ..., utm_content: _Optional[str] = ..., track_clicks: _Optional[bool] = ..., track_opens: _Optional[bool] = ...) -> None: ...

class PreviewContentRequest(_message.Message):
    __slots__ = ("template", "contact", "language_code", "event", "topic")
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_CODE_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    template: str
    contact: str
    language_code: str
    event: _struct_pb2.Struct
    topic: str
    def __init__(self, template: _Optional[str] = ..., contact: _Optional[str] = ..., language_code: _Optional[str] = ..., event: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., topic: _Optional[str] = ...) -> None: ...

class PreviewContentResponse(_message.Message):
    __slots__ = ("subject", "text", "html", "language_code", "links")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    HTML_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_CODE_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    subject: str
    text: str
    html: str
    language_code: str
    links: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, subject: _Optional[str] = ..., text: _Optional[str] = ..., html: _Optional[str] = ..., language_code: _Optional[str] = ..., links: _Optional[_Iterable[str]] = ...) -> None: ...

class SendTestMessageRequest(_message.Message):
    __slots__ = ("content", "channel", "addresses", "request_id")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    content: PreviewContentRequest
    channel: str
    addresses: _containers.RepeatedScalarFieldContainer[str]
    request_id: str
    def __init__(self, content: _Optional[_Union[PreviewContentRequest, _Mapping]] = ..., channel: _Optional[str] = ..., addresses: _Optional[_Iterable[str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class SendTestMessageResponse(_message.Message):
    __slots__ = ("messages",)
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[_campaign_pb2.Message]
    def __init__(self, messages: _Optional[_Iterable[_Union[_campaign_pb2.Message, _Mapping]]] = ...) -> None: ...

class GetLinkSettingsRequest(_message.Message):
    __slots__ = ("origin",)
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    origin: str
    def __init__(self, origin: _Optional[str] = ...) -> None: ...

class GetLinkSettingsResponse(_message.Message):
    __slots__ = ("settings",)
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    settings: LinkSettings
    def __init__(self, settings: _Optional[_Union[LinkSettings, _Mapping]] = ...) -> None: ...

class SetLinkSettingsRequest(_message.Message):
    __slots__ = ("settings",)
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    settings: LinkSettings
    def __init__(self, settings: _Optional[_Union[LinkSettings, _Mapping]] = ...) -> None: ...

class SetLinkSettingsResponse(_message.Message):
    __slots__ = ("settings",)
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    settings: LinkSettings
    def __init__(self, settings: _Optional[_Union[LinkSettings, _Mapping]] = ...) -> None: ...

class ImportCouponsRequest(_message.Message):
    __slots__ = ("pool", "codes", "request_id")
    POOL_FIELD_NUMBER: _ClassVar[int]
    CODES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    pool: str
    codes: _containers.RepeatedScalarFieldContainer[str]
    request_id: str
    def __init__(self, pool: _Optional[str] = ..., codes: _Optional[_Iterable[str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class ImportCouponsResponse(_message.Message):
    __slots__ = ("added_count", "free_count")
    ADDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    FREE_COUNT_FIELD_NUMBER: _ClassVar[int]
    added_count: int
    free_count: int
    def __init__(self, added_count: _Optional[int] = ..., free_count: _Optional[int] = ...) -> None: ...

class GetCouponStockRequest(_message.Message):
    __slots__ = ("pool",)
    POOL_FIELD_NUMBER: _ClassVar[int]
    pool: str
    def __init__(self, pool: _Optional[str] = ...) -> None: ...

class GetCouponStockResponse(_message.Message):
    __slots__ = ("imported", "free_count")
    IMPORTED_FIELD_NUMBER: _ClassVar[int]
    FREE_COUNT_FIELD_NUMBER: _ClassVar[int]
    imported: bool
    free_count: int
    def __init__(self, imported: _Optional[bool] = ..., free_count: _Optional[int] = ...) -> None: ...
