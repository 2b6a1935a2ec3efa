"""Increments: batches of 500 contacts against all segments, the difference applied and told."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from services.kit.names import new_id
from services.segmentation.store import locks, profiles
from services.segmentation.usecases.evaluation import evaluate
from tests.bench.machine import cpu_seconds
from tests.bench.report import Figure
from tests.bench.segmentation import by_hand
from tests.support.segmentation import NOW, World, order

BATCH = 500
BATCHES = 20
LIMIT = 100e-6
"""Seconds of CPU a contact."""

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Cost:
    """Hold what a contact costs, in seconds of CPU, and how many memberships of it changed.

    still: to evaluate, with nothing to change; step: after a visit, with the difference applied and told; first: the
    same where the pages that are written have long not been touched; bare: to apply and tell these very changes by
    hand; whole: an order to decode and store besides.
    """

    still: float
    first: float
    step: float
    step_changes: float
    bare: float
    whole: float
    whole_changes: float


def measure(seg: World, segments: int, postmaster: int, say: Callable[[str], None]) -> list[Figure]:
    """Measure increments against all rules in force."""
    found = cost(seg, postmaster)
    still, step, bare = found.still * 1e6, found.step * 1e6, found.bare * 1e6
    say(
        f"increment: {still:.0f} us a contact with nothing to change; {step:.0f} us after a visit, with "
        f"{found.step_changes:.2f} changes of membership, which by hand take {bare:.0f} us "
        f"({found.first * 1e6:.0f} us on pages long untouched); {found.whole * 1e6:.0f} us with decoding and storing "
        f"an order, with {found.whole_changes:.1f}"
    )
    limit = LIMIT * 1e6
    return [
        Figure(f"increment of a contact, {segments} segments, no change", still, limit, "us of CPU", 1.0),
        Figure(
            f"increment of a contact, {segments} segments, after a visit, {found.step_changes:.1f} changes, beside the "
            "limit and these changes by hand",
            step,
            limit + bare,
            "us of CPU",
            1.0,
        ),
    ]


def cost(seg: World, postmaster: int, sample: int = 0) -> Cost:
    """Return what increments cost: batches of contacts of whom something was told.

    sample: whose; another one has other contacts, of whom nothing lies in the processor's caches.
    """
    # Autovacuum is off here; it would have seen to what the parts before have changed.
    with seg.db.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    draw = random.Random(7)
    ids = seg.query(
        f"SELECT contact_id FROM profile ORDER BY uuid_hash(contact_id) LIMIT {BATCH * BATCHES * 2} "
        f"OFFSET {BATCH * BATCHES * 2 * sample}"
    )
    contacts = BATCH * BATCHES

    def step(keys: Sequence[UUID]) -> None:
        with seg.db.transaction() as connection:
            locks.share_membership(connection)
            some = locks.lock_contacts(connection, keys)
            evaluate(seg.service, connection, some, now=NOW, historical=False)

    def spent(work: Callable[[_Item], None], items: Sequence[_Item]) -> float:
        before = cpu_seconds(postmaster)
        for item in items:
            work(item)
        return (cpu_seconds(postmaster) - before) / contacts

    # As in a server and a worker that have run for a while: within a few executions the plan is kept, what is read of
    # these contacts lies in the server's buffers, and the session has mapped them.
    for start in range(0, len(ids), BATCH):
        step(ids[start : start + BATCH])
    batches = [draw.sample(ids, BATCH) for _ in range(BATCHES)]
    still = spent(step, batches)
    for keys in batches:
        with seg.db.transaction() as connection:
            profiles.add_events(connection, [_visit(key) for key in keys])
    told = len(_told(seg))
    first = spent(step, batches)
    changes = _told(seg)[told:]
    assert changes, "an increment that changes nothing is none"

    def undo() -> None:
        with seg.db.transaction() as connection:
            by_hand.undo(connection, changes)

    # Again, and then by hand: each finds the pages that it writes where the one before has left them.
    undo()
    again = spent(step, batches)
    undo()
    size = -(-len(changes) // BATCHES)
    parts = [changes[start : start + size] for start in range(0, len(changes), size)]

    def bare(part: Sequence[by_hand.Change]) -> None:
        with seg.db.transaction() as connection:
            by_hand.apply(connection, part)

    hand = spent(bare, parts)
    told = len(_told(seg))
    orders = [[order(key, NOW, "10") for key in keys] for keys in batches]
    whole = spent(lambda events: seg.deliver(*events), orders)
    return Cost(
        still, first, again, len(changes) / contacts, hand, whole, (len(_told(seg)) - told) / contacts
    )


def _told(seg: World) -> list[by_hand.Change]:
    """Return who entered and left, in the order in which it was told."""
    with seg.db.read() as connection:
        return [
            by_hand.Change(*row)
            for row in connection.exec_driver_sql(
                "SELECT s.number, o.contact_id, o.type = 'segment.entered' FROM outbox AS o "
                "JOIN segment AS s ON 'segments/' || s.id = o.subject ORDER BY o.id"
            )
        ]


def _visit(contact: UUID) -> profiles.EventRow:
    return profiles.EventRow(contact, new_id(), "page.visited", None, None, NOW - timedelta(hours=1), "{}")
