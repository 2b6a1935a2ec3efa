"""Increments: batches of 500 contacts against all segments, the difference applied and told."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from services.kit.names import new_id
from services.segmentation.store import locks, profiles
from services.segmentation.usecases.evaluation import evaluate
from tests.bench.machine import cpu_seconds
from tests.bench.report import Figure
from tests.support.segmentation import NOW, World, order

BATCH = 500
BATCHES = 20
LIMIT = 100e-6
"""Seconds of CPU a contact."""


@dataclass(frozen=True)
class Cost:
    """Hold what a contact costs, in seconds of CPU, and how many memberships of it changed.

    step: to evaluate and to apply and tell the difference; whole: an order to decode and store besides.
    """

    step: float
    step_changes: float
    whole: float
    whole_changes: float


def measure(seg: World, segments: int, postmaster: int, say: Callable[[str], None]) -> list[Figure]:
    """Measure increments against all rules in force."""
    found = cost(seg, postmaster)
    step, whole = found.step * 1e6, found.whole * 1e6
    say(
        f"increment: {step:.0f} us a contact of whom a visit was stored, with {found.step_changes:.2f} changes of "
        f"membership; {whole:.0f} us with decoding and storing an order, with {found.whole_changes:.1f}"
    )
    name = f"increment of a contact, {segments} segments"
    return [Figure(name, step, LIMIT * 1e6, "us of CPU", 1.0)]


def cost(seg: World, postmaster: int) -> Cost:
    """Return what increments cost: batches of contacts of whom something was told."""
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

    def told() -> int:
        return int(seg.query("SELECT count(*) FROM outbox")[0])

    # As in a server and a worker that have run for a while: within a few executions the plan is kept, what is read of
    # these contacts lies in the server's buffers, and the session has mapped them.
    for start in range(0, len(ids), BATCH):
        step(ids[start : start + BATCH])
    batches = [draw.sample(ids, BATCH) for _ in range(BATCHES)]
    for keys in batches:
        with seg.db.transaction() as connection:
            profiles.add_events(connection, [_visit(key) for key in keys])
    contacts, known = BATCH * BATCHES, told()
    before = cpu_seconds(postmaster)
    for keys in batches:
        step(keys)
    alone = (cpu_seconds(postmaster) - before) / contacts
    changed = told() - known
    assert changed, "an increment that changes nothing is none"
    orders = [[order(key, NOW, "10") for key in keys] for keys in batches]
    before = cpu_seconds(postmaster)
    for events in orders:
        seg.deliver(*events)
    whole = (cpu_seconds(postmaster) - before) / contacts
    return Cost(alone, changed / contacts, whole, (told() - known - changed) / contacts)


def _visit(contact: UUID) -> profiles.EventRow:
    return profiles.EventRow(contact, new_id(), "page.visited", None, None, NOW - timedelta(hours=1), "{}")
