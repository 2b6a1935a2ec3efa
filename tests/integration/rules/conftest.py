"""The rule tables in an empty database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, text

from services.segmentation.rules import tables


@pytest.fixture
def rule_tables(segmentation_database: Engine) -> Iterator[Connection]:
    """A connection on which the rule tables exist; every statement is its own transaction."""
    tables.metadata.create_all(segmentation_database)
    with segmentation_database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET timezone = 'UTC'"))
        connection.execute(
            text(
                "CREATE TEMP TABLE plugin_leaf (leaf_no int, contact_id uuid, value jsonb, PRIMARY KEY "
                "(leaf_no, contact_id))"
            )
        )
        yield connection
