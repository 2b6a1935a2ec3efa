"""The worker or PostgreSQL is killed in the midst of each kind of upkeep: nothing is lost and nothing is done twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from rapport_client.errors import RapportError

from services.kit.clock import FixedClock
from services.kit.db import Database, make_engine
from services.kit.postgres import EmbeddedPostgres, libpq_url, provision
from services.kit.signing import Signer
from services.segmentation.context import Service
from services.segmentation.rulebook import Rulebook
from tests.integration.segmentation.test_segment_interleaving import agrees_with_scratch
from tests.support.postgres import EXTENSIONS, DatabaseFactory
from tests.support.segmentation import NOW, NoPlugins, World, contact, contact_id, days, order
from tests.support.segmentation_stack import Stack
from tests.support.toy import eventually

PEOPLE = [contact_id(number) for number in range(1, 601)]
RULES = {
    "buyers": "events.order_placed.exists(o, now - o.time <= days(30))",
    "vietnam": 'contact.region_code == "VN"',
    "lapsed": 'contact.order_count > 0 && !in_segment("segments/buyers")',
}


@dataclass
class Scene:
    """A stack whose database server can be killed."""

    stack: Stack
    server: EmbeddedPostgres

    def kill_worker(self) -> None:
        """Kill the worker; another one takes over."""
        self.stack.kill_worker()

    def kill_server(self) -> None:
        """Kill the database server with all its processes, and start it again."""
        assert self.server.pid is not None
        os.kill(self.server.pid, signal.SIGKILL)
        eventually(lambda: not self.server.alive())
        self.server.start()

    def revive(self) -> None:
        """Start the worker if it has ended, as whoever supervises it would."""
        if self.stack.worker is None or self.stack.worker.poll() is not None:
            self.stack.start_worker()

    @contextmanager
    def held(self, table: str) -> Iterator[None]:
        """Let nobody write into a table: who tries is in the midst of a transaction when the block goes on."""
        connection = psycopg.connect(libpq_url(self.stack.url))
        try:
            connection.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE".encode())
            yield
        finally:
            connection.close()

    def somebody_waits(self) -> bool:
        """Tell whether a transaction waits for a table."""
        with psycopg.connect(libpq_url(self.stack.url)) as connection:
            found = connection.execute(
                "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
                "WHERE d.datname = current_database() AND l.locktype = 'relation' AND NOT l.granted"
            ).fetchone()
        return found is not None and found[0] > 0

    def interrupt(self, table: str, kill: Callable[[], None], cause: Callable[[], object]) -> None:
        """Cause work that writes into a table, and kill when it is about to."""
        with self.held(table):
            cause()
            eventually(self.somebody_waits, 60)
            kill()
        self.revive()

    def size(self, id_: str) -> int:
        """Return how many members a segment has."""
        with psycopg.connect(libpq_url(self.stack.url)) as connection:
            found = connection.execute(
                "SELECT count(*) FROM membership m JOIN segment s ON s.number = m.segment_number WHERE s.id = %s",
                (id_,),
            ).fetchone()
        return found[0] if found is not None else 0

    def wait_for(self, operation: Any) -> None:
        """Wait until an operation is done, and check that it succeeded."""

        def done() -> Any:
            with suppress(RapportError):
                operations = self.stack.rapport.operations("segmentation")
                found = operations.get_operation(name=operation.name).operation
                return found if found.done else None
            return None

        found = eventually(done, 60)
        assert not found.HasField("error"), found.error

    def define(self) -> None:
        """Create the segments, each with its first rebuild behind it."""
        for id_, rule in RULES.items():
            self.stack.define(id_, rule)

    def settled(self, now: datetime, *, orders: int) -> None:
        """Stop the worker, and check that all it says agrees with the events and with a rebuild from scratch."""
        self.stack.kill_worker()
        database = Database(make_engine(self.stack.url))
        clock = FixedClock(now)
        service = Service(database, clock, Signer("test" * 8), NoPlugins(), Rulebook("UTC"), "UTC")  # type: ignore[arg-type]
        seg = World(service, clock)
        try:
            assert seg.query("SELECT count(*) FROM dead_letter") == [0]
            assert seg.query("SELECT count(*) FROM profile") == [len(PEOPLE)]
            assert seg.query("SELECT count(*) FROM event WHERE type = 'order.placed'") == [orders]
            assert seg.query("SELECT sum(order_count) FROM profile") == [orders]
            agrees_with_scratch(seg)
        finally:
            database.close()


@pytest.fixture
def scene(tmp_path: Path, make_database: DatabaseFactory) -> Iterator[Scene]:
    """A stack with a worker, on a database server of its own that keeps what it has committed."""
    server = EmbeddedPostgres(tmp_path / "postgres", throwaway=True)
    server.start()
    try:
        url = provision(
            server.admin_url,
            ["segmentation"],
            prefix="kills",
            extensions=EXTENSIONS,
            plugin_services=["segmentation"],
        )["segmentation"]
        (tmp_path / "stack").mkdir()
        stack = Stack(tmp_path / "stack", make_database, url)
        try:
            stack.start_worker()
            yield Scene(stack, server)
        finally:
            stack.close()
    finally:
        server.destroy()


KILLS = ("kill_worker", "kill_server")


@pytest.mark.parametrize("name", KILLS)
def test_increments(scene: Scene, name: str) -> None:
    """Contacts and orders, interrupted where memberships, what is told of them and the events seen are written."""
    kill: Callable[[], None] = getattr(scene, name)
    scene.define()
    parts = [PEOPLE[start::3] for start in range(3)]
    for part, table in zip(parts, ("membership", "outbox", "processed_event"), strict=True):
        scene.interrupt(
            table,
            kill,
            lambda part=part: scene.stack.publish(  # type: ignore[misc]
                *(contact(key, region_code="VN") for key in part),
                *(order(key, NOW - days(1)) for key in part),
                *(order(key, NOW - days(60)) for key in part),
            ),
        )
    eventually(lambda: (scene.size("buyers"), scene.size("vietnam")) == (600, 600), 60)
    assert scene.size("lapsed") == 0
    scene.settled(NOW, orders=1200)


@pytest.mark.parametrize("name", KILLS)
def test_expiry(scene: Scene, name: str) -> None:
    """Windows that lapse by time alone, interrupted where who left, history and what is told are written."""
    kill: Callable[[], None] = getattr(scene, name)
    scene.define()
    scene.stack.publish(
        *(contact(key, region_code="VN") for key in PEOPLE),
        *(order(key, NOW - days(27 + number % 3)) for number, key in enumerate(PEOPLE)),
    )
    eventually(lambda: scene.size("buyers") == 600, 60)
    for day, table in ((2, "membership"), (3, "membership_past"), (4, "outbox")):
        scene.interrupt(table, kill, lambda day=day: scene.stack.set_clock(NOW + days(day)))  # type: ignore[misc]
        left = 600 - 200 * (day - 1)
        eventually(lambda left=left: (scene.size("buyers"), scene.size("lapsed")) == (left, 600 - left), 60)  # type: ignore[misc]
    scene.settled(NOW + days(4), orders=600)


@pytest.mark.parametrize("name", KILLS)
def test_rebuilds(scene: Scene, name: str) -> None:
    """New rules one by one, and all segments in one pass over contacts that were loaded beside the events."""
    kill: Callable[[], None] = getattr(scene, name)
    scene.define()
    some, rest = PEOPLE[:300], PEOPLE[300:]
    scene.stack.publish(
        *(contact(key, region_code="VN") for key in some), *(order(key, NOW - days(1)) for key in some)
    )
    eventually(lambda: (scene.size("buyers"), scene.size("vietnam")) == (300, 300), 60)
    started = []

    def change() -> None:
        update = {"name": "segments/vietnam", "rule": 'contact.region_code in ["VN", "LA"]'}
        started.append(scene.stack.api.update_segment(segment=update, update_mask="rule").rebuild)
        wide = {"name": "segments/buyers", "rule": "events.order_placed.size() > 1"}
        started.append(scene.stack.api.update_segment(segment=wide, update_mask="rule").rebuild)

    scene.interrupt("membership", kill, change)
    for operation in started:
        scene.wait_for(operation)
    assert (scene.size("buyers"), scene.size("vietnam"), scene.size("lapsed")) == (0, 300, 300)
    with psycopg.connect(libpq_url(scene.stack.url)) as connection:
        connection.execute(
            "INSERT INTO profile (contact_id, region_code) SELECT unnest(%s::uuid[]), 'LA'", (rest,)
        )
        connection.execute("INSERT INTO contact_state (contact_id) SELECT unnest(%s::uuid[])", (rest,))
    scene.interrupt("membership", kill, lambda: started.append(scene.stack.api.rebuild_segments().operation))
    scene.wait_for(started[-1])
    assert scene.size("vietnam") == 600
    scene.settled(NOW, orders=300)
