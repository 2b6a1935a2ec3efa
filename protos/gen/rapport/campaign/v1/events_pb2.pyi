from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class MessageFinished(_message.Message):
    __slots__ = ("message", "origin", "channel", "reason")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    message: str
    origin: str
    channel: str
    reason: str
    def __init__(self, message: _Optional[str] = ..., origin: _Optional[str] = ..., channel: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class CouponRedeemed(_message.Message):
    __slots__ = ("pool", "order")
    POOL_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    pool: str
    order: str
    def __init__(self, pool: _Optional[str] = ..., order: _Optional[str] = ...) -> None: ...

class CouponRefused(_message.Message):
    __slots__ = ("order", "reason")
    ORDER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    order: str
    reason: str
    def __init__(self, order: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class MessageEngaged(_message.Message):
    __slots__ = ("message", "origin", "channel", "topic", "link")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    message: str
    origin: str
    channel: str
    topic: str
    link: int
    def __init__(self, message: _Optional[str] = ..., origin: _Optional[str] = ..., channel: _Optional[str] = ..., topic: _Optional[str] = ..., link: _Optional[int] = ...) -> None: ...

class EngagementReversed(_message.Message):
    __slots__ = ("message", "origin", "event", "link")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    message: str
    origin: str
    event: str
    link: int
    def __init__(self, message: _Optional[str] = ..., origin: _Optional[str] = ..., event: _Optional[str] = ..., link: _Optional[int] = ...) -> None: ...

class DeliveryReported(_message.Message):
    __slots__ = ("message", "origin", "channel", "reason", "suppressed")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SUPPRESSED_FIELD_NUMBER: _ClassVar[int]
    message: str
    origin: str
    channel: str
    reason: str
    suppressed: bool
    def __init__(self, message: _Optional[str] = ..., origin: _Optional[str] = ..., channel: _Optional[str] = ..., reason: _Optional[str] = ..., suppressed: _Optional[bool] = ...) -> None: ...

class UnsubscribeRequested(_message.Message):
    __slots__ = ("channel", "topic", "message", "source")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    channel: str
    topic: str
    message: str
    source: str
    def __init__(self, channel: _Optional[str] = ..., topic: _Optional[str] = ..., message: _Optional[str] = ..., source: _Optional[str] = ...) -> None: ...
