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

class ExperimentMetric(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXPERIMENT_METRIC_UNSPECIFIED: _ClassVar[ExperimentMetric]
    EXPERIMENT_METRIC_CONVERSION: _ClassVar[ExperimentMetric]
    EXPERIMENT_METRIC_REVENUE: _ClassVar[ExperimentMetric]
EXPERIMENT_METRIC_UNSPECIFIED: ExperimentMetric
EXPERIMENT_METRIC_CONVERSION: ExperimentMetric
EXPERIMENT_METRIC_REVENUE: ExperimentMetric

class Variant(_message.Message):
    __slots__ = ("id", "weight", "template", "channel", "coupon_pool", "delay")
    ID_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    COUPON_POOL_FIELD_NUMBER: _ClassVar[int]
    DELAY_FIELD_NUMBER: _ClassVar[int]
    id: str
    weight: int
    template: str
    channel: str
    coupon_pool: str
    delay: _duration_pb2.Duration
    def __init__(self, id: _Optional[str] = ..., weight: _Optional[int] = ..., template: _Optional[str] = ..., channel: _Optional[str] = ..., coupon_pool: _Optional[str] = ..., delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Experiment(_message.Message):
    __slots__ = ("campaign", "variants", "hold_out_percent", "test_percent", "duration", "window", "metric", "alpha", "by_hand", "state", "end_time", "winner", "decision", "decide_time", "sample")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Experiment.State]
        STATE_DRAFT: _ClassVar[Experiment.State]
        STATE_RUNNING: _ClassVar[Experiment.State]
        STATE_RELEASING: _ClassVar[Experiment.State]
        STATE_DECIDED: _ClassVar[Experiment.State]
    STATE_UNSPECIFIED: Experiment.State
    STATE_DRAFT: Experiment.State
    STATE_RUNNING: Experiment.State
    STATE_RELEASING: Experiment.State
    STATE_DECIDED: Experiment.State
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    VARIANTS_FIELD_NUMBER: _ClassVar[int]
    HOLD_OUT_PERCENT_FIELD_NUMBER: _ClassVar[int]
    TEST_PERCENT_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    BY_HAND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    WINNER_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    DECIDE_TIME_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    campaign: str
    variants: _containers.RepeatedCompositeFieldContainer[Variant]
    hold_out_percent: float
    test_percent: float
    duration: _duration_pb2.Duration
    window: _duration_pb2.Duration
    metric: ExperimentMetric
    alpha: float
    by_hand: bool
    state: Experiment.State
    end_time: _timestamp_pb2.Timestamp
    winner: str
    decision: str
    decide_time: _timestamp_pb2.Timestamp
    sample: SamplePlan
    def __init__(self, campaign: _Optional[str] = ..., variants: _Optional[_Iterable[_Union[Variant, _Mapping]]] = ..., hold_out_percent: _Optional[float] = ..., test_percent: _Optional[float] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., window: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., metric: _Optional[_Union[ExperimentMetric, str]] = ..., alpha: _Optional[float] = ..., by_hand: _Optional[bool] = ..., state: _Optional[_Union[Experiment.State, str]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., winner: _Optional[str] = ..., decision: _Optional[str] = ..., decide_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sample: _Optional[_Union[SamplePlan, _Mapping]] = ...) -> None: ...

class SamplePlan(_message.Message):
    __slots__ = ("baseline_rate", "minimal_effect", "power", "contacts_per_arm")
    BASELINE_RATE_FIELD_NUMBER: _ClassVar[int]
    MINIMAL_EFFECT_FIELD_NUMBER: _ClassVar[int]
    POWER_FIELD_NUMBER: _ClassVar[int]
    CONTACTS_PER_ARM_FIELD_NUMBER: _ClassVar[int]
    baseline_rate: float
    minimal_effect: float
    power: float
    contacts_per_arm: int
    def __init__(self, baseline_rate: _Optional[float] = ..., minimal_effect: _Optional[float] = ..., power: _Optional[float] = ..., contacts_per_arm: _Optional[int] = ...) -> None: ...

class PlanExperimentRequest(_message.Message):
    __slots__ = ("baseline_rate", "minimal_effect", "power", "alpha", "arm_count", "audience", "contacts_per_day", "window", "hold_out")
    BASELINE_RATE_FIELD_NUMBER: _ClassVar[int]
    MINIMAL_EFFECT_FIELD_NUMBER: _ClassVar[int]
    POWER_FIELD_NUMBER: _ClassVar[int]
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    ARM_COUNT_FIELD_NUMBER: _ClassVar[int]
    AUDIENCE_FIELD_NUMBER: _ClassVar[int]
    CONTACTS_PER_DAY_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    HOLD_OUT_FIELD_NUMBER: _ClassVar[int]
    baseline_rate: float
    minimal_effect: float
    power: float
    alpha: float
    arm_count: int
    audience: int
    contacts_per_day: int
    window: _duration_pb2.Duration
    hold_out: bool
    def __init__(self, baseline_rate: _Optional[float] = ..., minimal_effect: _Optional[float] = ..., power: _Optional[float] = ..., alpha: _Optional[float] = ..., arm_count: _Optional[int] = ..., audience: _Optional[int] = ..., contacts_per_day: _Optional[int] = ..., window: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., hold_out: _Optional[bool] = ...) -> None: ...

class PlanExperimentResponse(_message.Message):
    __slots__ = ("contacts_per_arm", "contacts", "comparison_alpha", "duration", "test_percent", "detectable_effect", "summary")
    CONTACTS_PER_ARM_FIELD_NUMBER: _ClassVar[int]
    CONTACTS_FIELD_NUMBER: _ClassVar[int]
    COMPARISON_ALPHA_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    TEST_PERCENT_FIELD_NUMBER: _ClassVar[int]
    DETECTABLE_EFFECT_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    contacts_per_arm: int
    contacts: int
    comparison_alpha: float
    duration: _duration_pb2.Duration
    test_percent: float
    detectable_effect: float
    summary: str
    def __init__(self, contacts_per_arm: _Optional[int] = ..., contacts: _Optional[int] = ..., comparison_alpha: _Optional[float] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., test_percent: _Optional[float] = ..., detectable_effect: _Optional[float] = ..., summary: _Optional[str] = ...) -> None: ...

class CreateExperimentRequest(_message.Message):
    __slots__ = ("campaign", "experiment", "request_id")
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    campaign: str
    experiment: Experiment
    request_id: str
    def __init__(self, campaign: _Optional[str] = ..., experiment: _Optional[_Union[Experiment, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateExperimentResponse(_message.Message):
    __slots__ = ("experiment",)
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    experiment: Experiment
    def __init__(self, experiment: _Optional[_Union[Experiment, _Mapping]] = ...) -> None: ...

class GetExperimentRequest(_message.Message):
    __slots__ = ("campaign",)
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    campaign: str
    def __init__(self, campaign: _Optional[str] = ...) -> None: ...

class GetExperimentResponse(_message.Message):
    __slots__ = ("experiment",)
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    experiment: Experiment
    def __init__(self, experiment: _Optional[_Union[Experiment, _Mapping]] = ...) -> None: ...

class DeleteExperimentRequest(_message.Message):
    __slots__ = ("campaign",)
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    campaign: str
    def __init__(self, campaign: _Optional[str] = ...) -> None: ...

class DeleteExperimentResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DeclareWinnerRequest(_message.Message):
    __slots__ = ("campaign", "variant")
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    campaign: str
    variant: str
    def __init__(self, campaign: _Optional[str] = ..., variant: _Optional[str] = ...) -> None: ...

class DeclareWinnerResponse(_message.Message):
    __slots__ = ("experiment",)
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    experiment: Experiment
    def __init__(self, experiment: _Optional[_Union[Experiment, _Mapping]] = ...) -> None: ...

class GetExperimentResultsRequest(_message.Message):
    __slots__ = ("campaign",)
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    campaign: str
    def __init__(self, campaign: _Optional[str] = ...) -> None: ...

class GetExperimentResultsResponse(_message.Message):
    __slots__ = ("experiment", "final", "arms", "summary", "as_of_time", "all_variants", "too_small")
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    ARMS_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    ALL_VARIANTS_FIELD_NUMBER: _ClassVar[int]
    TOO_SMALL_FIELD_NUMBER: _ClassVar[int]
    experiment: Experiment
    final: bool
    arms: _containers.RepeatedCompositeFieldContainer[ArmResult]
    summary: _containers.RepeatedScalarFieldContainer[str]
    as_of_time: _timestamp_pb2.Timestamp
    all_variants: ArmResult
    too_small: bool
    def __init__(self, experiment: _Optional[_Union[Experiment, _Mapping]] = ..., final: _Optional[bool] = ..., arms: _Optional[_Iterable[_Union[ArmResult, _Mapping]]] = ..., summary: _Optional[_Iterable[str]] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., all_variants: _Optional[_Union[ArmResult, _Mapping]] = ..., too_small: _Optional[bool] = ...) -> None: ...

class ArmResult(_message.Message):
    __slots__ = ("variant", "assigned", "sent", "converted", "conversion_rate", "conversion_interval", "revenue", "conversion_uplift", "held_out_uplift")
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    ASSIGNED_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    CONVERTED_FIELD_NUMBER: _ClassVar[int]
    CONVERSION_RATE_FIELD_NUMBER: _ClassVar[int]
    CONVERSION_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    REVENUE_FIELD_NUMBER: _ClassVar[int]
    CONVERSION_UPLIFT_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_UPLIFT_FIELD_NUMBER: _ClassVar[int]
    variant: str
    assigned: int
    sent: int
    converted: int
    conversion_rate: float
    conversion_interval: Interval
    revenue: _containers.RepeatedCompositeFieldContainer[ArmRevenue]
    conversion_uplift: Comparison
    held_out_uplift: Comparison
    def __init__(self, variant: _Optional[str] = ..., assigned: _Optional[int] = ..., sent: _Optional[int] = ..., converted: _Optional[int] = ..., conversion_rate: _Optional[float] = ..., conversion_interval: _Optional[_Union[Interval, _Mapping]] = ..., revenue: _Optional[_Iterable[_Union[ArmRevenue, _Mapping]]] = ..., conversion_uplift: _Optional[_Union[Comparison, _Mapping]] = ..., held_out_uplift: _Optional[_Union[Comparison, _Mapping]] = ...) -> None: ...

class ArmRevenue(_message.Message):
    __slots__ = ("currency_code", "amount", "per_contact", "largest_share", "uplift", "held_out_uplift")
    CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    PER_CONTACT_FIELD_NUMBER: _ClassVar[int]
    LARGEST_SHARE_FIELD_NUMBER: _ClassVar[int]
    UPLIFT_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_UPLIFT_FIELD_NUMBER: _ClassVar[int]
    currency_code: str
    amount: str
    per_contact: float
    largest_share: float
    uplift: Comparison
    held_out_uplift: Comparison
    def __init__(self, currency_code: _Optional[str] = ..., amount: _Optional[str] = ..., per_contact: _Optional[float] = ..., largest_share: _Optional[float] = ..., uplift: _Optional[_Union[Comparison, _Mapping]] = ..., held_out_uplift: _Optional[_Union[Comparison, _Mapping]] = ...) -> None: ...

class Comparison(_message.Message):
    __slots__ = ("against", "difference", "interval", "p_value", "alpha", "significant", "method")
    AGAINST_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    P_VALUE_FIELD_NUMBER: _ClassVar[int]
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    SIGNIFICANT_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    against: str
    difference: float
    interval: Interval
    p_value: float
    alpha: float
    significant: bool
    method: str
    def __init__(self, against: _Optional[str] = ..., difference: _Optional[float] = ..., interval: _Optional[_Union[Interval, _Mapping]] = ..., p_value: _Optional[float] = ..., alpha: _Optional[float] = ..., significant: _Optional[bool] = ..., method: _Optional[str] = ...) -> None: ...

class Interval(_message.Message):
    __slots__ = ("low", "high")
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    low: float
    high: float
    def __init__(self, low: _Optional[float] = ..., high: _Optional[float] = ...) -> None: ...

class HoldOut(_message.Message):
    __slots__ = ("percent", "period_days", "start_time")
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    PERIOD_DAYS_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    percent: float
    period_days: int
    start_time: _timestamp_pb2.Timestamp
    def __init__(self, percent: _Optional[float] = ..., period_days: _Optional[int] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SetHoldOutRequest(_message.Message):
    __slots__ = ("hold_out",)
    HOLD_OUT_FIELD_NUMBER: _ClassVar[int]
    hold_out: HoldOut
    def __init__(self, hold_out: _Optional[_Union[HoldOut, _Mapping]] = ...) -> None: ...

class SetHoldOutResponse(_message.Message):
    __slots__ = ("hold_out",)
    HOLD_OUT_FIELD_NUMBER: _ClassVar[int]
    hold_out: HoldOut
    def __init__(self, hold_out: _Optional[_Union[HoldOut, _Mapping]] = ...) -> None: ...

class GetHoldOutRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetHoldOutResponse(_message.Message):
    __slots__ = ("hold_out",)
    HOLD_OUT_FIELD_NUMBER: _ClassVar[int]
    hold_out: HoldOut
    def __init__(self, hold_out: _Optional[_Union[HoldOut, _Mapping]] = ...) -> None: ...

class GetHoldOutResultsRequest(_message.Message):
    __slots__ = ("start_time", "end_time")
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetHoldOutResultsResponse(_message.Message):
    __slots__ = ("hold_out", "start_time", "end_time", "reached", "held_out", "summary")
    HOLD_OUT_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    REACHED_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    hold_out: HoldOut
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    reached: ArmResult
    held_out: ArmResult
    summary: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, hold_out: _Optional[_Union[HoldOut, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reached: _Optional[_Union[ArmResult, _Mapping]] = ..., held_out: _Optional[_Union[ArmResult, _Mapping]] = ..., summary: _Optional[_Iterable[str]] = ...) -> None: ...

class GetJourneyResultsRequest(_message.Message):
    __slots__ = ("name", "window")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    name: str
    window: _duration_pb2.Duration
    def __init__(self, name: _Optional[str] = ..., window: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class GetJourneyResultsResponse(_message.Message):
    __slots__ = ("hold_out", "splits", "summary", "as_of_time")
    HOLD_OUT_FIELD_NUMBER: _ClassVar[int]
    SPLITS_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    hold_out: JourneyGroups
    splits: _containers.RepeatedCompositeFieldContainer[JourneyGroups]
    summary: _containers.RepeatedScalarFieldContainer[str]
    as_of_time: _timestamp_pb2.Timestamp
    def __init__(self, hold_out: _Optional[_Union[JourneyGroups, _Mapping]] = ..., splits: _Optional[_Iterable[_Union[JourneyGroups, _Mapping]]] = ..., summary: _Optional[_Iterable[str]] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class JourneyGroups(_message.Message):
    __slots__ = ("step", "since_time", "arms", "pending_count", "planned_contacts", "compared")
    STEP_FIELD_NUMBER: _ClassVar[int]
    SINCE_TIME_FIELD_NUMBER: _ClassVar[int]
    ARMS_FIELD_NUMBER: _ClassVar[int]
    PENDING_COUNT_FIELD_NUMBER: _ClassVar[int]
    PLANNED_CONTACTS_FIELD_NUMBER: _ClassVar[int]
    COMPARED_FIELD_NUMBER: _ClassVar[int]
    step: str
    since_time: _timestamp_pb2.Timestamp
    arms: _containers.RepeatedCompositeFieldContainer[JourneyArm]
    pending_count: int
    planned_contacts: int
    compared: bool
    def __init__(self, step: _Optional[str] = ..., since_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., arms: _Optional[_Iterable[_Union[JourneyArm, _Mapping]]] = ..., pending_count: _Optional[int] = ..., planned_contacts: _Optional[int] = ..., compared: _Optional[bool] = ...) -> None: ...

class JourneyArm(_message.Message):
    __slots__ = ("result", "goal_count", "goal_uplift")
    RESULT_FIELD_NUMBER: _ClassVar[int]
    GOAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    GOAL_UPLIFT_FIELD_NUMBER: _ClassVar[int]
    result: ArmResult
    goal_count: int
    goal_uplift: Comparison
    def __init__(self, result: _Optional[_Union[ArmResult, _Mapping]] = ..., goal_count: _Optional[int] = ..., goal_uplift: _Optional[_Union[Comparison, _Mapping]] = ...) -> None: ...
