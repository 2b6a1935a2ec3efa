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
