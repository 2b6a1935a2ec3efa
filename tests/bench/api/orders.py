"""The ingestion of orders over gRPC, beside a COPY of the rows that it writes, ready-made, into the same tables.

Each batch holds 500 orders of 20 lines and goes through a real port, the interceptors, the use case and COPY, with its
events. The caller is in the same process.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from rapport.sales.v1 import sales_pb2
from rapport_client import to_money

from services.kit import log
from services.kit.postgres import libpq_url
from services.kit.wire import to_timestamp
from tests.bench.api.loads import ready_made
from tests.bench.report import Figure
from tests.support.postgres import DatabaseFactory, shared_server
from tests.support.sales_data import NOON, contact
from tests.support.schema import create_schema
from tests.support.stack import serve

ORDERS = 500
LINES = 20
PRODUCTS = 2000


BUDGET = 8.0
"""Told so that a change for the worse is seen: the rows cross the wire as messages, and each is checked."""


def measure(say: Callable[[str], None], *, batches: int = 10) -> list[Figure]:
    """Ingest so many batches, one after the other."""
    log.configure("WARNING", "json", service="sales", role="api")
    with tempfile.TemporaryDirectory() as folder, shared_server(Path(folder)) as admin:
        databases = DatabaseFactory(admin)
        try:
            url = databases("sales")
            create_schema("sales", url)
            seconds = _ingest(url, batches)
            ours = ORDERS * LINES / statistics.median(seconds)
            bare = ready_made(
                libpq_url(url), ("sales_order", "sales_order_line", "outbox"), "sales_order_line"
            )
        finally:
            databases.close()
    say(f"{ORDERS} orders of {LINES} lines: {ours:,.0f} lines/s, beside {bare:,.0f}/s ready-made")
    return [
        Figure("ingestion of orders, beside the same tables", 1e6 / ours, 1e6 / bare, "us a line", BUDGET)
    ]


def _ingest(url: str, batches: int) -> list[float]:
    seconds = []
    with serve("sales", url) as served:
        served.client.batch_upsert_products(products=[{"code": f"P{index}"} for index in range(PRODUCTS)])
        for request in [make_batch(number) for number in range(batches)]:
            start = time.perf_counter()
            served.client.batch_ingest_orders(request)
            seconds.append(time.perf_counter() - start)
    return seconds


def make_batch(number: int) -> sales_pb2.BatchIngestOrdersRequest:
    """Return a batch of orders that no other batch holds."""
    draw = random.Random(number)
    orders = [
        sales_pb2.Order(
            contact=contact(),
            source="bench",
            external_id=f"{number}-{index}",
            order_time=to_timestamp(NOON - timedelta(minutes=draw.randrange(500_000))),
            historical=True,
            lines=[
                sales_pb2.Line(
                    product_code=f"P{draw.randrange(PRODUCTS)}",
                    quantity=str(draw.randrange(1, 30)),
                    unit_price=to_money(Decimal(draw.randrange(5000)).scaleb(-2), "GBP"),
                )
                for _ in range(LINES)
            ],
        )
        for index in range(ORDERS)
    ]
    return sales_pb2.BatchIngestOrdersRequest(orders=orders)
