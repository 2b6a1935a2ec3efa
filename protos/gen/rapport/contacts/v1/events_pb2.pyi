import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.type import date_pb2 as _date_pb2
from google.type import latlng_pb2 as _latlng_pb2
from rapport.contacts.v1 import contacts_pb2 as _contacts_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ContactChanged(_message.Message):
    __slots__ = ("kind", "has_email", "has_phone", "language_code", "time_zone", "region_code", "administrative_area", "locality", "sublocality", "postal_code", "location", "birth_date", "gender", "lifecycle_stage", "industry", "occupation", "attributes", "tags", "consents", "create_time")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _contacts_pb2.AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_contacts_pb2.AttributeValue, _Mapping]] = ...) -> None: ...
    class ConsentsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    KIND_FIELD_NUMBER: _ClassVar[int]
    HAS_EMAIL_FIELD_NUMBER: _ClassVar[int]
    HAS_PHONE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_CODE_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    REGION_CODE_FIELD_NUMBER: _ClassVar[int]
    ADMINISTRATIVE_AREA_FIELD_NUMBER: _ClassVar[int]
    LOCALITY_FIELD_NUMBER: _ClassVar[int]
    SUBLOCALITY_FIELD_NUMBER: _ClassVar[int]
    POSTAL_CODE_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    BIRTH_DATE_FIELD_NUMBER: _ClassVar[int]
    GENDER_FIELD_NUMBER: _ClassVar[int]
    LIFECYCLE_STAGE_FIELD_NUMBER: _ClassVar[int]
    INDUSTRY_FIELD_NUMBER: _ClassVar[int]
    OCCUPATION_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    CONSENTS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    kind: _contacts_pb2.Contact.Kind
    has_email: bool
    has_phone: bool
    language_code: str
    time_zone: str
    region_code: str
    administrative_area: str
    locality: str
    sublocality: str
    postal_code: str
    location: _latlng_pb2.LatLng
    birth_date: _date_pb2.Date
    gender: str
    lifecycle_stage: str
    industry: str
    occupation: str
    attributes: _containers.MessageMap[str, _contacts_pb2.AttributeValue]
    tags: _containers.RepeatedScalarFieldContainer[str]
    consents: _containers.ScalarMap[str, str]
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, kind: _Optional[_Union[_contacts_pb2.Contact.Kind, str]] = ..., has_email: _Optional[bool] = ..., has_phone: _Optional[bool] = ..., language_code: _Optional[str] = ..., time_zone: _Optional[str] = ..., region_code: _Optional[str] = ..., administrative_area: _Optional[str] = ..., locality: _Optional[str] = ..., sublocality: _Optional[str] = ..., postal_code: _Optional[str] = ..., location: _Optional[_Union[_latlng_pb2.LatLng, _Mapping]] = ..., birth_date: _Optional[_Union[_date_pb2.Date, _Mapping]] = ..., gender: _Optional[str] = ..., lifecycle_stage: _Optional[str] = ..., industry: _Optional[str] = ..., occupation: _Optional[str] = ..., attributes: _Optional[_Mapping[str, _contacts_pb2.AttributeValue]] = ..., tags: _Optional[_Iterable[str]] = ..., consents: _Optional[_Mapping[str, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ActivityRecorded(_message.Message):
    __slots__ = ("type", "fields")
    class FieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _contacts_pb2.AttributeValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_contacts_pb2.AttributeValue, _Mapping]] = ...) -> None: ...
    TYPE_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    type: str
    fields: _containers.MessageMap[str, _contacts_pb2.AttributeValue]
    def __init__(self, type: _Optional[str] = ..., fields: _Optional[_Mapping[str, _contacts_pb2.AttributeValue]] = ...) -> None: ...

class AttributeDefined(_message.Message):
    __slots__ = ("attribute",)
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    attribute: _contacts_pb2.Attribute
    def __init__(self, attribute: _Optional[_Union[_contacts_pb2.Attribute, _Mapping]] = ...) -> None: ...

class ActivityTypeDefined(_message.Message):
    __slots__ = ("activity_type",)
    ACTIVITY_TYPE_FIELD_NUMBER: _ClassVar[int]
    activity_type: _contacts_pb2.ActivityType
    def __init__(self, activity_type: _Optional[_Union[_contacts_pb2.ActivityType, _Mapping]] = ...) -> None: ...

class ContactMerged(_message.Message):
    __slots__ = ("into",)
    INTO_FIELD_NUMBER: _ClassVar[int]
    into: str
    def __init__(self, into: _Optional[str] = ...) -> None: ...

class ContactErased(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
