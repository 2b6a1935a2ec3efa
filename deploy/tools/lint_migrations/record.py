"""Runs migrations on a real server and records what each of them did there, statement by statement."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError

from services.kit import migrations, revisions

OURS = "n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"
LOCKING = ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")
"""Modes that keep writers out."""

_WRITING = ("RowExclusiveLock",)
DEFINES = re.compile(r"\s*(?:CREATE|ALTER|DROP|COMMENT|GRANT|REVOKE|REINDEX)\b", re.IGNORECASE)
_ALEMBIC = re.compile(r"\balembic_version\b")
_PATIENCE = re.compile(
    r"\s*SET\b.*\block_timeout\b|.*\bset_config\s*\(\s*'lock_timeout'", re.IGNORECASE | re.DOTALL
)
_UNSEEN = "/* what went past SQLAlchemy, on the driver's own connection */ SELECT"
_ACTS = """
SELECT tgrelid::bigint, 'the trigger ' || tgname FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT ev_class::bigint, 'the rule ' || rulename FROM pg_rewrite WHERE rulename <> '_RETURN'
UNION ALL SELECT oid::bigint, 'row level security' FROM pg_class WHERE relrowsecurity
UNION ALL SELECT oid::bigint, 'row level security for its owner' FROM pg_class WHERE relforcerowsecurity
UNION ALL SELECT attrelid::bigint, 'the identity ' || attname FROM pg_attribute WHERE attidentity = 'a'
"""
_ASKS = re.compile(r"\s*(?:SELECT|SHOW|SET)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Statement:
    """Hold one statement as the server got it.

    locked: tables, older than the revision, that it is the first to keep writers from until the transaction ends;
    held: those that writers were kept from already; written: those that it is the first to change rows of, also from
    within a function or a block; rewritten: those that the server wrote anew for it, or an index of theirs.
    """

    sql: str
    in_transaction: bool
    locked: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    rewritten: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """Hold what the server says of a column."""

    table: str
    name: str
    type: str
    required: bool
    default: bool


@dataclass(frozen=True, slots=True)
class Catalog:
    """Hold what there is at one moment.

    tables: names of tables and views; columns: by table and number, which renaming does not change; files: of tables
    and indexes; never_null: columns that a checked constraint keeps from being null; acts: what acts on rows that
    somebody reads or writes, such as a trigger, by table.
    """

    tables: Mapping[int, str]
    columns: Mapping[tuple[int, int], Column]
    files: Mapping[int, int]
    never_null: frozenset[tuple[str, str]]
    acts: frozenset[tuple[int, str]]


@dataclass(slots=True)
class Recorded:
    """Hold what one revision did."""

    revision: str
    path: Path
    contract: bool
    waivers: Mapping[str, str]
    before: Catalog
    after: Catalog
    statements: list[Statement] = field(default_factory=list)
    again: str = ""
    """Why it cannot be run again, for one that leaves the transaction: an attempt may end half-way."""


def record(service: str, url: str, released: str | None) -> list[Recorded]:
    """Migrate an empty database and return what the revisions after the released one did, oldest first."""
    known, contracts = revisions.known(service), revisions.contracts(service)
    first = 0 if released is None else known.index(released) + 1
    found: list[Recorded] = []
    with revisions.connected(url) as connection:
        config = migrations.alembic_config(service, connection)
        scripts = ScriptDirectory.from_config(config)
        if first:
            command.upgrade(config, known[first - 1])
        for revision in known[first:]:
            script = scripts.get_revision(revision)
            raw = connection.connection.driver_connection
            before = _catalog(raw)
            connection.rollback()
            with _listening(connection, raw, before) as statements:
                command.upgrade(config, revision)
            found.append(
                Recorded(
                    revision,
                    Path(script.path),
                    revision in contracts,
                    dict(getattr(script.module, "waivers", {})),
                    before,
                    _catalog(raw),
                    statements,
                )
            )
            connection.rollback()
            if statements and not any(statement.in_transaction for statement in statements):
                found[-1].again = _again(connection, config, known[known.index(revision) - 1], revision)
    return found


def _again(connection: Connection, config: Config, before: str, revision: str) -> str:
    """Run a revision once more on what it left behind; return why that fails, or nothing."""

    def pretend(to: str) -> None:
        connection.rollback()
        connection.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": to})
        connection.commit()

    pretend(before)
    try:
        command.upgrade(config, revision)
        connection.rollback()
    except DBAPIError as error:
        pretend(revision)
        return " ".join(str(error.orig).split())
    return ""


@contextmanager
def _listening(connection: Any, raw: Any, before: Catalog) -> Iterator[list[Statement]]:
    statements: list[Statement] = []
    files = dict(before.files)
    held: set[str] = set()
    touched: set[str] = set()
    looked_at: set[str] = set()

    def note(_c: Any, _cursor: Any, sql: str, parameters: Any, *_rest: Any) -> None:
        given = psycopg.ClientCursor(raw).mogrify(sql, parameters)
        if raw.autocommit:
            held.clear()
            touched.clear()
            looked_at.clear()
        kept = tuple(sorted(held))
        locked, written = _locked(raw, before, LOCKING) - held, _locked(raw, before, _WRITING) - touched
        held.update(locked)
        if DEFINES.match(given):
            # A function's body takes locks of writers when it is looked at; whoever calls it may write.
            looked_at.update(written)
            written = set()
        elif _ALEMBIC.search(given):
            written -= looked_at
        touched.update(written)
        rewritten = set()
        for oid, number in _files(raw).items():
            if oid in before.files and number != files[oid]:
                files[oid] = number
                rewritten.add(_table(raw, oid))
        if locked or written or rewritten:
            # Alembic's own statement does none of that: then something went by that we are not told of.
            given = _UNSEEN if _ALEMBIC.search(given) else given
        elif _ALEMBIC.search(given) or (
            _ASKS.match(given) and (raw.autocommit or not _PATIENCE.match(given))
        ):
            return
        lists = (tuple(sorted(names)) for names in (locked, kept, written, rewritten))
        statements.append(Statement(given.strip(), not raw.autocommit, *lists))

    event.listen(connection, "after_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(connection, "after_cursor_execute", note)


def _rows(raw: Any, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Ask past SQLAlchemy, whose events are what we listen to."""
    with psycopg.Cursor(raw) as cursor:
        return list(cursor.execute(query.encode(), parameters))


def _locked(raw: Any, before: Catalog, modes: Sequence[str]) -> set[str]:
    if raw.autocommit:
        return set()
    rows = _rows(
        raw,
        "SELECT DISTINCT relation FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation' "
        "AND granted AND mode = ANY(%s)",
        list(modes),
    )
    return {before.tables[oid] for (oid,) in rows if oid in before.tables}


def _files(raw: Any) -> dict[int, int]:
    query = (
        "SELECT c.oid::bigint, pg_relation_filenode(c.oid)::bigint FROM pg_class AS c JOIN pg_namespace AS n "
        f"ON n.oid = c.relnamespace WHERE {OURS} AND c.relkind IN ('r', 'i', 'm')"
    )
    return dict(_rows(raw, query))


def _table(raw: Any, oid: int) -> str:
    """Return the name of a table, or of that which an index belongs to."""
    query = "SELECT coalesce((SELECT indrelid FROM pg_index WHERE indexrelid = %s), %s::oid)::regclass::text"
    return str(_rows(raw, query, oid, oid)[0][0])


def _catalog(raw: Any) -> Catalog:
    tables = _rows(
        raw,
        "SELECT c.oid::bigint, c.oid::regclass::text FROM pg_class AS c JOIN pg_namespace AS n "
        f"ON n.oid = c.relnamespace WHERE {OURS} AND c.relkind IN ('r', 'p', 'v', 'm') "
        "AND c.relname <> 'alembic_version'",
    )
    names = dict(tables)
    columns = _rows(
        raw,
        "SELECT a.attrelid::bigint, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, "
        "a.atthasdef OR a.attidentity <> '' FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid "
        f"JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE {OURS} AND c.relkind IN ('r', 'p', 'v', 'm') "
        "AND a.attnum > 0 AND NOT a.attisdropped",
    )
    checks = _rows(
        raw,
        "SELECT c.conrelid::bigint, a.attname, pg_get_constraintdef(c.oid) FROM pg_constraint AS c "
        "JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = ANY(c.conkey) "
        "WHERE c.contype = 'c' AND c.convalidated AND cardinality(c.conkey) = 1",
    )
    return Catalog(
        names,
        {(oid, number): Column(names[oid], *rest) for oid, number, *rest in columns if oid in names},
        _files(raw),
        frozenset(
            (names[oid], column)
            for oid, column, definition in checks
            if oid in names and re.fullmatch(r'CHECK \(\("?[^"()]+"? IS NOT NULL\)\)', definition)
        ),
        frozenset((oid, what) for oid, what in _rows(raw, _ACTS) if oid in names),
    )
