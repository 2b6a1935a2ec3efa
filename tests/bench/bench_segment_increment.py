"""What segments cost: increments of 500 orders against 200 segments, from decoding to the diff; rebuilds; expiry.

Run `python -m tests.bench.bench_segment_increment [contacts] [segments]`; prints CPU time of this process and the
server.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from services.kit.postgres import EmbeddedPostgres, provision
from services.segmentation.usecases import upkeep
from tests.support.postgres import FAST
from tests.support.segmentation import (
    NOW,
    World,
    contact,
    contact_id,
    days,
    order,
    page_visited_defined,
    visit,
    world,
)

BATCH = 500


def rules(count: int) -> dict[str, str]:
    """Return rules like those of a business: windows, counts, sums, attributes, sequences."""
    forms = [
        "events.order_placed.exists(o, now - o.time <= days({n}))",
        "events.order_placed.filter(o, now - o.time <= days({n})).size() >= 3",
        'contact.region_code == "VN" && contact.order_count >= {n}',
        "events.page_visited.filter(v, now - v.time <= days({n})).size() >= 2 "
        "&& !events.order_placed.exists(o, now - o.time <= days({n}))",
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
            url = provision(
                server.admin_url, ["segmentation"], prefix="bench", plugin_services=["segmentation"]
            )["segmentation"]
            with world(url) as seg:
                measure(seg, people, segments, server.pid or 0)
        finally:
            server.destroy()


def cpu_seconds(postmaster: int) -> float:
    """Return the CPU time of this process and of the server's sessions so far, whatever else the machine does."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == postmaster:
            ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def measure(seg: World, people: int, segments: int, postmaster: int) -> None:
    """Load, build, and deliver batches."""
    draw = random.Random(1)
    seg.deliver(page_visited_defined())
    started = cpu_seconds(postmaster)
    events = 0
    for start in range(0, people, BATCH):
        keys = [contact_id(number) for number in range(start, min(start + BATCH, people))]
        seg.deliver(
            *(
                contact(key, region_code=draw.choice(["VN", "US"]), has_email=draw.random() < 0.5)
                for key in keys
            )
        )
        for _ in range(2):
            batch = [visit(key, NOW - days(draw.uniform(0, 200))) for key in keys for _ in range(2)]
            batch += [
                order(key, NOW - days(draw.uniform(0, 200)), str(draw.randint(1, 90)))
                for key in keys
                for _ in range(2)
            ]
            seg.deliver(*batch)
            events += len(batch)
    took = cpu_seconds(postmaster) - started
    print(
        f"load without segments: {people} contacts, {events} events, {took / (people + events) * 1e6:.0f} us each"
    )
    started = cpu_seconds(postmaster)
    for id_, rule in rules(segments).items():
        seg.define(id_, rule, build=False)
    print(f"define {segments}: {(cpu_seconds(postmaster) - started) / segments * 1e3:.1f} ms each")
    started = cpu_seconds(postmaster)
    seg.rebuild()
    print(
        f"rebuild {segments} over {people}: {(cpu_seconds(postmaster) - started) / segments * 1e3:.1f} ms each"
    )
    with seg.db.transaction() as connection:
        connection.exec_driver_sql("ANALYZE")
    batches = []
    for _ in range(20):
        keys = [contact_id(number) for number in draw.sample(range(people), BATCH)]
        batches.append([order(key, NOW, "10") for key in keys])
    seg.deliver(*batches.pop())
    rounds = len(batches)
    started = cpu_seconds(postmaster)
    for batch in batches:
        seg.deliver(*batch)
    print(f"increment: {(cpu_seconds(postmaster) - started) / rounds / BATCH * 1e6:.0f} us a contact")
    with seg.db.transaction() as connection:
        (members,) = connection.exec_driver_sql("SELECT count(*) FROM membership").one()
    print(f"memberships a contact: {members / people:.0f}")
    seg.clock.instant = NOW + timedelta(days=1)
    started = cpu_seconds(postmaster)
    due = upkeep.expire(seg.service, run_seconds=60)
    print(
        f"expiry: {due} contacts due, {(cpu_seconds(postmaster) - started) / max(due, 1) * 1e6:.0f} us each"
    )


if __name__ == "__main__":
    main()
