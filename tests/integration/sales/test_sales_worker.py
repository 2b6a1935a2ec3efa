"""The real worker process of sales: what the API records reaches the event stream."""

from __future__ import annotations

import os
from itertools import chain
from pathlib import Path

from rapport.sales.v1 import events_pb2

from services.kit.migrations import check, upgrade
from tests.support.postgres import DatabaseFactory
from tests.support.processes import WORKER, start_process
from tests.support.rabbit import clean_environment
from tests.support.sales_data import goods_back, line, order, payment
from tests.support.stack import serve
from tests.support.toy import free_base_port

ROOT = Path(__file__).parents[3]


def test_recorded_sales_reach_the_stream_in_order(make_database: DatabaseFactory, tmp_path: Path) -> None:
    url = make_database("sales")
    upgrade("sales", url)
    with serve("sales", url) as served:
        served.client.batch_upsert_products(products=[{"code": "A", "category": "shoes"}])
        environment = {
            **clean_environment(),
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "protos", ROOT / "protos" / "gen"))),
            "RAPPORT_DATA_DIR": str(served.folder),
            "RAPPORT_BASE_PORT": str(free_base_port()),
            "RAPPORT_SALES_DATABASE_URL": url,
            "RAPPORT_SECRET_KEY": "a secret of this test only",
        }
        log = tmp_path / "worker.log"
        with log.open("wb") as output:
            worker = start_process(WORKER, "sales", env=environment, log=output)
        try:
            sold = served.client.place_order(order=order("1", line("A", "2", "1.5"))).order
            many = [order(f"bulk-{number}", historical=True) for number in range(30)]
            served.client.batch_ingest_orders(orders=many)
            served.client.batch_ingest_returns(returns=[goods_back("1", order=sold.name)])
            served.client.batch_ingest_payments(payments=[payment("1", order=sold.name)])
            batches = served.events.subscribe(types=[], _timeout=60)
            received = []
            for event in chain.from_iterable(batch.events for batch in batches):
                received.append(event)
                if len(received) == 33:
                    break
            batches.cancel()
        finally:
            worker.terminate()
            status = worker.wait(30)
    assert status == 0, log.read_text()
    assert [event.type for event in received] == ["order.placed"] * 31 + [
        "order.returned",
        "payment.received",
    ]
    positions = [event.position for event in received]
    assert positions == sorted(set(positions))
    first = events_pb2.OrderPlaced()
    assert received[0].data.Unpack(first)
    assert (received[0].subject, received[0].contact) == (sold.name, sold.contact)
    assert (first.total.units, first.category) == (3, "shoes")
    assert [event.historical for event in received] == [False] + [True] * 30 + [False] * 2


def test_migrations_make_what_the_models_say(make_database: DatabaseFactory) -> None:
    url = make_database("sales")
    upgrade("sales", url)
    assert check("sales", url) == []
