"""Measure the ingestion of orders over gRPC, lines a second.

    python -m tests.bench.bench_sales [batches] [administrator's database URL]

Each batch holds 500 orders of 20 lines and goes through a real port, the interceptors, the use case and COPY,
with its events. Wall time has all of it, the database included; CPU time is that of client and server, which
share the process.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from rapport.sales.v1 import sales_pb2
from rapport_client import to_money

from services.kit.wire import to_timestamp
from tests.support.postgres import DatabaseFactory, shared_server
from tests.support.sales_data import NOON, contact
from tests.support.schema import create_schema
from tests.support.stack import serve

ORDERS = 500
LINES = 20
PRODUCTS = 2000


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


@contextmanager
def admin_url() -> Iterator[str]:
    """Give the server named on the command line, or one of its own."""
    if len(sys.argv) > 2:
        yield sys.argv[2]
        return
    with tempfile.TemporaryDirectory() as folder, shared_server(Path(folder)) as url:
        yield url


def main() -> None:
    """Print one row for each batch, then the median."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with admin_url() as admin:
        databases = DatabaseFactory(admin)
        url = databases("sales")
        create_schema("sales", url)
        rates = []
        with serve("sales", url) as served:
            served.client.batch_upsert_products(products=[{"code": f"P{index}"} for index in range(PRODUCTS)])
            for request in [make_batch(number) for number in range(count)]:
                wall, cpu = time.perf_counter(), time.process_time()
                served.client.batch_ingest_orders(request)
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                rates.append(ORDERS * LINES / wall)
                print(
                    f"{ORDERS} × {LINES} lines: {wall:.3f} s wall, {cpu:.3f} s CPU, {rates[-1]:,.0f} lines/s"
                )
        print(f"median {sorted(rates)[len(rates) // 2]:,.0f} lines/s")
        databases.close()


if __name__ == "__main__":
    main()
