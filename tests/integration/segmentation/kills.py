"""A segmentation service on a database server of its own, both of which are killed, and what must hold afterwards."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from itertools import cycle
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import psycopg
import sqlalchemy as sa
from rapport.events.v1 import events_pb2
from rapport.segmentation.v1 import segmentation_pb2 as pb

from services.kit.clock import FixedClock
from services.kit.db import Database, make_engine
from services.kit.events.payload import unpack
from services.kit.money import from_money
from services.kit.postgres import EmbeddedPostgres, libpq_url
from services.kit.signing import Signer
from services.segmentation.context import Service
from services.segmentation.models import kit
from services.segmentation.rulebook import Rulebook
from services.segmentation.usecases import defining
from services.segmentation.usecases.defining import Change
from tests.support.gates import Gates
from tests.support.postgres import DatabaseFactory
from tests.support.segmentation import (
    DEMO_RULES,
    NOW,
    NoPlugins,
    World,
    contact,
    days,
    order,
    page_visited_defined,
    visit,
)
from tests.support.segmentation_scratch import agrees_with_scratch
from tests.support.segmentation_stack import Stack
from tests.support.waiting import until

RULES = {
    **DEMO_RULES,
    "vietnam": 'contact.region_code == "VN"',
    "abroad": 'contact.region_code != "VN"',
    "spenders": "contact.total_spent > 50.0",
    "recent": "now - contact.last_order_time <= days(7)",
    "kept": 'in_segment("segments/loyal") || in_segment("segments/spenders")',
    "others": '!in_segment("segments/kept") && in_segment("segments/abroad")',
}
"""Everybody with a profile is in one of vietnam and abroad."""

_WRITTEN = {
    "processed_event": "INSERT",
    "profile": "INSERT OR UPDATE",
    "event": "INSERT",
    "membership": "INSERT OR DELETE",
    "membership_past": "INSERT",
    "outbox": "INSERT",
    "contact_state": "UPDATE",
    "operation": "UPDATE",
}


def people_events(
    draw: random.Random, people: Iterable[UUID]
) -> tuple[list[events_pb2.Event], list[events_pb2.Event]]:
    """Make up what people did: their creation among it, and changes of them after that."""
    first, later = [], []
    for key in people:
        first.append(contact(key, region_code=draw.choice(["VN", "US"])))
        for _ in range(draw.randrange(4)):
            first.append(visit(key, NOW - days(draw.uniform(0, 60)), historical=draw.random() < 0.1))
        for _ in range(draw.choice([0, 1, 1, 2, 6])):
            amount = str(draw.randrange(1, 40))
            made = order(key, NOW - days(draw.uniform(0, 100)), amount, historical=draw.random() < 0.1)
            draw.choice([first, later]).append(made)
        if draw.random() < 0.3:
            later.append(contact(key, revision=2, region_code=draw.choice(["VN", "US"])))
    draw.shuffle(first)
    draw.shuffle(later)
    return first, later


def points(draw: random.Random, rows: int, count: int) -> list[int]:
    """Choose at which of so many rows to kill."""
    return [50 * at for at in sorted(draw.sample(range(1, rows // 50), count))]


def same(what: str, found: Iterable[Any], expected: Iterable[Any]) -> None:
    """Check that two collections hold the same; fails with what is missing and what is too much."""
    had, wanted = Counter(found), Counter(expected)
    missing, surplus = list((wanted - had).elements()), list((had - wanted).elements())
    assert had == wanted, (
        f"{what}: {len(missing)} missing, such as {missing[:5]}; {len(surplus)} too many, such as {surplus[:5]}"
    )


class Scene:
    """A service in the midst of work, and who kills it."""

    def __init__(self, folder: Path, server: EmbeddedPostgres, make_database: DatabaseFactory) -> None:
        """make_database: makes databases on that server."""
        self.server = server
        self.stack = Stack(folder, make_database)
        # No plugin whose traits are refreshed, and all that was told is kept however far the clock is moved.
        self.stack.environment |= {"RAPPORT_PLUGINS_ALLOW": "loyalty", "RAPPORT_EVENT_RETENTION_DAYS": "1000"}
        self.gates = Gates(self.stack.url, _WRITTEN, at_commit=["membership", "processed_event", "operation"])
        self._sent: list[events_pb2.Event] = []
        self._told = 0
        self.members_at_kills: list[int] = []

    def close(self) -> None:
        """End everything."""
        self.stack.close()

    @contextmanager
    def world(self, now: datetime = NOW) -> Iterator[World]:
        """Give the service inside the test, on the same database."""
        clock = FixedClock(now)
        database = Database(make_engine(self.stack.url))
        plugins: Any = NoPlugins()
        try:
            yield World(Service(database, clock, Signer("test" * 8), plugins, Rulebook("UTC"), "UTC"), clock)
        finally:
            database.close()

    def define(self) -> None:
        """Create the segments, with nobody there yet."""
        with self.world() as seg:
            seg.deliver(page_visited_defined())
            for id_, rule in RULES.items():
                seg.define(id_, rule)
            _forget_operations(seg)

    def lose_members(self) -> None:
        """Forget all memberships, and all that followed from them."""
        with self.world() as seg, seg.db.transaction() as connection:
            connection.exec_driver_sql("TRUNCATE membership, membership_past, segment_size, outbox")
            connection.exec_driver_sql("UPDATE contact_state SET next_change = NULL")

    def redefine(self, rules: Mapping[str, str]) -> None:
        """Give segments new rules, which no rebuild has put in force."""
        with self.world() as seg:
            with seg.db.transaction() as connection:
                for id_, rule in rules.items():
                    defining.update_segment(seg.service, connection, id_, Change(rule=rule), "")
            _forget_operations(seg)

    def publish(self, events: list[events_pb2.Event]) -> None:
        """Let the sources write events, a few in each transaction."""
        for start in range(0, len(events), 400):
            self.stack.publish(*events[start : start + 400])
        self._sent += events

    def kill_at(self, numbers: Iterable[int], victims: Sequence[str]) -> Iterator[None]:
        """Kill the victims by turns whenever the worker stands at one of the gates; yields while they are dead.

        victims: `worker`, which is started again; `postmaster`, or `server` for all its processes at once, which come
        back while the worker goes on.
        """
        for number, victim in zip(numbers, cycle(victims), strict=False):
            waiting = self.gates.wait(number)
            # Sessions are called after the process and the newest revision that it knows.
            assert {name.partition(" ")[0] for name in waiting} == {"rapport-segmentation-worker"}, waiting
            self.members_at_kills += self.ask("SELECT count(*) FROM membership")[0]
            self.gates.forsake()
            if victim == "worker":
                self.stack.kill_worker()
                # What its sessions have begun goes on in the server, to the end of a statement or commit.
                self.gates.open(number)
                yield
                self.stack.start_worker()
            else:
                self._kill_server(everything=victim == "server")
                yield
                self.server.start()
                self.gates.open(number)

    def _kill_server(self, *, everything: bool) -> None:
        assert self.server.pid is not None
        postmaster = psutil.Process(self.server.pid)
        victims = postmaster.children() if everything else []
        for process in (postmaster, *victims):
            os.kill(process.pid, signal.SIGKILL)
        until(lambda: not self.server.alive(), "the postmaster is gone")

    def ask(self, sql: str, url: str = "") -> list[tuple[Any, ...]]:
        """Return the rows of a query in the service's database, or another one."""
        with psycopg.connect(libpq_url(url or self.stack.url)) as connection:
            return connection.execute(sql.encode()).fetchall()

    def begin(self) -> None:
        """Take note of what was told so far."""
        ((self._told,),) = self.ask("SELECT count(*) FROM outbox")

    def await_rest(self, now: datetime) -> None:
        """Wait until the worker has nothing more to do at a time."""
        for source in (self.stack.contacts, self.stack.sales):
            url = source.engine.url.render_as_string(hide_password=False)
            behind = (
                "SELECT count(*) FROM outbox WHERE position IS NULL "
                "OR position > (SELECT coalesce(min(position), 0) FROM subscription)"
            )
            until(
                lambda url=url, behind=behind: self.ask(behind, url) == [(0,)],  # type: ignore[misc]
                f"all events of {source.service} acknowledged",
            )
            # With RabbitMQ in between it is the publisher who acknowledges.
            said = {row[0] for row in self.ask("SELECT id FROM outbox", url)}
            taken = (
                f"SELECT event_id FROM processed_event WHERE consumer = 'segmentation.on_{source.service}'"
            )
            until(
                lambda said=said, taken=taken: said <= {row[0] for row in self.ask(taken)},  # type: ignore[misc]
                f"all events of {source.service} have had their effect",
            )
        due = f"SELECT count(*) FROM contact_state WHERE next_change <= '{now.isoformat()}'"
        until(lambda: self.ask(due) == [(0,)], "nobody is due any more")
        until(lambda: self.ask("SELECT count(*) FROM outbox WHERE position IS NULL") == [(0,)], "all is told")

    def check(self, now: datetime = NOW) -> None:
        """Check that nothing was lost or done twice, once the worker is at rest."""
        self.await_rest(now)
        assert self.stack.health().get("ready"), self.stack.health()
        self._check_stream()
        self.stack.kill_worker()
        same("dead letters", self.ask("SELECT consumer, event_id, error FROM dead_letter"), [])
        same(
            "history of memberships",
            self.ask(
                "SELECT p.contact_id, s.id FROM membership_past p JOIN segment s ON s.number = p.segment_number"
            ),
            self.ask("SELECT contact_id, substr(subject, 10) FROM outbox WHERE type = 'segment.left'"),
        )
        with self.world(now) as seg:
            agrees_with_scratch(seg)

    def check_sent(self) -> None:
        """Check that what was published had its effect once, on profiles and on events."""
        stored = []
        for source in (self.stack.contacts, self.stack.sales):
            url = source.engine.url.render_as_string(hide_password=False)
            outbox = self.ask("SELECT id, contact_id, type FROM outbox", url)
            processed = (
                f"SELECT event_id FROM processed_event WHERE consumer = 'segmentation.on_{source.service}'"
            )
            same(f"processed events of {source.service}", self.ask(processed), [row[:1] for row in outbox])
            stored += [row[:2] for row in outbox if row[2] in ("activity.recorded", "order.placed")]
        same("stored events", self.ask("SELECT event_id, contact_id FROM event"), stored)
        columns = (
            "contact_id, revision, region_code, order_count, total_spent, first_order_time, last_order_time"
        )
        same("profiles", self.ask(f"SELECT {columns} FROM profile"), expected_profiles(self._sent))

    def check_counts(self, operation: Any, *, kills: int) -> None:
        """Wait for the end of an operation, and check that it counts what was told since `begin`."""
        key = operation.name.removeprefix("operations/")
        until(lambda: self.ask(f"SELECT done FROM operation WHERE id = '{key}'") == [(True,)], "it is done")
        done = self.stack.rapport.operations("segmentation").get_operation(name=operation.name).operation
        assert not done.HasField("error"), done.error
        ((attempts,),) = self.ask(f"SELECT attempt FROM operation WHERE id = '{key}'")
        assert attempts > kills, f"{attempts} attempts, although {kills} were ended by a kill"
        result = pb.RebuildSegmentsResult()
        assert done.response.Unpack(result), done
        told = Counter(
            self.ask(f"SELECT type, subject FROM (SELECT * FROM outbox ORDER BY id OFFSET {self._told}) AS o")
        )
        sizes = dict(
            self.ask(
                "SELECT id, (SELECT count(*) FROM membership WHERE segment_number = number) FROM segment"
            )
        )
        versions = dict(self.ask("SELECT id, version FROM segment"))
        same(
            "counts of the operation: segment, version, entered, left, members",
            [
                (item.segment, item.version, item.entered_count, item.left_count, item.member_count)
                for item in result.segments
            ],
            [
                (
                    f"segments/{id_}",
                    versions[id_],
                    told["segment.entered", f"segments/{id_}"],
                    told["segment.left", f"segments/{id_}"],
                    size,
                )
                for id_, size in sizes.items()
            ],
        )
        people = len(self.ask("SELECT contact_id FROM profile"))
        assert done.progress.completed == done.progress.total >= people, done.progress

    def _check_stream(self) -> None:
        """Check that the event stream gives each entry and exit once, in an order that makes sense."""
        told = self.ask("SELECT id::text FROM outbox ORDER BY position")
        given = []
        for response in self.stack.rapport.events("segmentation").subscribe(start={}):
            given += response.events
            if len(given) >= len(told):
                break
        assert [item.id for item in given] == [id_ for (id_,) in told]
        inside: set[tuple[str, str]] = set()
        for item in given:
            pair = (item.contact.removeprefix("contacts/"), item.subject.removeprefix("segments/"))
            entered = item.type == "segment.entered"
            assert entered == (pair not in inside), f"{pair}: {item.type} at {item.position} after the same"
            (inside.add if entered else inside.discard)(pair)
        members = (
            "SELECT m.contact_id::text, s.id FROM membership m JOIN segment s ON s.number = m.segment_number"
        )
        same("members by what was told", inside, self.ask(members))


def _forget_operations(seg: World) -> None:
    """Leave it to the test when segments are rebuilt."""
    with seg.db.transaction() as connection:
        connection.execute(sa.delete(kit.operation))


def expected_profiles(sent: Iterable[events_pb2.Event]) -> list[tuple[Any, ...]]:
    """Return what profiles must say after events: contact, revision, region, orders, spent, first and last order."""
    newest: dict[str, events_pb2.Event] = {}
    orders: dict[str, list[events_pb2.Event]] = {}
    for item in sent:
        if item.type == "order.placed":
            orders.setdefault(item.contact, []).append(item)
        elif item.type in ("contact.created", "contact.updated"):
            newest[item.contact] = max(item, newest.get(item.contact, item), key=lambda one: one.revision)
    found = []
    for name, item in newest.items():
        snapshot: Any = unpack(item)
        mine: list[Any] = orders.get(name, [])
        times = sorted(one.occur_time.ToDatetime(NOW.tzinfo) for one in mine)
        spent = sum((from_money(unpack(one).total) for one in mine), Decimal())  # type: ignore[attr-defined]
        first, last = (times[0], times[-1]) if times else (None, None)
        key = UUID(name.removeprefix("contacts/"))
        found.append((key, item.revision, snapshot.region_code, len(mine), spent, first, last))
    return found
