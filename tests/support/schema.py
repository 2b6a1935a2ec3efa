"""A service's tables in a test's database: by its migrations the first time, later as a copy of what these made."""

from __future__ import annotations

import importlib
import re
import subprocess
from functools import cache

import psycopg

from services.kit import migrations, revisions
from services.kit.db import make_engine
from services.kit.postgres.binaries import find_binaries
from services.kit.postgres.errors import PostgresError
from services.kit.postgres.urls import libpq_url, parse

_copies: dict[str, tuple[str, str]] = {}
"""By package: the owner of the database that was copied, and the statements that make its tables and rows."""


def create_schema(service: str, url: str, *, package: str | None = None) -> None:
    """Create the tables of a service, or of a package without migrations from its models, unless they are there."""
    name = package or f"services.{service}"
    if name not in _copies:
        if revisions.head(name) is not None:
            migrations.upgrade(name, url)
        else:
            engine = make_engine(url)
            importlib.import_module(f"{name}.models").metadata.create_all(engine)
            engine.dispose()
        if (program := _pg_dump()) is not None:
            _copies[name] = _owner(url), _dump(program, url)
        return
    owner, statements = _copies[name]
    with psycopg.connect(libpq_url(url), autocommit=True) as connection:
        if connection.execute("SELECT to_regclass('public.alembic_version')").fetchone() != (None,):
            return
        # Rights are given to roles that are called after the owner.
        connection.execute(statements.replace(owner, _owner(url)).encode())


def _owner(url: str) -> str:
    return parse(url).username or ""


@cache
def _pg_dump() -> str | None:
    try:
        return find_binaries().program("pg_dump")
    except PostgresError:
        return None


def _dump(program: str, url: str) -> str:
    ran = subprocess.run(
        [program, "--schema=public", "--no-owner", "--inserts", libpq_url(url)],
        capture_output=True,
        text=True,
        check=True,
    )
    # Lines of psql's own, settings of the session, and the schema itself, which is there.
    drop = r"^(\\.*|SET .*|SELECT pg_catalog\.set_config.*|CREATE SCHEMA .*|COMMENT ON SCHEMA .*|--.*)\n"
    return "SET check_function_bodies = off;\n" + re.sub(drop, "", ran.stdout, flags=re.MULTILINE)
