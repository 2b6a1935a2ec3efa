"""Defining custom attributes and types of activity."""

from __future__ import annotations

from sqlalchemy import Connection

from services.contacts.domain.attributes import ActivityType, Attribute
from services.contacts.models import kit
from services.contacts.store import schema as store
from services.contacts.usecases import events
from services.kit import outbox
from services.kit.errors import AlreadyExists
from services.kit.runtime import Runtime


def create_attribute(runtime: Runtime, connection: Connection, attribute: Attribute) -> None:
    """Define a custom attribute in the caller's transaction; raises AlreadyExists."""
    now = runtime.clock.now()
    if not store.insert_attribute(connection, attribute, now):
        raise AlreadyExists(f"the attribute {attribute.id!r} is defined already", reason="ATTRIBUTE_EXISTS")
    outbox.append(connection, kit.outbox, [events.attribute_defined(attribute, now)], record_time=now)


def create_activity_type(runtime: Runtime, connection: Connection, definition: ActivityType) -> None:
    """Define a type of activity in the caller's transaction; raises AlreadyExists."""
    now = runtime.clock.now()
    if not store.insert_activity_type(connection, definition, now):
        raise AlreadyExists(
            f"the activity type {definition.id!r}, or another that rules read as "
            f"events.{definition.rule_name}, is defined already",
            reason="ACTIVITY_TYPE_EXISTS",
        )
    outbox.append(connection, kit.outbox, [events.activity_type_defined(definition, now)], record_time=now)


def attribute_page(runtime: Runtime, after: str, limit: int) -> tuple[list[Attribute], bool]:
    """Return custom attributes by id, and whether there are more."""
    with runtime.db.read() as connection:
        found = store.attribute_page(connection, after, limit + 1)
    return found[:limit], len(found) > limit


def activity_type_page(runtime: Runtime, after: str, limit: int) -> tuple[list[ActivityType], bool]:
    """Return types of activity by id, and whether there are more."""
    with runtime.db.read() as connection:
        found = store.activity_type_page(connection, after, limit + 1)
    return found[:limit], len(found) > limit
