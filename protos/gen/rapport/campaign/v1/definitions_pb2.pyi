from google.api import field_behavior_pb2 as _field_behavior_pb2
from rapport.campaign.v1 import campaign_pb2 as _campaign_pb2
from rapport.campaign.v1 import content_pb2 as _content_pb2
from rapport.campaign.v1 import limits_pb2 as _limits_pb2
from rapport.campaign.v1 import schedules_pb2 as _schedules_pb2
from rapport.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Definition(_message.Message):
    __slots__ = ("template", "journey", "campaign", "send_policy", "rate_limit", "schedule", "active", "links")
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    SEND_POLICY_FIELD_NUMBER: _ClassVar[int]
    RATE_LIMIT_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    template: _campaign_pb2.Template
    journey: _campaign_pb2.Journey
    campaign: _campaign_pb2.Campaign
    send_policy: _limits_pb2.SendPolicy
    rate_limit: _limits_pb2.RateLimit
    schedule: _schedules_pb2.CampaignSchedule
    active: bool
    links: _content_pb2.LinkSettings
    def __init__(self, template: _Optional[_Union[_campaign_pb2.Template, _Mapping]] = ..., journey: _Optional[_Union[_campaign_pb2.Journey, _Mapping]] = ..., campaign: _Optional[_Union[_campaign_pb2.Campaign, _Mapping]] = ..., send_policy: _Optional[_Union[_limits_pb2.SendPolicy, _Mapping]] = ..., rate_limit: _Optional[_Union[_limits_pb2.RateLimit, _Mapping]] = ..., schedule: _Optional[_Union[_schedules_pb2.CampaignSchedule, _Mapping]] = ..., active: _Optional[bool] = ..., links: _Optional[_Union[_content_pb2.LinkSettings, _Mapping]] = ...) -> None: ...

class CompareDefinitionsRequest(_message.Message):
    __slots__ = ("definitions", "deletions")
    DEFINITIONS_FIELD_NUMBER: _ClassVar[int]
    DELETIONS_FIELD_NUMBER: _ClassVar[int]
    definitions: _containers.RepeatedCompositeFieldContainer[Definition]
    deletions: _containers.RepeatedCompositeFieldContainer[UnwantedDefinition]
    def __init__(self, definitions: _Optional[_Iterable[_Union[Definition, _Mapping]]] = ..., deletions: _Optional[_Iterable[_Union[UnwantedDefinition, _Mapping]]] = ...) -> None: ...

class CompareDefinitionsResponse(_message.Message):
    __slots__ = ("changes",)
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[DefinitionChange]
    def __init__(self, changes: _Optional[_Iterable[_Union[DefinitionChange, _Mapping]]] = ...) -> None: ...

class DefinitionChange(_message.Message):
    __slots__ = ("name", "action", "definition", "previous", "etag", "problems")
    class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ACTION_UNSPECIFIED: _ClassVar[DefinitionChange.Action]
        ACTION_CREATED: _ClassVar[DefinitionChange.Action]
        ACTION_CHANGED: _ClassVar[DefinitionChange.Action]
        ACTION_UNCHANGED: _ClassVar[DefinitionChange.Action]
        ACTION_DELETED: _ClassVar[DefinitionChange.Action]
    ACTION_UNSPECIFIED: DefinitionChange.Action
    ACTION_CREATED: DefinitionChange.Action
    ACTION_CHANGED: DefinitionChange.Action
    ACTION_UNCHANGED: DefinitionChange.Action
    ACTION_DELETED: DefinitionChange.Action
    NAME_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    name: str
    action: DefinitionChange.Action
    definition: Definition
    previous: Definition
    etag: str
    problems: _containers.RepeatedCompositeFieldContainer[DefinitionProblem]
    def __init__(self, name: _Optional[str] = ..., action: _Optional[_Union[DefinitionChange.Action, str]] = ..., definition: _Optional[_Union[Definition, _Mapping]] = ..., previous: _Optional[_Union[Definition, _Mapping]] = ..., etag: _Optional[str] = ..., problems: _Optional[_Iterable[_Union[DefinitionProblem, _Mapping]]] = ...) -> None: ...

class DefinitionProblem(_message.Message):
    __slots__ = ("field", "description", "reason")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    field: str
    description: str
    reason: str
    def __init__(self, field: _Optional[str] = ..., description: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ApplyDefinitionsRequest(_message.Message):
    __slots__ = ("changes", "deletions", "request_id")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    DELETIONS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[WantedDefinition]
    deletions: _containers.RepeatedCompositeFieldContainer[UnwantedDefinition]
    request_id: str
    def __init__(self, changes: _Optional[_Iterable[_Union[WantedDefinition, _Mapping]]] = ..., deletions: _Optional[_Iterable[_Union[UnwantedDefinition, _Mapping]]] = ..., request_id: _Optional[str] = ...) -> None: ...

class WantedDefinition(_message.Message):
    __slots__ = ("definition", "etag", "create_only")
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    definition: Definition
    etag: str
    create_only: bool
    def __init__(self, definition: _Optional[_Union[Definition, _Mapping]] = ..., etag: _Optional[str] = ..., create_only: _Optional[bool] = ...) -> None: ...

class UnwantedDefinition(_message.Message):
    __slots__ = ("name", "etag")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    etag: str
    def __init__(self, name: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class ApplyDefinitionsResponse(_message.Message):
    __slots__ = ("changes",)
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[DefinitionChange]
    def __init__(self, changes: _Optional[_Iterable[_Union[DefinitionChange, _Mapping]]] = ...) -> None: ...
