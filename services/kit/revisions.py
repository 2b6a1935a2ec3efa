"""Which revision a service's database is at and should be at, told without Alembic.

Alembic takes a third of a process's start. All that a process asks is whether its database is old; the revisions of
a service form one line and their files are named `<revision>_<what>.py`, which `migrations` sees to.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.pool import NullPool

from services.kit.db import make_engine
from services.kit.errors import FailedPrecondition, InvalidArgument

_TABLE = "alembic_version"
UNFINISHED = "public.restore_unfinished"
"""A table that stands in a database from the beginning of a restore until all databases are whole again."""


def package_of(service: str) -> str:
    """Return the package of a service that is given by its name or its package."""
    return service if "." in service else f"services.{service}"


def folder(service: str) -> Path:
    """Return where a service keeps its revisions; raises InvalidArgument (NO_SERVICE)."""
    package = importlib.import_module(package_of(service))
    if not getattr(package, "__path__", None):
        raise InvalidArgument(f"{package_of(service)} is no package", reason="NO_SERVICE")
    return Path(next(iter(package.__path__))) / "migrations" / "versions"


def known(service: str) -> list[str]:
    """Return the revisions of a service, oldest first."""
    return sorted(path.name.partition("_")[0] for path in folder(service).glob("[0-9]*_*.py"))


def head(service: str) -> str | None:
    """Return the newest revision of a service, or None when it has no migration yet."""
    found = known(service)
    return found[-1] if found else None


def current(connection: Connection) -> str | None:
    """Return the revision that a database is at, or None before the first."""
    there = connection.execute(sa.select(sa.func.to_regclass(_TABLE))).scalar_one()
    if there is None:
        return None
    return connection.execute(sa.text(f"SELECT version_num FROM {_TABLE}")).scalar_one_or_none()


def current_of(url: str) -> str | None:
    """Return the revision that the database at a URL is at, or None before the first.

    Raises FailedPrecondition (RESTORE_UNFINISHED).
    """
    with connected(url) as connection:
        _require_whole(connection)
        return current(connection)


def _require_whole(connection: Connection) -> None:
    if connection.execute(sa.select(sa.func.to_regclass(UNFINISHED))).scalar_one() is not None:
        raise FailedPrecondition(
            f"the database {connection.engine.url.database} was restored only in part: run `rapport restore` again, "
            "with --replace",
            reason="RESTORE_UNFINISHED",
        )


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Yield a connection that is not kept."""
    engine = sa.create_engine(make_engine(url).url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def require_current(service: str, engine: Engine) -> None:
    """Raise FailedPrecondition (SCHEMA_OUTDATED, RESTORE_UNFINISHED) when a database is old, or not whole.

    A newer one is accepted: during an upgrade the new schema serves the old release too.
    """
    wanted, revisions = head(service), known(service)
    with engine.connect() as connection:
        _require_whole(connection)
        revision = current(connection)
    if revision == wanted or (revision is not None and revision not in revisions):
        return
    raise FailedPrecondition(
        f"the database of {package_of(service)} is at revision {revision or 'none'}, this release needs "
        f"{wanted}: run `rapport migrate`",
        reason="SCHEMA_OUTDATED",
        metadata={"revision": revision or "", "wanted": wanted or ""},
    )
