"""Events from the commit of their source to the effect of their consumer: by RabbitMQ, beside the event streams.

Real worker processes on both sides, a database each, and a writer that commits as a service does. Over RabbitMQ with a
node of the benchmark's own, unless RAPPORT_AMQP_URL names one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import sqlalchemy as sa
from google.protobuf.wrappers_pb2 import DoubleValue

from services.kit import log
from services.kit.auth import create_tokens
from services.kit.config import Settings
from services.kit.db import Database, make_engine
from services.kit.names import new_id
from services.kit.outbox import NewEvent, append
from services.kit.supervise.probes import http_ok
from tests.bench.api.consumer import models as consumer
from tests.bench.api.source import models as source
from tests.bench.report import Figure, finish
from tests.support import rabbit
from tests.support.postgres import DatabaseFactory, shared_server
from tests.support.toy import NOW, ROOT, Source, free_base_port

TYPE = "bench.happened"
TRANSACTION = 500
PATIENCE = 300.0


def measure(
    say: Callable[[str], None], *, events: int = 100_000, rate: int = 2_000, seconds: int = 20
) -> list[Figure]:
    """Measure how long so many events take at once, and the delay of each at a steady rate (events a second)."""
    # The event stream is served by this process, which has better things to print than its calls.
    log.configure("WARNING", "console", role="benchmark")
    took: dict[str, float] = {}
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="rapport-bench-")))
        admin = ends.enter_context(shared_server(folder))
        url = rabbit.GIVEN or ends.enter_context(rabbit.own_node()).url
        figures: list[Figure] = []
        for name, variables in (("event stream", {}), ("RabbitMQ", rabbit.variables(url))):
            factory = DatabaseFactory(admin)
            try:
                with _services(folder / name.replace(" ", "-"), factory, variables) as services:
                    took[name] = services.many(events)
                    say(
                        f"{name}: {events:,} events at once in {took[name]:.1f} s, "
                        f"{events / took[name]:,.0f} a second from commit to effect"
                    )
                    delays = services.steadily(rate, seconds)
            finally:
                factory.close()
            p50, p99 = delays[len(delays) // 2], delays[len(delays) * 99 // 100]
            say(f"{name}: at {rate:,} a second, delay p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms")
            figures += [
                Figure(f"event committed to its effect at {rate}/s, {name}, p50", p50, 1.0, "s", 1.0),
                Figure(f"event committed to its effect at {rate}/s, {name}, p99", p99, 1.0, "s", 1.0),
            ]
    title = f"{events:,} events, commit to effect, by RabbitMQ beside the event stream"
    return [Figure(title, took["RabbitMQ"], took["event stream"], "s", 1.5), *figures]


class _Services:
    """A source and a consumer that are ready, and the source's database to write to."""

    def __init__(self, db: Database, arrivals: Database) -> None:
        self._db = db
        self._arrivals = arrivals

    def many(self, count: int) -> float:
        """Write so many events as fast as can be, and return the seconds until the last had its effect."""
        began = time.monotonic()
        for _ in range(0, count, TRANSACTION):
            self._write(TRANSACTION)
        self._wait(count)
        return self._ask(sa.select(sa.func.max(consumer.arrival.c.at))) - began

    def steadily(self, rate: int, seconds: int) -> list[float]:
        """Write at a steady pace, twenty transactions a second, and return the delays in ascending order."""
        with self._arrivals.transaction() as connection:
            connection.execute(sa.delete(consumer.arrival))
        began, each = time.monotonic(), rate // 20
        for number in range(seconds * 20):
            pause = began + number / 20 - time.monotonic()
            if pause > 0:
                threading.Event().wait(pause)
            self._write(each)
        self._wait(seconds * 20 * each)
        with self._arrivals.read() as connection:
            query = sa.select(consumer.arrival.c.delay).order_by(consumer.arrival.c.delay)
            return list(connection.execute(query).scalars())

    def _write(self, count: int) -> None:
        now = time.monotonic()
        data = DoubleValue(value=now)
        events = [
            NewEvent(type=TYPE, subject=f"things/{key}", contact=key, revision=1, occur_time=NOW, data=data)
            for key in (new_id() for _ in range(count))
        ]
        with self._db.transaction() as connection:
            append(connection, source.kit.outbox, events, record_time=NOW)

    def _wait(self, count: int) -> None:
        until = time.monotonic() + PATIENCE
        while (here := self._ask(sa.select(sa.func.count()).select_from(consumer.arrival))) < count:
            assert time.monotonic() < until, f"{here:,.0f} of {count:,} events came"
            threading.Event().wait(0.1)

    def _ask(self, query: sa.Select[tuple[float]]) -> float:
        with self._arrivals.read() as connection:
            return float(connection.execute(query).scalar_one())


@contextmanager
def _services(folder: Path, factory: DatabaseFactory, variables: Mapping[str, str]) -> Iterator[_Services]:
    folder.mkdir()
    tokens = create_tokens(folder / "tokens.json")
    urls = {"sales": factory("sales"), "contacts": factory("contacts")}
    base = free_base_port()
    settings = Settings(data_dir=folder, base_port=base)
    common = {
        **{key: value for key, value in os.environ.items() if not key.startswith("RAPPORT_")},
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "protos", ROOT / "protos" / "gen"))),
        "RAPPORT_DATA_DIR": str(folder),
        "RAPPORT_BASE_PORT": str(base),
        "RAPPORT_SECRET_KEY": "a secret of the benchmark only",
        "RAPPORT_LOG_LEVEL": "WARNING",
        **variables,
    }
    with ExitStack() as ends:
        databases = {}
        for service, models in (("sales", source), ("contacts", consumer)):
            engine = make_engine(urls[service])
            models.metadata.create_all(engine)
            databases[service] = Database(engine)
            ends.callback(databases[service].close)
        stream = Source("sales", urls["sales"], settings, kit=source.kit)
        ends.callback(stream.close)
        stream.start_server()
        for service, package in (("sales", "source"), ("contacts", "consumer")):
            environment = {
                **common,
                f"RAPPORT_{service.upper()}_DATABASE_URL": urls[service],
                "RAPPORT_TOKEN": tokens[service],
            }
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "services.kit.bus.launcher",
                    service,
                    "--package",
                    f"tests.bench.api.{package}",
                ],
                cwd=ROOT,
                env=environment,
            )
            ends.callback(_end, process)
            _until_ready(process, settings.metrics_port(service, "worker"))
        yield _Services(databases["sales"], databases["contacts"])


def _until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    ready = http_ok("127.0.0.1", port, "/healthz")
    until = time.monotonic() + PATIENCE
    while True:
        assert process.poll() is None, "a worker ended at once"
        assert time.monotonic() < until, "a worker does not become ready"
        try:
            if ready():
                return
        except OSError:
            pass
        threading.Event().wait(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(60)


def main() -> int:
    """Measure events alone: `python -m tests.bench.api.events`."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.api.events", description=main.__doc__)
    parser.add_argument("--events", type=int, default=100_000, help="written at once")
    parser.add_argument("--rate", type=int, default=2_000, help="events a second, for the delays")
    parser.add_argument("--seconds", type=int, default=20, help="how long at that rate")
    parser.add_argument("--output", type=Path, default=Path(".rapport/bench/events.json"))
    options = parser.parse_args()

    def say(text: str) -> None:
        print(text, flush=True)

    figures = measure(say, events=options.events, rate=options.rate, seconds=options.seconds)
    return finish(figures, options.output)


if __name__ == "__main__":
    sys.exit(main())
