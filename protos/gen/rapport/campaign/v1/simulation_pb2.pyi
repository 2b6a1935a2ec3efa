import datetime

from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from rapport.campaign.v1 import campaign_pb2 as _campaign_pb2
from rapport.campaign.v1 import journeys_pb2 as _journeys_pb2
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

class Simulation(_message.Message):
    __slots__ = ("name", "origin", "start_time", "end_time", "create_time", "expire_time", "summary")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    name: str
    origin: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    create_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    summary: SimulationSummary
    def __init__(self, name: _Optional[str] = ..., origin: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., summary: _Optional[_Union[SimulationSummary, _Mapping]] = ...) -> None: ...

class SimulationSummary(_message.Message):
    __slots__ = ("message_count", "send_count", "refuse_count", "wait_count", "refused_by_reason", "deferred_by_reason", "waiting_by_reason", "first_send_time", "last_send_time", "hours", "channels", "costs", "groups", "held_out_count", "held_out_share", "start_count", "outcomes", "steps", "actions", "assumptions")
    class RefusedByReasonEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class DeferredByReasonEntry(_message.Message):
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
    class OutcomesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class ActionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class Hour(_message.Message):
        __slots__ = ("start_time", "send_count")
        START_TIME_FIELD_NUMBER: _ClassVar[int]
        SEND_COUNT_FIELD_NUMBER: _ClassVar[int]
        start_time: _timestamp_pb2.Timestamp
        send_count: int
        def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., send_count: _Optional[int] = ...) -> None: ...
    class Channel(_message.Message):
        __slots__ = ("channel", "message_count", "send_count", "rate_limited_count", "longest_rate_wait", "drain_time", "cost")
        CHANNEL_FIELD_NUMBER: _ClassVar[int]
        MESSAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
        SEND_COUNT_FIELD_NUMBER: _ClassVar[int]
        RATE_LIMITED_COUNT_FIELD_NUMBER: _ClassVar[int]
        LONGEST_RATE_WAIT_FIELD_NUMBER: _ClassVar[int]
        DRAIN_TIME_FIELD_NUMBER: _ClassVar[int]
        COST_FIELD_NUMBER: _ClassVar[int]
        channel: str
        message_count: int
        send_count: int
        rate_limited_count: int
        longest_rate_wait: _duration_pb2.Duration
        drain_time: _duration_pb2.Duration
        cost: _money_pb2.Money
        def __init__(self, channel: _Optional[str] = ..., message_count: _Optional[int] = ..., send_count: _Optional[int] = ..., rate_limited_count: _Optional[int] = ..., longest_rate_wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., drain_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., cost: _Optional[_Union[_money_pb2.Money, _Mapping]] = ...) -> None: ...
    class Group(_message.Message):
        __slots__ = ("variant", "held_out", "message_count", "send_count")
        VARIANT_FIELD_NUMBER: _ClassVar[int]
        HELD_OUT_FIELD_NUMBER: _ClassVar[int]
        MESSAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
        SEND_COUNT_FIELD_NUMBER: _ClassVar[int]
        variant: str
        held_out: bool
        message_count: int
        send_count: int
        def __init__(self, variant: _Optional[str] = ..., held_out: _Optional[bool] = ..., message_count: _Optional[int] = ..., send_count: _Optional[int] = ...) -> None: ...
    MESSAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SEND_COUNT_FIELD_NUMBER: _ClassVar[int]
    REFUSE_COUNT_FIELD_NUMBER: _ClassVar[int]
    WAIT_COUNT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_BY_REASON_FIELD_NUMBER: _ClassVar[int]
    DEFERRED_BY_REASON_FIELD_NUMBER: _ClassVar[int]
    WAITING_BY_REASON_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEND_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_SEND_TIME_FIELD_NUMBER: _ClassVar[int]
    HOURS_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    COSTS_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_COUNT_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_SHARE_FIELD_NUMBER: _ClassVar[int]
    START_COUNT_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    ASSUMPTIONS_FIELD_NUMBER: _ClassVar[int]
    message_count: int
    send_count: int
    refuse_count: int
    wait_count: int
    refused_by_reason: _containers.ScalarMap[str, int]
    deferred_by_reason: _containers.ScalarMap[str, int]
    waiting_by_reason: _containers.ScalarMap[str, int]
    first_send_time: _timestamp_pb2.Timestamp
    last_send_time: _timestamp_pb2.Timestamp
    hours: _containers.RepeatedCompositeFieldContainer[SimulationSummary.Hour]
    channels: _containers.RepeatedCompositeFieldContainer[SimulationSummary.Channel]
    costs: _containers.RepeatedCompositeFieldContainer[_money_pb2.Money]
    groups: _containers.RepeatedCompositeFieldContainer[SimulationSummary.Group]
    held_out_count: int
    held_out_share: float
    start_count: int
    outcomes: _containers.ScalarMap[str, int]
    steps: _containers.RepeatedCompositeFieldContainer[_journeys_pb2.JourneyStepFlow]
    actions: _containers.ScalarMap[str, int]
    assumptions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, message_count: _Optional[int] = ..., send_count: _Optional[int] = ..., refuse_count: _Optional[int] = ..., wait_count: _Optional[int] = ..., refused_by_reason: _Optional[_Mapping[str, int]] = ..., deferred_by_reason: _Optional[_Mapping[str, int]] = ..., waiting_by_reason: _Optional[_Mapping[str, int]] = ..., first_send_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_send_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., hours: _Optional[_Iterable[_Union[SimulationSummary.Hour, _Mapping]]] = ..., channels: _Optional[_Iterable[_Union[SimulationSummary.Channel, _Mapping]]] = ..., costs: _Optional[_Iterable[_Union[_money_pb2.Money, _Mapping]]] = ..., groups: _Optional[_Iterable[_Union[SimulationSummary.Group, _Mapping]]] = ..., held_out_count: _Optional[int] = ..., held_out_share: _Optional[float] = ..., start_count: _Optional[int] = ..., outcomes: _Optional[_Mapping[str, int]] = ..., steps: _Optional[_Iterable[_Union[_journeys_pb2.JourneyStepFlow, _Mapping]]] = ..., actions: _Optional[_Mapping[str, int]] = ..., assumptions: _Optional[_Iterable[str]] = ...) -> None: ...

class SimulatedMessage(_message.Message):
    __slots__ = ("contact", "channel", "topic", "template", "variant", "step", "due_time", "decision", "reason", "send_time", "until_time", "deferral", "rate_wait")
    class Decision(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        DECISION_UNSPECIFIED: _ClassVar[SimulatedMessage.Decision]
        DECISION_SEND: _ClassVar[SimulatedMessage.Decision]
        DECISION_REFUSE: _ClassVar[SimulatedMessage.Decision]
        DECISION_WAIT: _ClassVar[SimulatedMessage.Decision]
    DECISION_UNSPECIFIED: SimulatedMessage.Decision
    DECISION_SEND: SimulatedMessage.Decision
    DECISION_REFUSE: SimulatedMessage.Decision
    DECISION_WAIT: SimulatedMessage.Decision
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    DUE_TIME_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SEND_TIME_FIELD_NUMBER: _ClassVar[int]
    UNTIL_TIME_FIELD_NUMBER: _ClassVar[int]
    DEFERRAL_FIELD_NUMBER: _ClassVar[int]
    RATE_WAIT_FIELD_NUMBER: _ClassVar[int]
    contact: str
    channel: str
    topic: str
    template: str
    variant: str
    step: str
    due_time: _timestamp_pb2.Timestamp
    decision: SimulatedMessage.Decision
    reason: str
    send_time: _timestamp_pb2.Timestamp
    until_time: _timestamp_pb2.Timestamp
    deferral: str
    rate_wait: _duration_pb2.Duration
    def __init__(self, contact: _Optional[str] = ..., channel: _Optional[str] = ..., topic: _Optional[str] = ..., template: _Optional[str] = ..., variant: _Optional[str] = ..., step: _Optional[str] = ..., due_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., decision: _Optional[_Union[SimulatedMessage.Decision, str]] = ..., reason: _Optional[str] = ..., send_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., deferral: _Optional[str] = ..., rate_wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class SimulateCampaignRequest(_message.Message):
    __slots__ = ("name", "campaign", "start_time", "recipient_local_time", "end_time", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    RECIPIENT_LOCAL_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    campaign: _campaign_pb2.Campaign
    start_time: _timestamp_pb2.Timestamp
    recipient_local_time: str
    end_time: _timestamp_pb2.Timestamp
    request_id: str
    def __init__(self, name: _Optional[str] = ..., campaign: _Optional[_Union[_campaign_pb2.Campaign, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., recipient_local_time: _Optional[str] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class SimulateCampaignResponse(_message.Message):
    __slots__ = ("operation", "simulation")
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    SIMULATION_FIELD_NUMBER: _ClassVar[int]
    operation: _operations_pb2.Operation
    simulation: str
    def __init__(self, operation: _Optional[_Union[_operations_pb2.Operation, _Mapping]] = ..., simulation: _Optional[str] = ...) -> None: ...

class SimulateCampaignResult(_message.Message):
    __slots__ = ("simulation",)
    SIMULATION_FIELD_NUMBER: _ClassVar[int]
    simulation: Simulation
    def __init__(self, simulation: _Optional[_Union[Simulation, _Mapping]] = ...) -> None: ...

class SimulateJourneyRequest(_message.Message):
    __slots__ = ("name", "journey", "start_time", "end_time", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    journey: _campaign_pb2.Journey
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    request_id: str
    def __init__(self, name: _Optional[str] = ..., journey: _Optional[_Union[_campaign_pb2.Journey, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class SimulateJourneyResponse(_message.Message):
    __slots__ = ("operation", "simulation")
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    SIMULATION_FIELD_NUMBER: _ClassVar[int]
    operation: _operations_pb2.Operation
    simulation: str
    def __init__(self, operation: _Optional[_Union[_operations_pb2.Operation, _Mapping]] = ..., simulation: _Optional[str] = ...) -> None: ...

class SimulateJourneyResult(_message.Message):
    __slots__ = ("simulation",)
    SIMULATION_FIELD_NUMBER: _ClassVar[int]
    simulation: Simulation
    def __init__(self, simulation: _Optional[_Union[Simulation, _Mapping]] = ...) -> None: ...

class GetSimulationRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetSimulationResponse(_message.Message):
    __slots__ = ("simulation",)
    SIMULATION_FIELD_NUMBER: _ClassVar[int]
    simulation: Simulation
    def __init__(self, simulation: _Optional[_Union[Simulation, _Mapping]] = ...) -> None: ...

class ListSimulatedMessagesRequest(_message.Message):
    __slots__ = ("simulation", "contact", "decision", "reason", "page_size", "page_token")
    SIMULATION_FIELD_NUMBER: _ClassVar[int]
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    simulation: str
    contact: str
    decision: SimulatedMessage.Decision
    reason: str
    page_size: int
    page_token: str
    def __init__(self, simulation: _Optional[str] = ..., contact: _Optional[str] = ..., decision: _Optional[_Union[SimulatedMessage.Decision, str]] = ..., reason: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSimulatedMessagesResponse(_message.Message):
    __slots__ = ("messages", "next_page_token")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[SimulatedMessage]
    next_page_token: str
    def __init__(self, messages: _Optional[_Iterable[_Union[SimulatedMessage, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListSimulatedEntriesRequest(_message.Message):
    __slots__ = ("simulation", "page_size", "page_token")
    SIMULATION_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    simulation: str
    page_size: int
    page_token: str
    def __init__(self, simulation: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSimulatedEntriesResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[_journeys_pb2.JourneyEntry]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[_journeys_pb2.JourneyEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
