"""A runtime of contacts on an empty database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.contacts.domain.attributes import Attribute, ValueType
from services.contacts.usecases import schema
from services.kit.clock import FixedClock
from services.kit.config import Settings
from services.kit.runtime import Runtime, make_runtime
from tests.support.postgres import DatabaseFactory
from tests.support.stack import NOW

ATTRIBUTES = [
    Attribute("size", ValueType.INT, minimum=0.0),
    Attribute("weight", ValueType.DOUBLE),
    Attribute("note", ValueType.STRING),
    Attribute("vip", ValueType.BOOL),
    Attribute("since", ValueType.TIMESTAMP),
    Attribute("colours", ValueType.STRINGS),
]


def make(url: str) -> Runtime:
    """A runtime whose clock stands at NOW."""
    settings = Settings(contacts_database_url=url, secret_key="k" * 32, default_region="VN")
    runtime = make_runtime("contacts", "api", settings, clock=FixedClock(NOW))
    with runtime.db.transaction() as connection:
        for attribute in ATTRIBUTES:
            schema.create_attribute(runtime, connection, attribute)
    return runtime


@pytest.fixture
def runtime(make_database: DatabaseFactory) -> Iterator[Runtime]:
    """A runtime on an empty database with one attribute of each type."""
    made = make(make_database.with_tables("contacts"))
    yield made
    made.close()


@pytest.fixture
def other(make_database: DatabaseFactory) -> Iterator[Runtime]:
    """A second runtime, on a database of its own."""
    made = make(make_database.with_tables("contacts"))
    yield made
    made.close()
