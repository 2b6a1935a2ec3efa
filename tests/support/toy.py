"""A source of events and real worker processes of the toy service, for tests of the bus."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from google.protobuf.wrappers_pb2 import StringValue
from rapport.events.v1 import events_pb2_grpc

from services.kit.auth import TokenStore, create_tokens
from services.kit.bus.amqp.topology import PUBLISHER
from services.kit.bus.transport import make_publisher
from services.kit.clock import FixedClock
from services.kit.config import Settings
from services.kit.db import Database, make_engine, new_metadata
from services.kit.events import EventStream, Relay
from services.kit.grpc.server import ApiServer
from services.kit.outbox import NewEvent, append
from services.kit.tables import KitTables, kit_tables
from tests.support.processes import WORKER, ServiceProcess, start_process
from tests.support.rabbit import clean_environment

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)


def eventually(check: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Return the first true result of a check, looked at until the time is up."""
    until = time.monotonic() + seconds
    while True:
        result = check()
        if result:
            return result
        assert time.monotonic() < until, f"not within {seconds} s; last: {result!r}"
        threading.Event().wait(0.02)


@contextmanager
def rolled_back(db: Database) -> Iterator[sa.Connection]:
    """Lend a connection in a transaction that rolls back at the end."""
    with db.engine.connect() as connection:
        transaction = connection.begin()
        yield connection
        transaction.rollback()


def free_base_port() -> int:
    """Return a base port of which all ports that the tests use are free now."""
    while True:
        base = random.randrange(10_000, 31_000)
        try:
            for offset in (1, 2, 11, 12, 21, 22, 31, 32):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", base + offset))
        except OSError:
            continue
        return base


class Source:
    """One service's outbox, relay and event server, in this process."""

    def __init__(self, service: str, url: str, settings: Settings, *, kit: KitTables | None = None) -> None:
        self.service = service
        self.settings = settings
        self.clock = FixedClock(NOW)
        self.engine = make_engine(url, pool_size=20)
        self.db = Database(self.engine)
        if kit is None:
            metadata = new_metadata()
            kit = kit_tables(metadata)
            metadata.create_all(self.engine)
        self.kit = kit
        self.relay = self.stream = self.server = self.publisher = None

    def start_relay(self, **options: Any) -> None:
        """Start giving positions, and publishing where RabbitMQ is chosen."""
        self.start_publisher()
        if self.publisher is not None:
            options = {"on_positions": self.publisher.wake, **options}
        self.relay = Relay(self.engine, self.kit, self.clock, retention_days=30, **options)
        self.relay.start()

    def start_publisher(self) -> None:
        """Start publishing where RabbitMQ is chosen."""
        self.publisher = make_publisher(self.service, self.engine, self.kit, self.clock, self.settings)
        if self.publisher is not None:
            self.publisher.start()

    def start_server(self, **options: Any) -> None:
        """Serve the stream on the service's events port."""
        self.stream = EventStream(self.service, self.db, self.kit, self.clock, **options)
        address = f"127.0.0.1:{self.settings.events_port(self.service)}"
        self.server = ApiServer(
            address, TokenStore(self.settings.effective_tokens_file), threads=40, max_streams=32
        )
        self.server.add(
            lambda server: events_pb2_grpc.add_EventServiceServicer_to_server(self.stream, server)
        )
        self.stream.start()
        self.server.start()

    def stop_server(self) -> None:
        """Stop serving."""
        if self.server is not None:
            self.stream.stop()
            self.server.stop(2.0)
            self.server = None

    def close(self) -> None:
        """Stop everything."""
        self.stop_server()
        if self.relay is not None:
            self.relay.stop()
        if self.publisher is not None:
            self.publisher.stop()
        self.db.close()

    def say(self, *texts: str, type: str = "greeting.said") -> list[str]:
        """Write events in one transaction."""
        events = [
            NewEvent(
                type=type, subject=f"greetings/{uuid4()}", contact=uuid4(), revision=1, occur_time=NOW,
                data=StringValue(value=text),
            )
            for text in texts
        ]  # fmt: skip
        with self.db.transaction() as connection:
            append(connection, self.kit.outbox, events, record_time=self.clock.now())
        return list(texts)


class ToyWorker:
    """A real worker process of the toy service."""

    def __init__(self, environment: dict[str, str], settings: Settings, log: Path, package: str) -> None:
        self._environment = environment
        self._port = settings.metrics_port("contacts", "worker")
        self._package = package
        self.log = log
        self.process: ServiceProcess | None = None

    def start(self, *, wait: bool = True) -> ToyWorker:
        """Start the process and wait until it is ready."""
        with self.log.open("ab") as log:
            self.process = start_process(
                WORKER, "contacts", "--package", self._package, env=self._environment, log=log
            )
        if wait:
            eventually(lambda: self.health().get("ready"), 60)
        return self

    def health(self) -> dict[str, Any]:
        """Return what /healthz says; empty while nobody answers."""
        assert self.process is not None
        assert self.process.poll() is None, (
            f"the worker ended with {self.process.poll()}:\n{self.log.read_text()}"
        )
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/healthz", timeout=5) as response:
                return dict(json.load(response))
        except urllib.error.HTTPError as error:
            return dict(json.load(error))
        except OSError:
            return {}

    def metrics(self) -> str:
        """Return what the process shows to Prometheus."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=5) as response:
            return str(response.read().decode())

    @property
    def pid(self) -> int:
        """Return the process's id."""
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        """End it with SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, seconds: float = 30.0) -> int:
        """Wait for the end and return the exit status."""
        assert self.process is not None
        return self.process.wait(seconds)


class Toy:
    """A source (`sales`) and the toy consumer (`contacts`) with its database, gates and workers."""

    def __init__(self, folder: Path, source_url: str, consumer_url: str) -> None:
        from tests.support.toyconsumer import models

        self.folder = folder
        (folder / "gates").mkdir()
        self.tokens = create_tokens(folder / "tokens.json")
        self.environment = {
            **clean_environment(),
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos'}{os.pathsep}{ROOT / 'protos' / 'gen'}",
            "RAPPORT_DATA_DIR": str(folder),
            "RAPPORT_BASE_PORT": str(free_base_port()),
            "RAPPORT_SALES_DATABASE_URL": source_url,
            "RAPPORT_CONTACTS_DATABASE_URL": consumer_url,
            "RAPPORT_CLOCK": f"fixed:{NOW.isoformat()}",
            "RAPPORT_SECRET_KEY": "a secret of the tests only",
            "RAPPORT_TOKEN": self.tokens["contacts"],
            "TOY_GATES": str(folder / "gates"),
        }
        self.settings = Settings(data_dir=folder, base_port=int(self.environment["RAPPORT_BASE_PORT"]))
        self.models = models
        self.source = Source("sales", source_url, self.settings)
        engine = make_engine(consumer_url)
        models.metadata.create_all(engine)
        self.db = Database(engine)
        self.workers: list[ToyWorker] = []

    def worker(self, port_shift: int = 0, package: str = "tests.support.toyconsumer") -> ToyWorker:
        """Make a worker; a second one at the same time needs other ports for its own page."""
        environment, settings = self.environment, self.settings
        if port_shift:
            base = free_base_port()
            settings = Settings(data_dir=self.folder, base_port=base)
            events = f"127.0.0.1:{self.settings.events_port('sales')}"
            environment = {**environment, "RAPPORT_BASE_PORT": str(base), "RAPPORT_EVENTS_ADDRESS": events}
        worker = ToyWorker(environment, settings, self.folder / f"worker{len(self.workers)}.log", package)
        self.workers.append(worker)
        return worker

    def worker_receives(self, name: str = "contacts.on_greeting") -> bool:
        """Tell whether the newest worker's subscription takes events now."""
        return bool(self.workers[-1].health()["entrypoints"][name] == "receiving")

    def open_gate(self, name: str) -> None:
        """Let a handler pass."""
        (self.folder / "gates" / f"{name}.open").touch()

    def reached(self, name: str) -> bool:
        """Tell whether a handler waits at a gate."""
        return (self.folder / "gates" / f"{name}.reached").exists()

    def effects(self, handler: str = "on_greeting") -> list[str]:
        """Return the committed effects of a handler, in order."""
        table = self.models.effect
        query = sa.select(table.c.value).where(table.c.handler == handler).order_by(table.c.id)
        with self.db.read() as connection:
            return list(connection.execute(query).scalars())

    def cursors(self) -> dict[str, int]:
        """Return the acknowledged positions at the source."""
        table = self.source.kit.subscription
        with self.source.db.read() as connection:
            rows: Iterable[Any] = connection.execute(
                sa.select(table.c.name, table.c.position).where(table.c.name != PUBLISHER)
            )
            return {row.name: row.position for row in rows}

    def close(self) -> None:
        """End all processes."""
        for worker in self.workers:
            if worker.process is not None and worker.process.poll() is None:
                worker.kill()
        self.source.close()
        self.db.close()
