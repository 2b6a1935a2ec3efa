"""Activities on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from rapport.contacts.v1 import contacts_pb2 as pb

from services.contacts.codec.problems import Problems
from services.contacts.codec.values import decode_time, decode_value, encode_values
from services.contacts.domain.activities import Activity, check_time
from services.contacts.domain.attributes import ActivityType, Value, fit_fields
from services.contacts.domain.errors import Refused
from services.contacts.domain.text import clean_line
from services.kit.names import format_name, new_id, parse_name
from services.kit.wire import to_timestamp


def decode_activity(
    message: pb.Activity, path: str, problems: Problems, types: Mapping[str, ActivityType], now: datetime
) -> Activity | None:
    """Return a new activity, or None after noting what is wrong."""
    check = problems.check
    noted = len(problems.found)
    definition = types.get(message.type)
    occur_time = check(f"{path}.occur_time", decode_time, message.occur_time)
    if occur_time is not None:
        check(f"{path}.occur_time", check_time, occur_time, now)
    source = check(f"{path}.source", clean_line, message.source)
    external_id = check(f"{path}.external_id", clean_line, message.external_id)
    fields: dict[str, Value] | None = None
    if definition is None:
        problems.add(f"{path}.type", f"{message.type[:63]!r} is not defined; define it by CreateActivityType")
    else:
        fields = check(f"{path}.fields", _fields, message.fields, definition)
    if external_id and not source:
        problems.add(f"{path}.source", "is required beside an external_id, which is unique within its source")
    if len(problems.found) > noted or occur_time is None:
        return None
    return Activity(
        id=new_id(),
        contact_id=parse_name(message.contact, "contacts", f"{path}.contact"),
        type=message.type,
        occur_time=occur_time,
        fields=fields or {},
        source=source or "",
        external_id=external_id or "",
        historical=message.historical,
    )


def _fields(messages: Mapping[str, pb.AttributeValue], definition: ActivityType) -> dict[str, Value]:
    values = {}
    for name, message in messages.items():
        try:
            value = decode_value(message)
        except Refused as error:
            raise Refused(str(error), field=name[:63]) from None
        if value is not None:
            values[name] = value
    return fit_fields(values, definition)


def encode_activity(activity: Activity) -> pb.Activity:
    """Return the message of an activity."""
    return pb.Activity(
        name=format_name("activities", activity.id),
        contact=format_name("contacts", activity.contact_id),
        type=activity.type,
        occur_time=to_timestamp(activity.occur_time),
        fields=encode_values(activity.fields),
        source=activity.source,
        external_id=activity.external_id,
        historical=activity.historical,
    )
