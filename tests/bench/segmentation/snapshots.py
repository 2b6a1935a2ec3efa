"""Snapshots of everybody and changes of lists: what they cost beside INSERTs, and how long increments wait for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from unittest.mock import patch
from uuid import UUID

from rapport.segmentation.v1 import segmentation_pb2 as pb
from sqlalchemy import Connection

from services.segmentation.store import locks
from services.segmentation.usecases import defining, lists, snapshots
from tests.bench.machine import cpu_seconds
from tests.bench.report import Figure
from tests.support.segmentation import NOW, Progress, World, order

BATCH = 500
LISTED = 10_000
SNAPSHOT_BUDGET = 1.5
LIST_BUDGET = 2.0
LONGEST_WAIT = 1.0
"""Seconds that an increment may wait for the lock of a snapshot: as long as from an event to what follows from it."""


def measure(seg: World, postmaster: int, say: Callable[[str], None]) -> list[Figure]:
    """Freeze everybody, by members and by a rule; change the members of a list."""
    seg.define("everybody", "true")
    sources = {"members": {"segment": "segments/everybody"}, "rule": {"rule": "contact.order_count >= 0"}}
    number = seg.query("SELECT number FROM segment WHERE id = 'everybody'")[0]
    by_hand = _undone(seg, postmaster, lambda connection: _copy(connection, number))
    figures = []
    for name, source in sources.items():
        request = pb.SnapshotSegmentRequest(segment_id=f"by_{name}", **source)
        with seg.db.transaction() as connection:
            snapshots.request_snapshot(seg.service, connection, request)
        before = cpu_seconds(postmaster)
        result = snapshots.take_snapshot(seg.service, request, Progress())
        cost = cpu_seconds(postmaster) - before
        say(f"snapshot of {result.member_count:,} by {name}: {cost:.1f} s of CPU, by hand {by_hand:.1f} s")
        figures.append(
            Figure(f"snapshot of everybody, by {name}", cost, by_hand, "s of CPU", SNAPSHOT_BUDGET)
        )
    figures.append(_waits(seg, say))
    figures += _changes(seg, postmaster, say)
    for id_ in ("by_members", "by_rule", "beside", "listed", "everybody"):
        with seg.db.transaction() as connection:
            defining.delete_segment(seg.service, connection, id_, "")
    return figures


def _undone(seg: World, postmaster: int, work: Callable[[Connection], object]) -> float:
    """Return the CPU seconds of work in a transaction, which is rolled back."""
    with seg.db.engine.connect() as connection:
        before = cpu_seconds(postmaster)
        work(connection)
        cost = cpu_seconds(postmaster) - before
        connection.rollback()
    return cost


def _copy(connection: Connection, number: int) -> None:
    """Make the members of a segment those of another, and tell it, in SQL written by hand."""
    values = {"from": number, "to": 1_000_000, "now": NOW}
    connection.exec_driver_sql(
        "INSERT INTO membership (segment_number, contact_id, enter_time) SELECT %(to)s, contact_id, %(now)s "
        "FROM membership WHERE segment_number = %(from)s ORDER BY contact_id",
        values,
    )
    _tell(connection, "(SELECT contact_id FROM membership WHERE segment_number = %(to)s) AS taken", values)


def _tell(connection: Connection, of: str, values: dict[str, object]) -> None:
    connection.exec_driver_sql(
        "INSERT INTO outbox (id, type, subject, contact_id, revision, occur_time, record_time, historical, data_type, "
        "data) SELECT gen_random_uuid(), 'segment.entered', 'segments/x', contact_id, 1, %(now)s, %(now)s, true, "
        f"'type', ''::bytea FROM {of}",
        values,
    )


def _waits(seg: World, say: Callable[[str], None]) -> Figure:
    """Bring orders while everybody is being frozen, and see how long they wait for the lock."""
    keys = seg.query(f"SELECT contact_id FROM profile ORDER BY uuid_hash(contact_id) LIMIT {BATCH}")
    request = pb.SnapshotSegmentRequest(segment_id="beside", segment="segments/everybody")
    with seg.db.transaction() as connection:
        snapshots.request_snapshot(seg.service, connection, request)
    seg.deliver(*(order(key, NOW) for key in keys))
    failed: list[BaseException] = []

    def work() -> None:
        try:
            snapshots.take_snapshot(seg.service, request, Progress())
        except BaseException as error:
            failed.append(error)

    waited = []
    share = locks.share_membership

    def timed(connection: Connection) -> None:
        began = time.perf_counter()
        share(connection)
        waited.append(time.perf_counter() - began)

    thread = threading.Thread(target=work)
    with patch.object(locks, "share_membership", timed):
        thread.start()
        while thread.is_alive():
            seg.deliver(*(order(key, NOW) for key in keys))
        thread.join()
    assert not failed, failed
    say(
        f"beside a snapshot: {len(waited)} increments of {BATCH} orders, the longest wait {max(waited):.2f} s"
    )
    return Figure("wait for the lock beside a snapshot, longest", max(waited), LONGEST_WAIT, "s", 1.0)


def _changes(seg: World, postmaster: int, say: Callable[[str], None]) -> list[Figure]:
    """Put contacts into a list and take them out again."""
    keys = seg.query(f"SELECT contact_id FROM profile ORDER BY contact_id LIMIT {LISTED}")
    with seg.db.transaction() as connection:
        defining.create_list(seg.service, connection, "listed", "listed")
    by_hand = _undone(seg, postmaster, lambda connection: _put(connection, keys))
    figures = []
    for entered, what in ((True, "put into a list"), (False, "taken out of it")):
        before = cpu_seconds(postmaster)
        with seg.db.transaction() as connection:
            lists.change_members(seg.service, connection, "listed", keys, entered=entered, historical=False)
        cost = cpu_seconds(postmaster) - before
        say(f"{len(keys):,} contacts {what}: {cost:.2f} s of CPU, by hand {by_hand:.2f} s")
        figures.append(Figure(f"{len(keys):,} contacts {what}", cost, by_hand, "s of CPU", LIST_BUDGET))
    return figures


def _put(connection: Connection, keys: Sequence[UUID]) -> None:
    """Lock contacts, put them into a list, and tell it, in SQL written by hand."""
    values = {"keys": list(keys), "to": 1_000_000, "now": NOW}
    connection.exec_driver_sql(
        "SELECT FROM contact_state WHERE contact_id = ANY(%(keys)s::uuid[]) ORDER BY contact_id FOR UPDATE",
        values,
    )
    connection.exec_driver_sql(
        "INSERT INTO membership (segment_number, contact_id, enter_time) "
        "SELECT %(to)s, k, %(now)s FROM unnest(%(keys)s::uuid[]) AS k",
        values,
    )
    _tell(connection, "unnest(%(keys)s::uuid[]) AS k(contact_id)", values)
