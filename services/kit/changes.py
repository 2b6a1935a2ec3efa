"""Changes of tables that are in use, for migrations: none of them keeps readers or writers out for long.

A revision that uses one has nothing else in it, because each leaves the revision's transaction: when it fails, another
run does it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Connection

BATCH = 1000


def create_index(name: str, table: str, columns: Sequence[Any], **options: Any) -> None:
    """Create an index while others write; options as of Alembic's `op.create_index`.

    One of that name that an attempt before left half done is made anew.
    """
    with _outside() as connection:
        valid = connection.execute(
            sa.text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"), {"name": name}
        ).scalar_one_or_none()
        if valid is False:
            op.drop_index(name, table_name=table, postgresql_concurrently=True)
        if valid is not True:
            op.create_index(name, table, list(columns), postgresql_concurrently=True, **options)


def drop_index(name: str, table: str) -> None:
    """Drop an index while others use the table; harmless when it is gone."""
    with _outside():
        op.drop_index(name, table_name=table, postgresql_concurrently=True, if_exists=True)


def validate_constraint(name: str, table: str) -> None:
    """Check the rows that were there before a constraint, which was added NOT VALID by an earlier revision."""
    with _outside():
        op.execute(f'ALTER TABLE "{table}" VALIDATE CONSTRAINT "{name}"')


def in_batches(statement: str, *, size: int = BATCH) -> int:
    """Change many rows a few at a time, each batch in a transaction of its own; returns how many were changed.

    statement: changes at most `:size` rows that are not changed yet, such as UPDATE … WHERE id IN (SELECT id FROM …
    WHERE … IS NULL LIMIT :size); repeated until it changes none.
    """
    if ":size" not in statement:
        raise ValueError("in_batches: the statement must change at most :size rows, and does not say so")
    total = 0
    with op.get_context().autocommit_block():
        while changed := op.get_bind().execute(sa.text(statement), {"size": size}).rowcount:
            total += changed
    return total


@contextmanager
def _outside() -> Iterator[Connection]:
    """Leave the transaction; and wait for locks as long as it takes, since these ones let everybody pass."""
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        before = connection.exec_driver_sql("SHOW lock_timeout").scalar_one()
        connection.exec_driver_sql("SET lock_timeout = 0")
        try:
            yield connection
        finally:
            connection.exec_driver_sql(f"SET lock_timeout = '{before}'")
