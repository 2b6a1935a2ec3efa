"""From a gRPC call to a membership that anyone can see: the whole stack of a laptop, orders at a steady pace."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from rapport.contacts.v1 import contacts_pb2 as contacts
from rapport.sales.v1 import sales_pb2 as sales
from rapport_client.money import to_money

from tests.bench.report import Figure
from tests.support.laptop import Laptop
from tests.support.toy import free_base_port

CALL = 100
"""Orders in one call."""
PATIENCE = 300


def measure(rate: int, seconds: int, say: Callable[[str], None]) -> list[Figure]:
    """Send orders of different contacts, and note when each contact's entry into a segment arrives on the stream."""
    with tempfile.TemporaryDirectory() as folder:
        laptop = Laptop(Path(folder) / "data", free_base_port())
        try:
            laptop.up().wait_for("Rapport is up")
            return _measure(laptop, rate, seconds, say)
        finally:
            laptop.destroy()


def _measure(laptop: Laptop, rate: int, seconds: int, say: Callable[[str], None]) -> list[Figure]:
    rapport = laptop.client()
    names: list[str] = []
    for start in range(0, rate * seconds, 1000):
        answer = rapport.contacts.batch_upsert_contacts(
            contacts=[
                contacts.Contact(
                    display_name=f"Contact {number}",
                    identities=[
                        contacts.Identity(
                            type=contacts.Identity.TYPE_EXTERNAL, source="bench", value=str(number)
                        )
                    ],
                )
                for number in range(start, min(start + 1000, rate * seconds))
            ]
        )
        names += [result.name for result in answer.results]
    rapport.sales.batch_upsert_products(products=[{"code": "p", "title": "Product"}])
    rapport.segmentation.create_segment(
        segment_id="buyers",
        segment={"rule": "events.order_placed.exists(o, now - o.time <= days(1))", "display_name": "Buyers"},
    )
    rapport.segmentation.create_segment(
        segment_id="everybody", segment={"rule": 'contact.kind == "person"', "display_name": "Everybody"}
    )
    until = time.monotonic() + PATIENCE
    while rapport.segmentation.get_segment(name="segments/everybody").segment.member_count < len(names):
        assert time.monotonic() < until, "the contacts did not reach segmentation"
        time.sleep(0.5)

    arrived: dict[str, float] = {}
    all_there = threading.Event()
    # Without a name the stream begins with the oldest event: no order was sent yet.
    stream = rapport.events("segmentation").subscribe(types=["segment.entered"])

    def listen() -> None:
        for batch in stream:
            now = time.monotonic()
            for event in batch.events:
                if event.subject == "segments/buyers":
                    arrived.setdefault(event.contact, now)
            if len(arrived) >= len(names):
                all_there.set()
                return

    threading.Thread(target=listen, daemon=True).start()
    sent: dict[str, float] = {}
    began = time.monotonic()
    for at in range(0, len(names), CALL):
        pause = began + at / rate - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        # By the plan: who is called late has waited, too.
        due = began + at / rate
        orders = []
        for name in names[at : at + CALL]:
            order = sales.Order(
                contact=name,
                source="bench",
                external_id=name,
                lines=[sales.Line(product_code="p", quantity="1", unit_price=to_money(Decimal(10), "EUR"))],
            )
            order.order_time.FromDatetime(datetime.now(UTC))
            orders.append(order)
            sent[name] = due
        rapport.sales.batch_ingest_orders(orders=orders)
    took = time.monotonic() - began
    assert all_there.wait(PATIENCE), f"{len(arrived)} of {len(names)} entries arrived"
    visible = max(arrived.values()) - began
    delays = sorted(arrived[name] - sent[name] for name in names)
    p50, p99 = delays[len(delays) // 2], delays[len(delays) * 99 // 100]
    say(
        f"{len(names):,} orders sent in {took:.1f} s, all visible after {visible:.1f} s "
        f"({len(names) / visible:,.0f} a second); delay p50 {p50:.2f} s, p99 {p99:.2f} s"
    )
    return [
        Figure(f"order sent to membership visible at {rate}/s, p99", p99, 1.0, "s", 1.0),
        Figure(f"order sent to membership visible at {rate}/s, p50", p50, 1.0, "s", 1.0),
        Figure(f"{len(names):,} orders visible, beside {rate}/s", visible, len(names) / rate, "s", 1.2),
    ]
