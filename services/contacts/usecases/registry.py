"""The definitions of attributes and types of activity, remembered by each process.

A definition is never changed nor deleted once it is made, so what is remembered stays true; what is not
known yet is looked up again, as another process may have made it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from weakref import WeakKeyDictionary

from sqlalchemy import Connection

from services.contacts.domain.attributes import ActivityType, Attribute, ValueType
from services.contacts.store import schema
from services.kit.db import Database


class Registry:
    """Remember the definitions in one database."""

    def __init__(self) -> None:
        self._attributes: Mapping[str, Attribute] = {}
        self._types: Mapping[str, ValueType] = {}
        self._activity_types: Mapping[str, ActivityType] = {}

    def attributes(self, connection: Connection, names: Collection[str]) -> Mapping[str, Attribute]:
        """Return definitions by id, at least those of `names` that exist; the database is asked for unknown ones."""
        if any(name not in self._attributes for name in names):
            self._attributes = schema.attributes(connection)
            self._types = {name: one.type for name, one in self._attributes.items()}
        return self._attributes

    def activity_types(self, connection: Connection, names: Collection[str]) -> Mapping[str, ActivityType]:
        """Return types of activity by id, at least those of `names` that exist."""
        if any(name not in self._activity_types for name in names):
            self._activity_types = schema.activity_types(connection)
        return self._activity_types

    def types(self, connection: Connection) -> Callable[[Collection[str]], Mapping[str, ValueType]]:
        """Return a function that gives the types of stored attributes, for the store to decode them by."""

        def load(names: Collection[str]) -> Mapping[str, ValueType]:
            self.attributes(connection, names)
            return self._types

        return load

    def activity_types_on(
        self, connection: Connection
    ) -> Callable[[Collection[str]], Mapping[str, ActivityType]]:
        """Return a function that gives types of activity, for the store to decode records by."""
        return lambda names: self.activity_types(connection, names)


_registries: WeakKeyDictionary[Database, Registry] = WeakKeyDictionary()


def of(db: Database) -> Registry:
    """Return this process's registry of a database."""
    return _registries.setdefault(db, Registry())
