"""Changes of the API that break its callers though every message keeps its form, which buf does not look at.

A caller of the last release must still be let in, and what it sends must still be taken: permissions, whose records a
method touches, which fields must be given, and their bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)
from rapport.type.v1 import options_pb2

_BEHAVIOR: Any = field_behavior_pb2.field_behavior
_PERMISSION: Any = options_pb2.permission
_REACH: Any = options_pb2.reach
_RULES: Any = options_pb2.rules
_STRICT = {
    field_behavior_pb2.REQUIRED: "must be given now",
    field_behavior_pb2.OUTPUT_ONLY: "is not taken from callers any more",
    field_behavior_pb2.IMMUTABLE: "cannot be changed any more",
}


def broken(released: bytes, present: bytes) -> list[str]:
    """Return what a caller of the released API could not do any more, one line each.

    Both are descriptor sets, as protoc writes them.
    """
    before, after = (FileDescriptorSet.FromString(data) for data in (released, present))
    return [*_methods(before, after), *_messages(before, after)]


def _methods(before: FileDescriptorSet, after: FileDescriptorSet) -> Iterator[str]:
    old, new = _rpcs(before), _rpcs(after)
    for name in sorted(old.keys() & new.keys()):
        was, now = old[name].options.Extensions, new[name].options.Extensions
        if now[_PERMISSION] not in (was[_PERMISSION], ""):
            yield (
                f"{name} asks for the permission {now[_PERMISSION]!r}, and asked for {was[_PERMISSION]!r}: who has "
                "but that one is refused"
            )
        if now[_REACH] < was[_REACH]:
            names = (options_pb2.Reach.Name(value) for value in (now[_REACH], was[_REACH]))
            yield "{} is {} now, and was {}: a narrowed grant does less".format(name, *names)


def _messages(before: FileDescriptorSet, after: FileDescriptorSet) -> Iterator[str]:
    old, new = _types(before), _types(after)
    for name in sorted(old.keys() & new.keys()):
        known = {field.number: field for field in old[name].field}
        for field in new[name].field:
            was = known.get(field.number)
            where = f"{name}.{field.name}"
            for behavior in field.options.Extensions[_BEHAVIOR]:
                new_to_it = behavior not in was.options.Extensions[_BEHAVIOR] if was else _is_needed(behavior)
                if behavior in _STRICT and new_to_it:
                    yield f"{where} {_STRICT[behavior]}"
            if was is not None:
                for bound in _tighter(was, field):
                    yield f"{where}: {bound}"


def _is_needed(behavior: int) -> bool:
    return behavior == field_behavior_pb2.REQUIRED


def _tighter(was: FieldDescriptorProto, now: FieldDescriptorProto) -> Iterator[str]:
    old, new = was.options.Extensions[_RULES], now.options.Extensions[_RULES]
    for name in ("max_length", "max_items"):
        before, after = getattr(old, name), getattr(new, name)
        if after and (not before or after < before):
            yield f"{name} is {after} now, and was {before or 'without bound'}"
    for name, sign in (("minimum", 1), ("maximum", -1)):
        if new.HasField(name) and (
            not old.HasField(name) or sign * getattr(new, name) > sign * getattr(old, name)
        ):
            told = getattr(old, name) if old.HasField(name) else "without bound"
            yield f"{name} is {getattr(new, name):g} now, and was {told}"
    if new.resource and new.resource != old.resource:
        yield f"it must name one of {new.resource} now, and could name {old.resource or 'anything'}"


def _rpcs(files: FileDescriptorSet) -> dict[str, MethodDescriptorProto]:
    return {
        f"{file.package}.{service.name}/{method.name}": method
        for file in files.file
        for service in file.service
        for method in service.method
    }


def _types(files: FileDescriptorSet) -> dict[str, DescriptorProto]:
    found: dict[str, DescriptorProto] = {}

    def add(prefix: str, message: DescriptorProto) -> None:
        found[f"{prefix}.{message.name}"] = message
        for nested in message.nested_type:
            add(f"{prefix}.{message.name}", nested)

    for file in files.file:
        for message in file.message_type:
            add(file.package, message)
    return found
