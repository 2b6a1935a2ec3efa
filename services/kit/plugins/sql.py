"""Run the SQL of plugins: read-only, in little time, under a role that sees only the published views."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from typing import Any
from uuid import UUID

from rapport_sdk import Event, Profile
from rapport_sdk.context import CONTACTS_PARAMETER, NOW_PARAMETER
from rapport_sdk.values import value_problem
from rapport_sdk.views import EVENT, PROFILE, SCHEMA
from sqlalchemy import Connection, Engine, any_, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import Uuid

from services.kit.plugins.answers import Answer, TraitAnswer, answer_problem
from services.kit.plugins.compiled import CompiledSelect
from services.kit.plugins.errors import PluginError, PluginTimeout
from services.kit.plugins.guard import sql_problem

PLUGIN_ROLE = "rapport_segmentation_plugin"
_FETCH_ROWS = 5000
Watched = Callable[[Connection], AbstractContextManager[Any]]
_ROLE = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_RELATION = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?")


def publish_views(
    role: str = PLUGIN_ROLE,
    *,
    profile: str = "public.profile",
    event: str = "public.event",
    columns: Mapping[str, str] | None = None,
) -> list[str]:
    """Return the DDL that publishes the views of the SDK over a service's tables and lets a role read them
    alone.

    Run it as the owner of the tables; the role must exist, and be granted to the login role that will use it.
    columns: SQL by view column, such as {"profile.total_spent": "spent_minor / 100.0"}, where the table has
    no column of that name and type.
    """
    role, profile, event = _plain(role, _ROLE), _plain(profile, _RELATION), _plain(event, _RELATION)
    given = dict(columns or {})
    statements = [f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"]
    for view, base in ((PROFILE, profile), (EVENT, event)):
        listed = ", ".join(
            f"{given.pop(f'{view.name}.{column.name}', column.name)} AS {column.name}"
            for column in view.columns
        )
        # No security_barrier: the views hide columns and no rows, so there is nothing that it would protect,
        # and it would keep a plugin's conditions from the indexes below.
        statements.append(f"CREATE OR REPLACE VIEW {SCHEMA}.{view.name} AS SELECT {listed} FROM {base}")
    if given:
        raise ValueError(f"no such view columns: {', '.join(sorted(given))}")
    return [
        *statements,
        f"REVOKE ALL ON SCHEMA public FROM {role}",
        f"GRANT USAGE ON SCHEMA {SCHEMA} TO {role}",
        f"GRANT SELECT ON {SCHEMA}.{PROFILE.name}, {SCHEMA}.{EVENT.name} TO {role}",
    ]


def _plain(name: str, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(name):
        raise ValueError(f"{name!r} is not a plain lower-case SQL name")
    return name


def run_plugin_select(
    source: Engine | Connection,
    compiled: CompiledSelect,
    *,
    now: datetime,
    contact_ids: Sequence[UUID] | None = None,
    role: str | None = None,
    timeout: float = 30.0,
    watched: Watched = nullcontext,
) -> Generator[Answer, None, None]:
    """Run a rule's SELECT and yield an answer for each contact, of all or of those given, in any order.

    source: an engine, for a transaction of its own from which the answers stream; or a connection in a
    transaction, for answers that see its uncommitted changes: whatever happens, that transaction can go on.
    role: by default that of the database user with `_plugin` behind. timeout: seconds for all of it. watched: a block
    around all that an engine's connection does, which may end it by another error. Raises PluginError, even in the
    midst of the answers: throw away what came before.
    """
    if compiled.kind != "rule":
        raise ValueError(f"{compiled.object} is a {compiled.kind}: use run_trait_select")
    sql, params = compiled.all_sql, dict(compiled.all_params)
    if contact_ids is not None:
        sql, params = compiled.batch_sql, dict(compiled.batch_params or {})
        params[CONTACTS_PARAMETER] = list(contact_ids)
    ((_, type_),) = compiled.columns
    for contact_id, value, next_change in _rows(source, compiled, sql, params, now, role, timeout, watched):
        if problem := answer_problem(value, next_change, type_, now):
            raise PluginError(compiled.plugin, compiled.object, f"contact {contact_id}: {problem}")
        yield Answer(contact_id, value, next_change)


def run_trait_select(
    source: Engine | Connection,
    compiled: CompiledSelect,
    *,
    now: datetime,
    role: str | None = None,
    timeout: float = 300.0,
) -> Iterator[TraitAnswer]:
    """Run a trait's SELECT and yield the values of every contact; otherwise as run_plugin_select."""
    if compiled.kind != "trait":
        raise ValueError(f"{compiled.object} is a {compiled.kind}: use run_plugin_select")
    params = dict(compiled.all_params)
    for contact_id, *row in _rows(source, compiled, compiled.all_sql, params, now, role, timeout):
        values = {}
        for (column, type_), value in zip(compiled.columns, row, strict=True):
            if problem := value_problem(value, type_):
                raise PluginError(
                    compiled.plugin, compiled.object, f"contact {contact_id}: {column}: {problem}"
                )
            values[column] = value
        yield TraitAnswer(contact_id, values)


def _rows(
    source: Engine | Connection,
    compiled: CompiledSelect,
    sql: str,
    params: dict[str, Any],
    now: datetime,
    role: str | None,
    timeout: float,
    watched: Watched = nullcontext,
) -> Iterator[Sequence[Any]]:
    if problem := sql_problem(sql):
        raise PluginError(compiled.plugin, compiled.object, problem)
    params[NOW_PARAMETER] = now
    deadline = time.monotonic() + timeout
    try:
        with _restricted(source, role) as connection:
            _limit(connection, deadline)
            if isinstance(source, Connection):
                rows = connection.exec_driver_sql(sql, params).fetchall()
            else:
                with watched(connection):
                    yield from _stream(connection, sql, params, deadline)
                return
        # Only after the savepoint is gone: the caller may use its connection between two answers.
        yield from rows
    except _OutOfTime:
        raise PluginTimeout(compiled.plugin, compiled.object, f"SQL took longer than {timeout:g} s") from None
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == "57014":
            raise PluginTimeout(
                compiled.plugin, compiled.object, f"SQL took longer than {timeout:g} s"
            ) from error
        if error.connection_invalidated or getattr(error.orig, "sqlstate", None) is None:
            raise  # the database is in trouble, not the plugin
        problem = f"SQL failed: {str(error.orig).splitlines()[0]}"
        raise PluginError(compiled.plugin, compiled.object, problem) from error


def _stream(
    connection: Connection, sql: str, params: dict[str, Any], deadline: float
) -> Iterator[Sequence[Any]]:
    options = {"stream_results": True, "max_row_buffer": _FETCH_ROWS}
    result = connection.exec_driver_sql(sql, params, options)
    while True:
        # The rows come from a cursor, and the server's limit is per fetch: renew it with what is left.
        _limit(connection, deadline)
        rows = result.fetchmany(_FETCH_ROWS)
        if not rows:
            return
        yield from rows


class _OutOfTime(Exception):
    pass


def _limit(connection: Connection, deadline: float) -> None:
    left = round((deadline - time.monotonic()) * 1000)
    if left <= 0:
        raise _OutOfTime
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = {left}")


@contextmanager
def _restricted(source: Engine | Connection, role: str | None) -> Iterator[Connection]:
    """Lend a connection in which reading the views is all that works; what it did and set is rolled back."""
    if isinstance(source, Connection):
        savepoint = source.begin_nested()
        try:
            source.exec_driver_sql("SET LOCAL transaction_read_only = on")
            _confine(source, role)
            yield source
        finally:
            savepoint.rollback()
        return
    options = source.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with options.connect() as connection:
        _confine(connection, role)
        yield connection


def _confine(connection: Connection, role: str | None) -> None:
    user = connection.engine.url.username or connection.exec_driver_sql("SELECT current_user").scalar_one()
    quoted = connection.dialect.identifier_preparer.quote_identifier(role or f"{user}_plugin")
    # search_path: so that an unqualified name is a view or the server's own function, never one of ours.
    connection.exec_driver_sql(f"SET LOCAL search_path = {SCHEMA}")
    connection.exec_driver_sql("SET LOCAL TimeZone = 'UTC'")
    connection.exec_driver_sql(f"SET LOCAL ROLE {quoted}")


def next_contacts(
    source: Engine | Connection,
    after: UUID | None,
    limit: int,
    *,
    role: str | None = None,
    timeout: float = 30.0,
) -> list[UUID]:
    """Return the ids of the contacts that follow one, or of the first, in order; otherwise as read_profiles."""
    query = select(PROFILE.c.contact_id).order_by(PROFILE.c.contact_id).limit(limit)
    if after is not None:
        query = query.where(PROFILE.c.contact_id > after)
    with _restricted(source, role) as connection:
        _limit(connection, time.monotonic() + timeout)
        return list(connection.execute(query).scalars())


def read_profiles(
    source: Engine | Connection,
    contact_ids: Sequence[UUID],
    event_types: Sequence[str],
    *,
    now: datetime,
    role: str | None = None,
    timeout: float = 30.0,
) -> list[Profile]:
    """Read what the Python form of a rule or trait gets: the contacts in the order given, unknown ids left out.

    source, role: as for run_plugin_select. event_types: those that were declared. Events later
    than now are left out. timeout: seconds for each statement.
    """
    ids = bindparam("ids", list(contact_ids), type_=ARRAY(Uuid))
    events = (
        select(EVENT)
        .where(EVENT.c.contact_id == any_(ids), EVENT.c.type.in_(event_types), EVENT.c.occurred_at <= now)
        .order_by(EVENT.c.occurred_at, EVENT.c.event_id)
    )
    future = (
        select(EVENT.c.contact_id, func.min(EVENT.c.occurred_at).label("at"))
        .where(EVENT.c.contact_id == any_(ids), EVENT.c.type.in_(event_types), EVENT.c.occurred_at > now)
        .group_by(EVENT.c.contact_id)
    )
    history: dict[UUID, list[Event]] = {}
    upcoming: dict[UUID, datetime] = {}
    with _restricted(source, role) as connection:
        _limit(connection, time.monotonic() + timeout)
        if event_types:
            for row in connection.execute(events).mappings():
                values = {**row, "payload": row["payload"] or {}}
                history.setdefault(values.pop("contact_id"), []).append(Event(**values))
            upcoming = {row.contact_id: row.at for row in connection.execute(future)}
        profiles = {
            row["contact_id"]: Profile(
                **{
                    **row,
                    "tags": tuple(row["tags"] or ()),
                    **{name: row[name] or {} for name in ("consents", "attributes", "traits")},
                },
                history=tuple(history.get(row["contact_id"], ())),
                next_event_time=upcoming.get(row["contact_id"]),
            )
            for row in connection.execute(select(PROFILE).where(PROFILE.c.contact_id == any_(ids))).mappings()
        }
    return [profiles[contact_id] for contact_id in contact_ids if contact_id in profiles]
