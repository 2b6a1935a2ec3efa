"""A runtime of sales on an empty database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from services.kit.clock import FixedClock
from services.kit.config import load_settings
from services.kit.runtime import Runtime, make_runtime
from services.sales.domain import Product
from services.sales.usecases import products
from tests.support.postgres import DatabaseFactory
from tests.support.sales_data import NOON


@pytest.fixture
def runtime(make_database: DatabaseFactory) -> Iterator[Runtime]:
    """A runtime whose clock stands an hour after NOON, with the products A (shoes), B (hats) and C (none)."""
    url = make_database.with_tables("sales")
    settings = load_settings(sales_database_url=url, secret_key="k" * 32)
    made = make_runtime("sales", "api", settings, clock=FixedClock(NOON + timedelta(hours=1)))
    catalogue = [Product("A", "Boot", "shoes"), Product("B", "Cap", "hats"), Product("C", "Odd", "")]
    products.upsert_products(made, catalogue)
    yield made
    made.close()
