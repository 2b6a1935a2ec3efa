"""Empties the tables of a service between two tests that share its database."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

# A table that has ever held a row since it was made or emptied has a page, whatever became of the row.
_USED = sa.text(
    "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' "
    "AND relname = ANY(:names) AND pg_relation_size(oid) > 0"
)
_COUNTED = sa.text(
    "SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL"
)


def empty_tables(connection: sa.Connection, tables: Iterable[sa.Table], *, restart: bool = True) -> None:
    """Delete all rows of some tables and of those that refer to them; of many tables most were never written to.

    restart: let all numbers that the database gives begin anew.
    """
    names = [table.name for table in tables]
    used = connection.execute(_USED, {"names": names}).scalars().all()
    if used:
        listed = ", ".join(f'"{name}"' for name in used)
        connection.execute(sa.text(f"TRUNCATE {listed} CASCADE"))
    if restart:
        for name in connection.execute(_COUNTED).scalars().all():
            connection.execute(sa.text(f'ALTER SEQUENCE "{name}" RESTART'))
