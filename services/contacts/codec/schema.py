"""Definitions of attributes and of types of activity on the wire."""

from __future__ import annotations

from rapport.contacts.v1 import contacts_pb2 as pb

from services.contacts.codec.problems import Problems
from services.contacts.domain.attributes import ActivityField, ActivityType, Attribute, ValueType
from services.contacts.domain.errors import Refused
from services.contacts.domain.text import clean_line, clean_text


def decode_attribute(message: pb.Attribute, problems: Problems) -> Attribute | None:
    """Return a definition, or None after noting what is wrong."""
    kind = problems.check("attribute.type", _value_type, message.type)
    label = problems.check("attribute.label", clean_line, message.label)
    allowed = [
        problems.check(f"attribute.allowed_values[{index}]", clean_text, text)
        for index, text in enumerate(message.allowed_values)
    ]
    if problems.found or kind is None:
        return None
    return Attribute(
        id=message.id,
        type=kind,
        label=label or "",
        allowed_values=tuple(text for text in allowed if text is not None),
        minimum=message.minimum if message.HasField("minimum") else None,
        maximum=message.maximum if message.HasField("maximum") else None,
    )


def encode_attribute(attribute: Attribute) -> pb.Attribute:
    """Return the message of a definition."""
    return pb.Attribute(
        id=attribute.id,
        type=int(attribute.type),  # type: ignore[arg-type]
        label=attribute.label,
        allowed_values=attribute.allowed_values,
        minimum=attribute.minimum,
        maximum=attribute.maximum,
    )


def decode_activity_type(message: pb.ActivityType, problems: Problems) -> ActivityType | None:
    """Return a definition, or None after noting what is wrong."""
    label = problems.check("activity_type.label", clean_line, message.label)
    fields = []
    for index, one in enumerate(message.fields):
        kind = problems.check(f"activity_type.fields[{index}].type", _value_type, one.type)
        if kind is not None:
            fields.append(ActivityField(one.id, kind, one.optional))
    return None if problems.found else ActivityType(message.id, label or "", tuple(fields))


def encode_activity_type(definition: ActivityType) -> pb.ActivityType:
    """Return the message of a definition."""
    fields = [
        pb.ActivityField(id=one.id, type=int(one.type), optional=one.optional)  # type: ignore[arg-type]
        for one in definition.fields
    ]
    return pb.ActivityType(id=definition.id, label=definition.label, fields=fields)


def _value_type(number: int) -> ValueType:
    try:
        return ValueType(number)
    except ValueError:
        raise Refused("is required; set one of VALUE_TYPE_STRING, VALUE_TYPE_INT and so on") from None
