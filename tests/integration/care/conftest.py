"""A runtime of care on an empty database, and care behind its ports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.kit.clock import FixedClock
from services.kit.config import load_settings
from services.kit.runtime import Runtime, make_runtime
from tests.support.care import free_base_port
from tests.support.postgres import DatabaseFactory
from tests.support.stack import NOW, Served, create_schema, serve


@pytest.fixture
def runtime(make_database: DatabaseFactory) -> Iterator[Runtime]:
    """A runtime whose clock stands at NOW; no other service is there."""
    url = make_database("care")
    create_schema("care", url)
    settings = load_settings(
        care_database_url=url,
        secret_key="k" * 32,
        base_port=free_base_port(),
        database_pool_size=40,
        default_deadline_seconds=5.0,
    )
    made = make_runtime("care", "api", settings, clock=FixedClock(NOW))
    yield made
    made.close()


@pytest.fixture
def served(make_database: DatabaseFactory) -> Iterator[Served]:
    """The API process of care with its listener for mail; no other service is there."""
    url = make_database("care")
    create_schema("care", url)
    settings = {"base_port": free_base_port(), "default_deadline_seconds": 5.0}
    with serve("care", url, settings=settings) as running:
        yield running
