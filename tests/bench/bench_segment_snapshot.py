"""What a snapshot of many contacts costs, and how long increments wait for it; and batches of members put into a list.

Run `python -m tests.bench.bench_segment_snapshot [contacts]`; prints wall-clock times on an otherwise idle machine.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from pathlib import Path

from rapport.segmentation.v1 import segmentation_pb2 as pb

from services.kit.postgres import EmbeddedPostgres, provision
from services.segmentation.store import locks
from services.segmentation.usecases import defining, lists, snapshots
from tests.support.postgres import FAST
from tests.support.segmentation import NOW, Progress, World, contact, contact_id, order, world

BATCH = 500


def main() -> None:
    """Measure and print."""
    people = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder) / "pg", settings=FAST, throwaway=True)
        server.start()
        try:
            url = provision(
                server.admin_url, ["segmentation"], prefix="bench", plugin_services=["segmentation"]
            )["segmentation"]
            with world(url) as seg:
                measure(seg, people)
        finally:
            server.destroy()


def measure(seg: World, people: int) -> None:
    """Load, freeze everybody while increments go on, then change a list."""
    keys = [contact_id(number) for number in range(BATCH)]
    seg.deliver(*(contact(key) for key in keys))
    with seg.db.transaction() as connection:
        connection.exec_driver_sql(
            "INSERT INTO profile (contact_id, revision) SELECT gen_random_uuid(), 1 FROM generate_series(1, %(n)s)",
            {"n": people - BATCH},
        )
        connection.exec_driver_sql(
            "INSERT INTO contact_state (contact_id) SELECT contact_id FROM profile ON CONFLICT DO NOTHING"
        )
    with seg.db.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    started = time.perf_counter()
    seg.define("everybody", "true")
    print(
        f"first rebuild of a rule with {people} members: {time.perf_counter() - started:.1f} s under the lock"
    )
    for name, source in (
        ("members", {"segment": "segments/everybody"}),
        ("rule", {"rule": "contact.order_count >= 0"}),
    ):
        request = pb.SnapshotSegmentRequest(segment_id=name, **source)
        with seg.db.transaction() as connection:
            snapshots.request_snapshot(seg.service, connection, request)
        waits = beside(seg, lambda request=request: snapshots.take_snapshot(seg.service, request, Progress()))
        print(f"snapshot of {people} by {name}: {waits}")
    add(seg, people)


def beside(seg: World, work: object) -> str:
    """Run work while increments go on; returns how long it, the lock and the increments took."""
    held: list[float] = []
    real = locks.own_membership

    def own(connection: object) -> None:
        real(connection)  # type: ignore[arg-type]
        held.append(time.perf_counter())

    ended: list[float] = []

    def run() -> None:
        work()  # type: ignore[operator]
        ended.append(time.perf_counter())

    locks.own_membership = own
    try:
        started = time.perf_counter()
        thread = threading.Thread(target=run)
        thread.start()
        took = []
        while thread.is_alive():
            began = time.perf_counter()
            seg.deliver(*(order(contact_id(number), NOW) for number in range(BATCH)))
            took.append(time.perf_counter() - began)
        thread.join()
    finally:
        locks.own_membership = real
    return (
        f"{ended[0] - started:.1f} s, of which the lock is owned {ended[0] - held[-1]:.2f} s; meanwhile {len(took)} "
        f"increments of {BATCH} orders, median {sorted(took)[len(took) // 2]:.2f} s, longest {max(took):.2f} s"
    )


def add(seg: World, people: int) -> None:
    """Put 10,000 contacts into a list, alone and with a rule that follows."""
    found = seg.query("SELECT contact_id FROM profile ORDER BY contact_id LIMIT 10000")
    for id_ in ("alone", "followed"):
        with seg.db.transaction() as connection:
            defining.create_list(seg.service, connection, id_, id_)
        if id_ == "followed":
            seg.define("follows", 'in_segment("segments/followed") && contact.order_count >= 0')
        for entered in (True, False):
            began = time.perf_counter()
            with seg.db.transaction() as connection:
                lists.change_members(seg.service, connection, id_, found, entered=entered, historical=False)
            done = "in" if entered else "out"
            print(
                f"{len(found)} of {people} contacts {done}, list {id_}: {time.perf_counter() - began:.2f} s"
            )


if __name__ == "__main__":
    main()
