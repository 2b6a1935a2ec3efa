"""The rule tables in an empty database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text

from services.kit.db import make_engine
from services.segmentation.rules import tables
from tests.support.emptying import empty_tables
from tests.support.postgres import DatabaseFactory


@pytest.fixture(scope="module")
def module_tables(make_module_database: DatabaseFactory) -> Iterator[Connection]:
    """A connection to a database of the module's, on which the rule tables exist."""
    engine = make_engine(make_module_database("segmentation"))
    tables.metadata.create_all(engine)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(
            text(
                "CREATE TEMP TABLE plugin_leaf (leaf_no int, contact_id uuid, value jsonb, PRIMARY KEY "
                "(leaf_no, contact_id))"
            )
        )
        yield connection
    engine.dispose()


@pytest.fixture
def rule_tables(module_tables: Connection) -> Connection:
    """A connection on which the rule tables exist and are empty; every statement is its own transaction."""
    module_tables.execute(text("SET timezone = 'UTC'"))
    module_tables.execute(text("TRUNCATE plugin_leaf"))
    empty_tables(module_tables, tables.metadata.sorted_tables, restart=False)
    return module_tables
