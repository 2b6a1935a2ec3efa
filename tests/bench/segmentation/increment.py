"""Increments: batches of 500 contacts against all segments, the difference applied and told."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from uuid import UUID

from services.segmentation.store import locks
from services.segmentation.usecases.evaluation import evaluate
from tests.bench.machine import cpu_seconds
from tests.bench.report import Figure
from tests.support.segmentation import NOW, World, order

BATCH = 500
BATCHES = 20
LIMIT = 100e-6
"""Seconds of CPU a contact."""


def measure(seg: World, segments: int, postmaster: int, say: Callable[[str], None]) -> list[Figure]:
    """Evaluate batches of contacts for all rules in force, alone and with the orders that cause it."""
    # Autovacuum is off here; it would have seen to what the parts before have changed.
    with seg.db.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    draw = random.Random(7)
    ids = seg.query(
        f"SELECT contact_id FROM profile ORDER BY uuid_hash(contact_id) LIMIT {BATCH * BATCHES * 2}"
    )

    def step(keys: Sequence[UUID]) -> None:
        with seg.db.transaction() as connection:
            locks.share_membership(connection)
            some = locks.lock_contacts(connection, keys)
            evaluate(seg.service, connection, some, now=NOW, historical=False)

    # As in a server and a worker that have run for a while: within a few executions the plan is kept, what is read of
    # these contacts lies in the server's buffers, and the session has mapped them.
    for start in range(0, len(ids), BATCH):
        step(ids[start : start + BATCH])
    batches = [draw.sample(ids, BATCH) for _ in range(BATCHES)]
    before = cpu_seconds(postmaster)
    for keys in batches:
        step(keys)
    alone = (cpu_seconds(postmaster) - before) / (BATCH * BATCHES)
    told = [[order(key, NOW, "10") for key in keys] for keys in batches]
    before = cpu_seconds(postmaster)
    for events in told:
        seg.deliver(*events)
    whole = (cpu_seconds(postmaster) - before) / (BATCH * BATCHES)
    say(
        f"increment: {alone * 1e6:.0f} us a contact, {whole * 1e6:.0f} us with decoding and storing an order each"
    )
    return [
        Figure(f"increment of a contact, {segments} segments", alone * 1e6, LIMIT * 1e6, "us of CPU", 1.0)
    ]
