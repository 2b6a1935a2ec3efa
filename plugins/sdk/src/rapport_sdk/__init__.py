"""Write plugins for Rapport: hooks, the objects that they return, and what those may see."""

from rapport_sdk.channels import (
    CallbackRefused,
    CallbackRequest,
    Capabilities,
    Channel,
    ChannelAdapter,
    ChannelContext,
    DeliveryReport,
    DeliveryStatus,
    OutboundMessage,
    Outcome,
    Recipient,
    SendResult,
    Veto,
)
from rapport_sdk.context import EvalContext, EventSet, SqlContext
from rapport_sdk.hookspecs import hookimpl
from rapport_sdk.profile import Event, Profile
from rapport_sdk.rules import Parameter, PythonAnswer, SegmentRule, SqlAnswer, Timed
from rapport_sdk.settings import REQUIRED, Setting, Settings
from rapport_sdk.traits import Trait, TraitAnswer
from rapport_sdk.values import Value, ValueType

__all__ = [
    "REQUIRED",
    "CallbackRefused",
    "CallbackRequest",
    "Capabilities",
    "Channel",
    "ChannelAdapter",
    "ChannelContext",
    "DeliveryReport",
    "DeliveryStatus",
    "EvalContext",
    "Event",
    "EventSet",
    "OutboundMessage",
    "Outcome",
    "Parameter",
    "Profile",
    "PythonAnswer",
    "Recipient",
    "SegmentRule",
    "SendResult",
    "Setting",
    "Settings",
    "SqlAnswer",
    "SqlContext",
    "Timed",
    "Trait",
    "TraitAnswer",
    "Value",
    "ValueType",
    "Veto",
    "hookimpl",
]
