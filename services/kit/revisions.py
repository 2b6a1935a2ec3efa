"""Which revision a service's database is at and should be at, told without Alembic.

Alembic takes a third of a process's start. All that a process asks is whether its database is old; the revisions of
a service form one line and their files are named `<revision>_<what>.py`, which `migrations` sees to.

Most revisions expand: whoever ran on the schema before runs on it after. Those whose files are named
`<revision>_contract_<what>.py` take away what an older release uses, so they run only when none of its processes is
left; the database keeps the last of them as a comment on Alembic's table.
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
_CONTRACT = "contract"
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


def contracts(service: str) -> list[str]:
    """Return the revisions of a service that take away what an older release uses, oldest first."""
    return sorted(path.name.partition("_")[0] for path in folder(service).glob(f"[0-9]*_{_CONTRACT}_*.py"))


def needed(service: str) -> str | None:
    """Return the newest revision that this release cannot do without, or None when it has no migration yet."""
    taking = set(contracts(service))
    expanding = [revision for revision in known(service) if revision not in taking]
    return expanding[-1] if expanding else None


def waiting(service: str, revision: str | None, *, contract: bool = False) -> list[str]:
    """Return the revisions that a database at a revision has still to run, oldest first.

    contract: with those at the end that take away; an empty database has nothing to lose and runs them in any case.
    Nothing waits for a database of a newer release.
    """
    line = known(service)
    if revision is not None and revision not in line:
        return []
    last = head(service) if contract or revision is None else needed(service)
    first = 0 if revision is None else line.index(revision) + 1
    return line[first : line.index(last) + 1] if last is not None else []


def contracted(connection: Connection) -> str | None:
    """Return the last revision that took something away from a database, None when there was none.

    A release that does not know it must not run there.
    """
    text = connection.execute(
        sa.text("SELECT obj_description(to_regclass(:table), 'pg_class')"), {"table": _TABLE}
    ).scalar_one()
    word, _, revision = (text or "").partition(" ")
    return revision if word == _CONTRACT else None


def note_contract(connection: Connection, revision: str | None) -> None:
    """Write down, in the caller's transaction, which revision was the last to take something away."""
    # A revision is digits, as its file's name is.
    comment = "NULL" if revision is None else f"'{_CONTRACT} {int(revision):04d}'"
    connection.exec_driver_sql(f"COMMENT ON TABLE {_TABLE} IS {comment}")


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
        require_whole(connection)
        return current(connection)


def require_whole(connection: Connection) -> None:
    """Raise FailedPrecondition (RESTORE_UNFINISHED) when the restore of a database or of its others was cut short."""
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
    """Raise FailedPrecondition when this release cannot run on a database.

    SCHEMA_OUTDATED, SCHEMA_NEWER: as `require` says. RESTORE_UNFINISHED: it is not whole.
    """
    with engine.connect() as connection:
        require_whole(connection)
        require(service, connection)


def require(service: str, connection: Connection) -> None:
    """Raise FailedPrecondition when this release cannot run on a database.

    SCHEMA_OUTDATED: it is older than what this release needs. SCHEMA_NEWER: a newer release has taken away what this
    one uses; one that has only added to it is accepted, as during an upgrade the new schema serves the old release.
    """
    line, wanted = known(service), needed(service)
    revision, taken = current(connection), contracted(connection)
    if revision is not None and revision not in line:
        if taken is not None and taken not in line:
            raise FailedPrecondition(
                f"revision {taken} of a newer release has taken away what this release uses in the database of "
                f"{package_of(service)}: run the release that has it, or a later one",
                reason="SCHEMA_NEWER",
                metadata={"revision": revision, "contract": taken},
            )
        return
    if wanted is None or (revision is not None and line.index(revision) >= line.index(wanted)):
        return
    raise FailedPrecondition(
        f"the database of {package_of(service)} is at revision {revision or 'none'}, this release needs "
        f"{wanted}: run `rapport migrate`",
        reason="SCHEMA_OUTDATED",
        metadata={"revision": revision or "", "wanted": wanted},
    )


def session_name(service: str, role: str, package: str = "") -> str:
    """Return how a process names its database sessions: with the newest revision that it knows, for `strangers`.

    package: where the service's modules are, by default `services.<service>`.
    """
    name = f"rapport-{service}-{role}"
    try:
        newest = head(package or service)
    except ModuleNotFoundError:  # a toy's runtime, with no package of that name
        newest = None
    return f"{name} {newest}" if newest else name


def strangers(connection: Connection, revision: str) -> list[str]:
    """Return the names of processes that have a session in this database and do not know a revision, sorted.

    Those of releases that did not tell which revisions they know are among them.
    """
    rows = connection.execute(
        sa.text(
            "SELECT DISTINCT application_name FROM pg_stat_activity "
            r"WHERE datname = current_database() AND application_name ~ '^rapport-\w+-\w+( \d+)?$'"
        )
    ).scalars()
    return sorted(name for name in rows if name.partition(" ")[2] < revision)
