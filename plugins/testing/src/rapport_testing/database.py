"""A database with the published views, as the server has it, for the tests of plugins."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any
from uuid import uuid4

from rapport_sdk import Event, Profile
from rapport_sdk.views import EVENT, PROFILE
from sqlalchemy import Engine, MetaData, create_engine, delete, insert

from services.kit.plugins import publish_views
from services.kit.postgres import EmbeddedPostgres, drop, plugin_role, provision

_PREFIX_LETTERS = 10


class PluginDatabase:
    """Hold contacts and events in tables of the views' shape; the engine is the service's own."""

    def __init__(self, engine: Engine, role: str) -> None:
        self.engine = engine
        self.role = role
        tables = MetaData()
        self._profile = PROFILE.to_metadata(tables, schema="public")
        self._event = EVENT.to_metadata(tables, schema="public")
        with engine.begin() as connection:
            tables.create_all(connection)
            for statement in publish_views(role):
                connection.exec_driver_sql(statement)

    def fill(self, contacts: Sequence[Profile]) -> None:
        """Replace what is stored by these contacts and their events."""
        columns = [field.name for field in fields(Profile) if field.name in self._profile.c]
        profiles = [{name: _plain(getattr(item, name)) for name in columns} for item in contacts]
        of_event = [field.name for field in fields(Event)]
        events = [
            {"contact_id": item.contact_id, **{name: getattr(one, name) for name in of_event}}
            for item in contacts
            for one in item.history
        ]
        with self.engine.begin() as connection:
            connection.execute(delete(self._event))
            connection.execute(delete(self._profile))
            if profiles:
                connection.execute(insert(self._profile), profiles)
            if events:
                connection.execute(insert(self._event), events)


@contextmanager
def plugin_database(folder: Path) -> Iterator[PluginDatabase]:
    """Lend a database on the server of RAPPORT_TEST_ADMIN_URL, or on an embedded one in the folder."""
    given = os.environ.get("RAPPORT_TEST_ADMIN_URL")
    server = None if given else EmbeddedPostgres(folder / "postgres", settings={"fsync": "off"})
    try:
        if server is not None:
            server.start()
        admin_url = given or (server.admin_url if server else "")
        prefix = f"plugin_{uuid4().hex[:_PREFIX_LETTERS]}"
        urls = provision(
            admin_url,
            ["segmentation"],
            secrets_file=folder / "database.json",
            prefix=prefix,
            extensions=[],
            plugin_services=("segmentation",),
        )
        engine = create_engine(urls["segmentation"], connect_args={"options": "-c TimeZone=UTC"})
        try:
            yield PluginDatabase(engine, plugin_role("segmentation", prefix))
        finally:
            engine.dispose()
            drop(admin_url, ["segmentation"], prefix=prefix)
    finally:
        if server is not None:
            server.destroy()


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
