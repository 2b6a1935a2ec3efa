from rapport.type.v1 import money_pb2 as _money_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OrderPlaced(_message.Message):
    __slots__ = ("total", "line_count", "category", "coupon_code", "source")
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    LINE_COUNT_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    COUPON_CODE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    total: _money_pb2.Money
    line_count: int
    category: str
    coupon_code: str
    source: str
    def __init__(self, total: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., line_count: _Optional[int] = ..., category: _Optional[str] = ..., coupon_code: _Optional[str] = ..., source: _Optional[str] = ...) -> None: ...

class OrderReturned(_message.Message):
    __slots__ = ("total", "order", "line_count")
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    LINE_COUNT_FIELD_NUMBER: _ClassVar[int]
    total: _money_pb2.Money
    order: str
    line_count: int
    def __init__(self, total: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., order: _Optional[str] = ..., line_count: _Optional[int] = ...) -> None: ...

class PaymentReceived(_message.Message):
    __slots__ = ("amount", "order", "method")
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    amount: _money_pb2.Money
    order: str
    method: str
    def __init__(self, amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., order: _Optional[str] = ..., method: _Optional[str] = ...) -> None: ...
