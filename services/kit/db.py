"""Database access: one engine per process, reads in autocommit, writes in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import OperationalError as OriginalOperationalError
from sqlalchemy import Connection, Engine, MetaData, Table, create_engine, event
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, OperationalError

from services.kit import context, list_parameters

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


def new_metadata() -> MetaData:
    """Return an empty MetaData whose constraint names are the same on every machine, as migrations need."""
    return MetaData(naming_convention=NAMING)


def make_engine(
    url: str,
    *,
    pool_size: int = 12,
    application_name: str = "rapport",
    statement_timeout_seconds: float | None = None,
    connect_timeout_seconds: int = 10,
) -> Engine:
    """Make an engine whose sessions run in UTC and notice a dead server before they use it.

    statement_timeout_seconds: the server cancels a statement that takes longer; None for no limit.
    """
    options = "-c TimeZone=UTC -c jit=off"
    if statement_timeout_seconds is not None:
        options += f" -c statement_timeout={int(statement_timeout_seconds * 1000)}"
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=30,
        # Parameters are people's data: they must not reach the logs by way of error messages.
        hide_parameters=True,
        # No service has an hstore, for which each engine would search the catalog before its first statement.
        use_native_hstore=False,
        connect_args={
            "application_name": application_name,
            "options": options,
            "connect_timeout": connect_timeout_seconds,
            # A server that vanished without a word is noticed within a minute, not after hours.
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
        },
    )
    event.listen(engine, "checkout", _refuse_closed)
    event.listen(engine, "connect", lambda connection, _: list_parameters.register(connection))
    return engine


def _refuse_closed(connection: Any, _record: object, _proxy: object) -> None:
    """Replace a pooled connection that the server has closed, with all others of its age.

    A closed connection has its end waiting to be read, which costs two system calls that never block; asking
    the server (`pool_pre_ping`) costs a round trip, a fifth of a small read.
    """
    try:
        # The first reading takes the server's farewell, the second meets the end behind it.
        connection.pgconn.consume_input()
        connection.pgconn.consume_input()
    except OriginalOperationalError as error:
        raise InvalidatePoolError from error


class Database:
    """Give out connections of one service's database."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Lend a connection in autocommit, for single-statement reads."""
        with self._autocommit.connect() as connection:
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Lend a connection in a transaction that commits at the end, or rolls back when the block raises.

        Raises DeadlineExceeded or Cancelled, and rolls back, when the call at hand is not waited for any more.
        """
        with self.engine.begin() as connection:
            yield connection
            # What was written is locked by now: whoever gives up only after this line waits with its next write
            # until this one is committed, so that the next one is the last in any case.
            context.require_caller()

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Lend a connection whose reads all see the database at one moment (REPEATABLE READ, READ ONLY)."""
        options = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with options.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close all pooled connections."""
        self.engine.dispose()


def is_transient(error: BaseException) -> bool:
    """Tell whether a database error may pass when the same transaction is tried again."""
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated or isinstance(error, OperationalError):
        return True
    # 40001 serialization failure, 40P01 deadlock, 55P03 lock not available, 57P01-3 server stopping or
    # starting
    return getattr(error.orig, "sqlstate", None) in {"40001", "40P01", "55P03", "57P01", "57P02", "57P03"}


def copy_rows(
    connection: Connection, table: Table, columns: Iterable[str], rows: Iterable[tuple[object, ...]]
) -> None:
    """Write rows by COPY in the caller's transaction; column order as in `columns`.

    Texts and numbers are written in C; where speed counts, hand UUIDs, times and bytes over as texts.
    """
    with _copy(connection, table, columns) as copy:
        for row in rows:
            copy.write_row(row)


def copy_text(connection: Connection, table: Table, columns: Iterable[str], text: str) -> None:
    """Write rows by COPY as `copy_rows` does, which are in its text format already (`escaped`)."""
    with _copy(connection, table, columns) as copy:
        copy.write(text)


@contextmanager
def _copy(connection: Connection, table: Table, columns: Iterable[str]) -> Iterator[psycopg.Copy]:
    names = ", ".join(f'"{name}"' for name in columns)
    target = connection.dialect.identifier_preparer.format_table(table)
    cursor = connection.connection.driver_connection.cursor()  # type: ignore[union-attr]
    with cursor, cursor.copy(f"COPY {target} ({names}) FROM STDIN") as copy:
        yield copy


_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def escaped(texts: list[str]) -> list[str]:
    """Return texts as they stand in the text format of COPY; the same list when none needs an escape."""
    every = "".join(texts)
    if any(one in every for one in "\\\t\n\r"):
        return [text.translate(_ESCAPES) for text in texts]
    return texts
