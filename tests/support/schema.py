"""A service's tables in a test's database."""

from __future__ import annotations

import importlib

import psycopg

from services.kit import migrations, revisions
from services.kit.db import make_engine
from services.kit.postgres import libpq_url


def create_schema(service: str, url: str, *, package: str | None = None) -> None:
    """Create the tables of a service, or of a package without migrations from its models, unless they are there."""
    name = package or f"services.{service}"
    with psycopg.connect(libpq_url(url), autocommit=True) as connection:
        if connection.execute("SELECT to_regclass('public.alembic_version')").fetchone() != (None,):
            return
    if revisions.head(name) is not None:
        migrations.upgrade(name, url)
        return
    engine = make_engine(url)
    importlib.import_module(f"{name}.models").metadata.create_all(engine)
    engine.dispose()
