"""Sales over a real port."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.support.postgres import DatabaseFactory
from tests.support.sales_data import NOON
from tests.support.stack import Served, serve


@pytest.fixture(scope="module")
def served(make_module_database: DatabaseFactory) -> Iterator[Served]:
    """Sales with the products A (shoes) and B, an hour after NOON."""
    url = make_module_database.with_tables("sales")
    with serve("sales", url, now=NOON + timedelta(hours=1)) as running:
        running.client.batch_upsert_products(
            products=[{"code": "A", "title": "Boot", "category": "shoes"}, {"code": "B", "title": "Cap"}]
        )
        yield running


@pytest.fixture
def sales(served: Served) -> Any:
    """The client of sales."""
    return served.client
