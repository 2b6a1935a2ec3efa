"""What an increment costs: a batch of 500 orders against 200 segments, projection and diff included.

Run `python -m tests.bench.bench_segment_increment [contacts] [segments]`; prints microseconds a contact.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from services.kit.postgres import EmbeddedPostgres, provision
from services.segmentation.usecases import upkeep
from tests.support.postgres import FAST
from tests.support.segmentation import NOW, World, contact, contact_id, days, order, page_visited_defined, visit, world

BATCH = 500


def rules(count: int) -> dict[str, str]:
    """Return rules like those of a business: windows, counts, sums, attributes, sequences."""
    forms = [
        "events.order_placed.exists(o, now - o.time <= days({n}))",
        "events.order_placed.filter(o, now - o.time <= days({n})).size() >= 3",
        'contact.region_code == "VN" && contact.order_count >= {n}',
        "events.page_visited.filter(v, now - v.time <= days({n})).size() >= 2 && !events.order_placed.exists(o, now - o.time <= days({n}))",
        "sum(events.order_placed.filter(o, now - o.time <= days({n})).map(o, o.amount)) > 100.0",
        "contact.total_spent > {n}.0 || contact.has_email",
    ]
    return {f"s{number}": forms[number % len(forms)].format(n=1 + number) for number in range(count)}


def main() -> None:
    """Measure and print."""
    people = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    segments = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder) / "pg", settings=FAST, throwaway=True)
        server.start()
        try:
            url = provision(server.admin_url, ["segmentation"], prefix="bench", plugin_services=["segmentation"])["segmentation"]
            with world(url) as seg:
                measure(seg, people, segments)
        finally:
            server.destroy()


def measure(seg: World, people: int, segments: int) -> None:
    """Load, build, and deliver batches."""
    draw = random.Random(1)
    seg.deliver(page_visited_defined())
    started = time.perf_counter()
    events = 0
    for start in range(0, people, BATCH):
        keys = [contact_id(number) for number in range(start, min(start + BATCH, people))]
        seg.deliver(*(contact(key, region_code=draw.choice(["VN", "US"]), has_email=draw.random() < 0.5) for key in keys))
        for _ in range(2):
            batch = [visit(key, NOW - days(draw.uniform(0, 200))) for key in keys for _ in range(2)]
            batch += [order(key, NOW - days(draw.uniform(0, 200)), str(draw.randint(1, 90))) for key in keys for _ in range(2)]
            seg.deliver(*batch)
            events += len(batch)
    took = time.perf_counter() - started
    print(f"load without segments: {people} contacts, {events} events, {took / (people + events) * 1e6:.0f} us each")
    started = time.perf_counter()
    for id_, rule in rules(segments).items():
        seg.define(id_, rule, build=False)
    print(f"define {segments}: {(time.perf_counter() - started) / segments * 1e3:.1f} ms each")
    started = time.perf_counter()
    seg.rebuild()
    print(f"rebuild {segments} over {people}: {(time.perf_counter() - started) / segments * 1e3:.1f} ms each")
    with seg.db.transaction() as connection:
        connection.exec_driver_sql("ANALYZE")
    costs = []
    for round_ in range(12):
        keys = [contact_id(number) for number in draw.sample(range(people), BATCH)]
        batch = [order(key, NOW, "10") for key in keys]
        started = time.perf_counter()
        seg.deliver(*batch)
        costs.append((time.perf_counter() - started) / BATCH * 1e6)
    print("increment, us a contact:", " ".join(f"{cost:.0f}" for cost in costs))
    seg.clock.instant = NOW + timedelta(days=1)
    started = time.perf_counter()
    due = upkeep.expire(seg.service, run_seconds=60)
    print(f"expiry: {due} contacts due, {(time.perf_counter() - started) / max(due, 1) * 1e6:.0f} us each")


if __name__ == "__main__":
    main()
