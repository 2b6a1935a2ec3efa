"""Contacts over a real port."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.postgres import DatabaseFactory
from tests.support.stack import Served, serve


@pytest.fixture(scope="module")
def served(make_module_database: DatabaseFactory) -> Iterator[Served]:
    """Contacts with the attributes size (whole, 0 to 60) and colours, and the activity type page.visited."""
    url = make_module_database.with_tables("contacts")
    with serve("contacts", url, settings={"default_region": "VN"}) as running:
        client = running.client
        client.create_attribute(
            attribute={
                "id": "size",
                "type": "VALUE_TYPE_INT",
                "minimum": 0,
                "maximum": 60,
                "label": "Shoe size",
            }
        )
        client.create_attribute(attribute={"id": "colours", "type": "VALUE_TYPE_STRINGS"})
        client.create_activity_type(
            activity_type={
                "id": "page.visited",
                "fields": [
                    {"id": "url", "type": "VALUE_TYPE_STRING"},
                    {"id": "seconds", "type": "VALUE_TYPE_DOUBLE", "optional": True},
                ],
            }
        )
        yield running


@pytest.fixture
def client(served: Served) -> Any:
    """The client of contacts."""
    return served.client
