"""A runtime of care on an empty database, and care behind its ports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.care.models import kit, metadata
from services.kit.clock import FixedClock
from services.kit.config import load_settings
from services.kit.db import make_engine
from services.kit.runtime import Runtime, make_runtime
from tests.support.care import free_base_port
from tests.support.emptying import empty_tables
from tests.support.postgres import DatabaseFactory
from tests.support.stack import NOW, Served, serve


@pytest.fixture(scope="module")
def module_database(make_module_database: DatabaseFactory) -> str:
    """The URL of a database with the tables of care."""
    return make_module_database.with_tables("care")


@pytest.fixture
def database(module_database: str) -> str:
    """The URL of a database with empty tables; one test at a time of a module has it."""
    engine = make_engine(module_database)
    # The kit's `stream` holds what the schema needs to begin with.
    with engine.begin() as connection:
        empty_tables(connection, [table for table in metadata.sorted_tables if table is not kit.stream])
    engine.dispose()
    return module_database


@pytest.fixture
def runtime(database: str) -> Iterator[Runtime]:
    """A runtime whose clock stands at NOW; no other service is there."""
    settings = load_settings(
        care_database_url=database,
        secret_key="k" * 32,
        base_port=free_base_port(),
        database_pool_size=40,
        default_deadline_seconds=5.0,
    )
    made = make_runtime("care", "api", settings, clock=FixedClock(NOW))
    yield made
    made.close()


@pytest.fixture
def served(database: str) -> Iterator[Served]:
    """The API process of care with its listener for mail; no other service is there."""
    settings = {"base_port": free_base_port(), "default_deadline_seconds": 5.0}
    with serve("care", database, settings=settings) as running:
        yield running
