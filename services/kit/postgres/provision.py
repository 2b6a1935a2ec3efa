"""Gives each service a database and a role of its own, so that none can read another's data."""

from __future__ import annotations

import json
import re
import secrets
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from services.kit.postgres.errors import PostgresError, folder_error
from services.kit.postgres.initialise import write_private
from services.kit.postgres.urls import libpq_url, parse, redacted, rewrite, sqlalchemy_url

DEFAULT_PREFIX = "rapport"
PLUGIN_SUFFIX = "_plugin"
_LONGEST_NAME = 63
_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")


def plugin_role(service: str, prefix: str = DEFAULT_PREFIX) -> str:
    """Return the role that a service takes (`SET LOCAL ROLE`) for SQL of plugins: `<its own role>_plugin`."""
    return _name(prefix, service) + PLUGIN_SUFFIX


def provision(
    admin_url: str,
    services: Sequence[str],
    *,
    secrets_file: Path | None = None,
    passwords: Mapping[str, str] | None = None,
    prefix: str = DEFAULT_PREFIX,
    extensions: Sequence[str] = (),
    plugin_services: Sequence[str] = ("segmentation",),
    given: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Create what is missing and return the SQLAlchemy URL of each service's database, {service: url}.

    Role and database are both called `<prefix>_<service>`; nobody but the role (and superusers) may connect.
    May be repeated, also after it was interrupted, and run by several processes at once.

    secrets_file: where generated passwords are kept (JSON, mode 0600); without it each call sets new ones.
    passwords: {service: password} to use instead. given: {service: url} that win; nothing is made for those.
    plugin_services: services that also get a role without login for SQL of plugins; see `plugin_role`.
    Raises PostgresError when the server cannot be reached or the admin may not do this.
    """
    given = {service: url for service, url in (given or {}).items() if url}
    urls = {service: sqlalchemy_url(given[service]) for service in services if service in given}
    wanted = [service for service in services if service not in given]
    if not wanted:
        return {service: urls[service] for service in services}
    names = {service: _name(prefix, service) for service in wanted}
    try:
        with _connect(admin_url) as connection:
            _check_version(connection, admin_url)
            # The lock also keeps two processes from making up different passwords.
            connection.execute("SELECT pg_advisory_lock(%s)", (zlib.crc32(prefix.encode()),))
            chosen = _passwords(names, secrets_file, passwords or {})
            for service in wanted:
                role = names[service]
                _ensure_role(connection, role, chosen[role])
                if service in plugin_services:
                    _ensure_plugin_role(connection, role)
                _ensure_database(connection, role)
                _ensure_extensions(admin_url, role, extensions)
                urls[service] = rewrite(admin_url, database=role, user=role, password=chosen[role])
    except psycopg.Error as error:
        raise PostgresError(
            f"cannot set up the databases on {redacted(admin_url)}: {str(error).strip()}. The administrator "
            "in RAPPORT_DATABASE_URL must be a superuser or have CREATEDB and CREATEROLE; or give each "
            "service its own RAPPORT_<SERVICE>_DATABASE_URL"
        ) from error
    return {service: urls[service] for service in services}


def drop(admin_url: str, services: Sequence[str], *, prefix: str = DEFAULT_PREFIX) -> None:
    """Delete the databases and roles of `provision` with their sessions; pass over what does not exist."""
    try:
        with _connect(admin_url) as connection:
            for service in services:
                role = _name(prefix, service)
                database = sql.Identifier(role)
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(database))
                connection.execute(
                    sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role + PLUGIN_SUFFIX))
                )
                connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(database))
    except psycopg.Error as error:
        raise PostgresError(
            f"cannot delete the databases on {redacted(admin_url)}: {str(error).strip()}"
        ) from error


def _name(prefix: str, service: str) -> str:
    name = f"{prefix}_{service}"
    if not _NAME.match(name) or len(name) + len(PLUGIN_SUFFIX) > _LONGEST_NAME:
        raise PostgresError(
            f"{name!r} cannot name a database: use at most "
            f"{_LONGEST_NAME - len(PLUGIN_SUFFIX)} small letters, digits and _"
        )
    return name


def _connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    try:
        return psycopg.connect(
            libpq_url(url), autocommit=True, connect_timeout=10, application_name="rapport provision"
        )
    except psycopg.OperationalError as error:
        raise PostgresError(f"cannot connect to {redacted(url)}: {str(error).strip()}") from error


def _check_version(connection: psycopg.Connection[tuple[object, ...]], url: str) -> None:
    if connection.info.server_version < 150000:
        raise PostgresError(
            f"the server {redacted(url)} is PostgreSQL {connection.info.server_version // 10000}; "
            "15 or newer is needed"
        )


def _passwords(names: Mapping[str, str], file: Path | None, passwords: Mapping[str, str]) -> dict[str, str]:
    """Return {role: password}: given, kept in the file, or new and then kept."""
    kept: dict[str, str] = {}
    if file is not None:
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise folder_error(file, error) from error
        except ValueError as error:
            raise PostgresError(
                f"{file} is damaged; delete it, and new passwords are set at the next start"
            ) from error
    chosen = {}
    for service, role in names.items():
        chosen[role] = passwords.get(service) or kept.get(role) or secrets.token_urlsafe(24)
    fresh = {role: chosen[role] for service, role in names.items() if service not in passwords}
    if file is not None and any(kept.get(role) != password for role, password in fresh.items()):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise folder_error(file.parent, error) from error
        write_private(file, json.dumps({**kept, **fresh}, indent=1) + "\n")
    return chosen


def _ensure_role(connection: psycopg.Connection[tuple[object, ...]], role: str, password: str) -> None:
    if not _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", role):
        connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
    # Hashed here, so that no log of the server ever holds the password.
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    connection.execute(
        sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier))
    )
    _join(connection, role)


def _join(connection: psycopg.Connection[tuple[object, ...]], role: str) -> None:
    """Make an admin who is no superuser a member of the role, so that it may give it a database."""
    if _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = current_user AND rolsuper"):
        return
    options = " WITH INHERIT TRUE, SET TRUE" if connection.info.server_version >= 160000 else ""
    connection.execute(sql.SQL("GRANT {} TO CURRENT_USER" + options).format(sql.Identifier(role)))


def _ensure_plugin_role(connection: psycopg.Connection[tuple[object, ...]], role: str) -> None:
    plugin = role + PLUGIN_SUFFIX
    if not _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", plugin):
        connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(plugin)))
    connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(plugin), sql.Identifier(role)))


def _ensure_database(connection: psycopg.Connection[tuple[object, ...]], role: str) -> None:
    name = sql.Identifier(role)
    if not _exists(connection, "SELECT 1 FROM pg_database WHERE datname = %s", role):
        # From template0, and where the server can with its built-in locale: text then sorts alike on every
        # machine.
        locale = (
            " LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"
            if connection.info.server_version >= 170000
            else ""
        )
        # By default the server writes a whole new database to its log; one that syncs nothing copies files at a tenth
        # of that.
        unsynced = _exists(connection, "SELECT 1 WHERE current_setting('fsync') = 'off'")
        strategy = " STRATEGY file_copy" if unsynced else ""
        statement = "CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8'" + locale + strategy
        connection.execute(sql.SQL(statement).format(name, name))
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    connection.execute(sql.SQL("ALTER DATABASE {} SET timezone TO 'UTC'").format(name))


def _ensure_extensions(admin_url: str, role: str, extensions: Sequence[str]) -> None:
    if not extensions:
        return
    with _connect(rewrite(admin_url, database=role)) as connection:
        for extension in extensions:
            if not _exists(connection, "SELECT 1 FROM pg_extension WHERE extname = %s", extension):
                connection.execute(
                    sql.SQL("CREATE EXTENSION IF NOT EXISTS {}").format(sql.Identifier(extension))
                )


def _exists(connection: psycopg.Connection[tuple[object, ...]], query: str, *values: str) -> bool:
    return connection.execute(query.encode(), values or None).fetchone() is not None


def database_name(url: str) -> str:
    """Return the database that a URL names."""
    return parse(url).database or ""
