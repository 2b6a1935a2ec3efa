"""Forms of a database URL."""

from __future__ import annotations

from urllib.parse import quote

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from services.kit.postgres.errors import PostgresError

_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")


def parse(url: str) -> URL:
    """Parse `postgresql://`, `postgres://` or `postgresql+psycopg://`; PostgresError for anything else."""
    try:
        scheme, separator, rest = url.partition("://")
        if not separator or scheme not in _SCHEMES:
            raise PostgresError(
                "a database URL must begin with postgresql:// or postgresql+psycopg://, "
                f"not with {scheme.split(':')[0]!r}"
            )
        return make_url(f"postgresql+psycopg://{rest}")
    except (ArgumentError, ValueError) as error:
        raise PostgresError(
            "a database URL is malformed; the form is postgresql://user:password@host:port/database, "
            "with special characters percent-encoded"
        ) from error


def sqlalchemy_url(url: str) -> str:
    """Return the URL as SQLAlchemy wants it: `postgresql+psycopg://…`."""
    return parse(url).render_as_string(hide_password=False)


def libpq_url(url: str) -> str:
    """Return the URL as psycopg, psql and pg_dump want it: `postgresql://…`."""
    parsed = parse(url)
    user = ""
    if parsed.username is not None:
        user = _quoted(parsed.username)
        if parsed.password is not None:
            user += ":" + _quoted(str(parsed.password))
        user += "@"
    host = parsed.host or ""
    if ":" in host:
        host = f"[{host}]"
    port = f":{parsed.port}" if parsed.port else ""
    options = {
        name: values if isinstance(values, str) else ",".join(values) for name, values in parsed.query.items()
    }
    query = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in options.items())
    return f"postgresql://{user}{host}{port}/{_quoted(parsed.database or '')}{'?' if query else ''}{query}"


def rewrite(url: str, *, database: str, user: str | None = None, password: str | None = None) -> str:
    """Return a SQLAlchemy URL of the same server for another database, and another user if given."""
    parsed = parse(url).set(database=database)
    if user is not None:
        parsed = parsed.set(username=user, password=password)
    return parsed.render_as_string(hide_password=False)


def redacted(url: str) -> str:
    """Return the URL for messages, without its password."""
    return parse(url).render_as_string(hide_password=True)


def _quoted(text: str) -> str:
    # Not SQLAlchemy's own form: it leaves spaces in passwords, and writes them as + in options, which libpq
    # keeps.
    return quote(text, safe="")
