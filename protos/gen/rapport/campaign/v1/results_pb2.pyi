import datetime

from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from rapport.operations.v1 import operations_pb2 as _operations_pb2
from rapport.type.v1 import money_pb2 as _money_pb2
from rapport.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AttributionRule(_message.Message):
    __slots__ = ("model", "window", "include_transactional", "revision", "touch")
    class Touch(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        TOUCH_UNSPECIFIED: _ClassVar[AttributionRule.Touch]
        TOUCH_SENT: _ClassVar[AttributionRule.Touch]
        TOUCH_OPEN: _ClassVar[AttributionRule.Touch]
        TOUCH_CLICK: _ClassVar[AttributionRule.Touch]
    TOUCH_UNSPECIFIED: AttributionRule.Touch
    TOUCH_SENT: AttributionRule.Touch
    TOUCH_OPEN: AttributionRule.Touch
    TOUCH_CLICK: AttributionRule.Touch
    class Model(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        MODEL_UNSPECIFIED: _ClassVar[AttributionRule.Model]
        MODEL_LAST_TOUCH: _ClassVar[AttributionRule.Model]
        MODEL_FIRST_TOUCH: _ClassVar[AttributionRule.Model]
        MODEL_LINEAR: _ClassVar[AttributionRule.Model]
        MODEL_COUPON_FIRST: _ClassVar[AttributionRule.Model]
    MODEL_UNSPECIFIED: AttributionRule.Model
    MODEL_LAST_TOUCH: AttributionRule.Model
    MODEL_FIRST_TOUCH: AttributionRule.Model
    MODEL_LINEAR: AttributionRule.Model
    MODEL_COUPON_FIRST: AttributionRule.Model
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_TRANSACTIONAL_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    TOUCH_FIELD_NUMBER: _ClassVar[int]
    model: AttributionRule.Model
    window: _duration_pb2.Duration
    include_transactional: bool
    revision: int
    touch: AttributionRule.Touch
    def __init__(self, model: _Optional[_Union[AttributionRule.Model, str]] = ..., window: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., include_transactional: _Optional[bool] = ..., revision: _Optional[int] = ..., touch: _Optional[_Union[AttributionRule.Touch, str]] = ...) -> None: ...

class SetAttributionRuleRequest(_message.Message):
    __slots__ = ("rule",)
    RULE_FIELD_NUMBER: _ClassVar[int]
    rule: AttributionRule
    def __init__(self, rule: _Optional[_Union[AttributionRule, _Mapping]] = ...) -> None: ...

class SetAttributionRuleResponse(_message.Message):
    __slots__ = ("rule",)
    RULE_FIELD_NUMBER: _ClassVar[int]
    rule: AttributionRule
    def __init__(self, rule: _Optional[_Union[AttributionRule, _Mapping]] = ...) -> None: ...

class GetAttributionRuleRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetAttributionRuleResponse(_message.Message):
    __slots__ = ("rule",)
    RULE_FIELD_NUMBER: _ClassVar[int]
    rule: AttributionRule
    def __init__(self, rule: _Optional[_Union[AttributionRule, _Mapping]] = ...) -> None: ...

class RecomputeAttributionRequest(_message.Message):
    __slots__ = ("request_id",)
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    def __init__(self, request_id: _Optional[str] = ...) -> None: ...

class RecomputeAttributionResponse(_message.Message):
    __slots__ = ("operation",)
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    operation: _operations_pb2.Operation
    def __init__(self, operation: _Optional[_Union[_operations_pb2.Operation, _Mapping]] = ...) -> None: ...

class RecomputeAttributionResult(_message.Message):
    __slots__ = ("order_count", "conversion_count", "rule_revision")
    ORDER_COUNT_FIELD_NUMBER: _ClassVar[int]
    CONVERSION_COUNT_FIELD_NUMBER: _ClassVar[int]
    RULE_REVISION_FIELD_NUMBER: _ClassVar[int]
    order_count: int
    conversion_count: int
    rule_revision: int
    def __init__(self, order_count: _Optional[int] = ..., conversion_count: _Optional[int] = ..., rule_revision: _Optional[int] = ...) -> None: ...

class SetBudgetRequest(_message.Message):
    __slots__ = ("origin", "budget")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    origin: str
    budget: _money_pb2.Money
    def __init__(self, origin: _Optional[str] = ..., budget: _Optional[_Union[_money_pb2.Money, _Mapping]] = ...) -> None: ...

class SetBudgetResponse(_message.Message):
    __slots__ = ("budget",)
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    budget: _money_pb2.Money
    def __init__(self, budget: _Optional[_Union[_money_pb2.Money, _Mapping]] = ...) -> None: ...

class ChannelCost(_message.Message):
    __slots__ = ("channel", "amount", "start_time")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    channel: str
    amount: _money_pb2.Money
    start_time: _timestamp_pb2.Timestamp
    def __init__(self, channel: _Optional[str] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SetChannelCostRequest(_message.Message):
    __slots__ = ("cost",)
    COST_FIELD_NUMBER: _ClassVar[int]
    cost: ChannelCost
    def __init__(self, cost: _Optional[_Union[ChannelCost, _Mapping]] = ...) -> None: ...

class SetChannelCostResponse(_message.Message):
    __slots__ = ("cost",)
    COST_FIELD_NUMBER: _ClassVar[int]
    cost: ChannelCost
    def __init__(self, cost: _Optional[_Union[ChannelCost, _Mapping]] = ...) -> None: ...

class ListChannelCostsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListChannelCostsResponse(_message.Message):
    __slots__ = ("costs", "history")
    COSTS_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    costs: _containers.RepeatedCompositeFieldContainer[ChannelCost]
    history: _containers.RepeatedCompositeFieldContainer[ChannelCost]
    def __init__(self, costs: _Optional[_Iterable[_Union[ChannelCost, _Mapping]]] = ..., history: _Optional[_Iterable[_Union[ChannelCost, _Mapping]]] = ...) -> None: ...

class GetFunnelRequest(_message.Message):
    __slots__ = ("origin",)
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    origin: str
    def __init__(self, origin: _Optional[str] = ...) -> None: ...

class GetFunnelResponse(_message.Message):
    __slots__ = ("origin", "audience", "held_out", "suppressed", "suppressed_by_reason", "waiting", "cancelled", "failed", "unknown", "sent", "engagement_known", "opened", "clicked", "converted", "money", "channels", "as_of_time", "outdated_conversions", "delivered", "bounced", "soft_bounced", "complained", "unsubscribed", "scanner_count", "pending_count")
    class SuppressedByReasonEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    AUDIENCE_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_FIELD_NUMBER: _ClassVar[int]
    SUPPRESSED_FIELD_NUMBER: _ClassVar[int]
    SUPPRESSED_BY_REASON_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    ENGAGEMENT_KNOWN_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    CLICKED_FIELD_NUMBER: _ClassVar[int]
    CONVERTED_FIELD_NUMBER: _ClassVar[int]
    MONEY_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    OUTDATED_CONVERSIONS_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_FIELD_NUMBER: _ClassVar[int]
    BOUNCED_FIELD_NUMBER: _ClassVar[int]
    SOFT_BOUNCED_FIELD_NUMBER: _ClassVar[int]
    COMPLAINED_FIELD_NUMBER: _ClassVar[int]
    UNSUBSCRIBED_FIELD_NUMBER: _ClassVar[int]
    SCANNER_COUNT_FIELD_NUMBER: _ClassVar[int]
    PENDING_COUNT_FIELD_NUMBER: _ClassVar[int]
    origin: str
    audience: int
    held_out: int
    suppressed: int
    suppressed_by_reason: _containers.ScalarMap[str, int]
    waiting: int
    cancelled: int
    failed: int
    unknown: int
    sent: int
    engagement_known: bool
    opened: int
    clicked: int
    converted: int
    money: _containers.RepeatedCompositeFieldContainer[MoneyResult]
    channels: _containers.RepeatedCompositeFieldContainer[ChannelResult]
    as_of_time: _timestamp_pb2.Timestamp
    outdated_conversions: int
    delivered: int
    bounced: int
    soft_bounced: int
    complained: int
    unsubscribed: int
    scanner_count: int
    pending_count: int
    def __init__(self, origin: _Optional[str] = ..., audience: _Optional[int] = ..., held_out: _Optional[int] = ..., suppressed: _Optional[int] = ..., suppressed_by_reason: _Optional[_Mapping[str, int]] = ..., waiting: _Optional[int] = ..., cancelled: _Optional[int] = ..., failed: _Optional[int] = ..., unknown: _Optional[int] = ..., sent: _Optional[int] = ..., engagement_known: _Optional[bool] = ..., opened: _Optional[int] = ..., clicked: _Optional[int] = ..., converted: _Optional[int] = ..., money: _Optional[_Iterable[_Union[MoneyResult, _Mapping]]] = ..., channels: _Optional[_Iterable[_Union[ChannelResult, _Mapping]]] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., outdated_conversions: _Optional[int] = ..., delivered: _Optional[int] = ..., bounced: _Optional[int] = ..., soft_bounced: _Optional[int] = ..., complained: _Optional[int] = ..., unsubscribed: _Optional[int] = ..., scanner_count: _Optional[int] = ..., pending_count: _Optional[int] = ...) -> None: ...

class MoneyResult(_message.Message):
    __slots__ = ("currency_code", "orders", "gross", "returned", "revenue", "cost", "profit", "roi")
    CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    GROSS_FIELD_NUMBER: _ClassVar[int]
    RETURNED_FIELD_NUMBER: _ClassVar[int]
    REVENUE_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    PROFIT_FIELD_NUMBER: _ClassVar[int]
    ROI_FIELD_NUMBER: _ClassVar[int]
    currency_code: str
    orders: int
    gross: str
    returned: str
    revenue: str
    cost: str
    profit: str
    roi: str
    def __init__(self, currency_code: _Optional[str] = ..., orders: _Optional[int] = ..., gross: _Optional[str] = ..., returned: _Optional[str] = ..., revenue: _Optional[str] = ..., cost: _Optional[str] = ..., profit: _Optional[str] = ..., roi: _Optional[str] = ...) -> None: ...

class ChannelResult(_message.Message):
    __slots__ = ("channel", "sent", "converted", "money")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    CONVERTED_FIELD_NUMBER: _ClassVar[int]
    MONEY_FIELD_NUMBER: _ClassVar[int]
    channel: str
    sent: int
    converted: int
    money: _containers.RepeatedCompositeFieldContainer[MoneyResult]
    def __init__(self, channel: _Optional[str] = ..., sent: _Optional[int] = ..., converted: _Optional[int] = ..., money: _Optional[_Iterable[_Union[MoneyResult, _Mapping]]] = ...) -> None: ...
