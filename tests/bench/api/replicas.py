"""Throughput with several replicas of the busiest process, and what saturates first.

A whole stack under a load of upserts and orders tells by CPU time which process is the busiest. Of that one there are
then more and more replicas, and the same load again: once with all the CPU of the machine, and once with so little of
it for each replica that the process is the limit and not the machine, as where each has cores of its own. The load
comes from processes of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
from rapport_client import Rapport, connect

from services.cli.demo import free_base_port
from services.cli.processes import process_name, replicated_address
from services.cli.stack import Stack
from services.kit.config import SERVICES, load_settings
from tests.bench.api.quota import limited
from tests.bench.report import Figure
from tests.support import rabbit
from tests.support.toy import ROOT

COUNTS = (1, 2, 4)
CLIENTS, THREADS = 2, 16
PATIENCE = 600.0
LIMITED_SECONDS = 30.0
"""How long one limited replica has to do."""
SPARE = 0.75
"""With the most replicas, each limited, the machine is to be so busy at the most as it is without limits."""
GAINS = {2: 0.67, 4: 0.45}
"""Time with so many limited replicas of an API beside the time with one; 0.5 and 0.25 would be all there is to gain.
A worker's replicas stand by for one another, so that nothing is gained by them."""
FULL_BUDGET = 1.5
"""More processes cannot make a machine faster that has no CPU left; much slower they must not make it."""


def measure(say: Callable[[str], None], *, writes: int = 6_000, process: str = "") -> list[Figure]:
    """Measure how long so many writes take until all their events had their effect, with 1, 2 and 4 replicas.

    process: of which, such as `campaign-worker`; the busiest if empty.
    """
    with _stack(max(COUNTS)) as (stack, broker):
        bench = _Bench(stack, broker, say)
        bench.run("warm", writes // 10)
        full = {1: bench.run("all CPU, one of each", writes)}
        bench.table(full[1])
        say(f"the busiest process is {full[1].busiest()}")
        chosen = process or full[1].busiest()
        # What one replica used when nothing held it back, shared among the most there will be.
        share = full[1].cpu[chosen] / full[1].seconds * SPARE / max(COUNTS)
        few = int(writes / full[1].seconds * SPARE / max(COUNTS) * LIMITED_SECONDS)
        say(f"of {chosen} there are more; where limited, each may use {share:.1%} of a core")
        service, role = chosen.split("-")
        part: dict[int, _Run] = {}
        for count in COUNTS:
            stack.add_replicas(service, role, count)
            if count > 1:
                full[count] = bench.run(f"all CPU, {count} of {chosen}", writes)
            pids = [bench.pid(process_name(service, role, number)) for number in range(count)]
            part[count] = bench.run(
                f"{share:.1%} of a core each, {count} of {chosen}", few, limited(pids, share)
            )
    title = f"a write to its last effect: {{}} of {chosen} beside one, {{}}"
    return [
        Figure(title.format(count, how), runs[count].each, runs[1].each, "ms", budget)
        for how, runs, budgets in (
            ("all CPU", full, dict.fromkeys(COUNTS, FULL_BUDGET)),
            (
                f"{share:.1%} of a core each",
                part,
                GAINS if role == "api" else dict.fromkeys(COUNTS, FULL_BUDGET),
            ),
        )
        for count, budget in budgets.items()
        if count > 1
    ]


@dataclass(frozen=True)
class _Run:
    """What a number of writes took: seconds until the last effect, CPU seconds of each kind of process."""

    writes: int
    seconds: float
    cpu: dict[str, float]

    @property
    def each(self) -> float:
        return self.seconds / self.writes * 1000

    @property
    def load(self) -> float:
        """Return how many cores were busy with it."""
        return sum(self.cpu.values()) / self.seconds

    def busiest(self) -> str:
        """Return the name of the process, API or worker, that spent the most CPU time."""
        replicable = [name for name in self.cpu if name.endswith(("-api", "-worker"))]
        return max(replicable, key=self.cpu.__getitem__)


@contextmanager
def _stack(most: int) -> Iterator[tuple[Stack, int]]:
    """Yield a stack with RabbitMQ that can be called at so many replicas, and the broker's process number."""
    limits = {
        "RAPPORT_CALLS_PER_SECOND": "0",
        "RAPPORT_BYTES_PER_SECOND": "0",
        "RAPPORT_LOG_LEVEL": "WARNING",
    }
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="rapport-bench-")))
        node = ends.enter_context(rabbit.own_node())
        base = free_base_port("127.0.0.1", most)
        settings = load_settings(
            data_dir=folder,
            base_port=base,
            amqp_url=node.url,
            # Replicas that are not there yet are passed over.
            address=replicated_address("127.0.0.1", most),
        )
        stack = Stack(
            settings, environment=limits, throwaway=True, postgres_settings={"max_connections": "400"}
        )
        ends.callback(stack.destroy_database)
        ends.enter_context(stack)
        stack.start()
        yield stack, node.pid or 0


class _Bench:
    def __init__(self, stack: Stack, broker: int, say: Callable[[str], None]) -> None:
        self._stack = stack
        self._rapport = stack.client()
        self._broker = broker
        self._say = say
        self._rapport.sales.batch_upsert_products(products=[{"code": "cup", "title": "Cup"}])
        rule = "events.order_placed.size() >= 1"
        made = self._rapport.segmentation.create_segment(segment_id="buyers", segment={"rule": rule})
        self._rapport.segmentation.wait_operation(made.rebuild, timeout=PATIENCE)

    def run(self, label: str, writes: int, limit: AbstractContextManager[None] | None = None) -> _Run:
        """Make writes, wait until nothing waits any more, and tell how fast it went and how busy the machine was."""
        clients = [self._client(f"{label}-{number}", writes // CLIENTS) for number in range(CLIENTS)]
        for client in clients:
            assert client.stdout is not None
            assert client.stdout.readline() == b"ready\n", "a client of the benchmark failed"
        with limit or nullcontext():
            before, began = self._cpu(clients), time.monotonic()
            idle = psutil.cpu_times().idle
            for client in clients:
                assert client.stdin is not None
                client.stdin.write(b"go\n")
                client.stdin.flush()
            for client in clients:
                assert client.stdout is not None
                assert client.stdout.readline() == b"done\n", "a client of the benchmark failed"
            answered = time.monotonic() - began
            until = time.monotonic() + PATIENCE
            while not self._level():
                assert time.monotonic() < until, "the events do not come to an end"
                threading.Event().wait(0.05)
            took = time.monotonic() - began
            idle = psutil.cpu_times().idle - idle
            after = self._cpu(clients)
        for client in clients:
            client.communicate()
        run = _Run(writes, took, {name: after[name] - before.get(name, 0.0) for name in after})
        cores = psutil.cpu_count() or 1
        self._say(
            f"{label}: {writes / answered:,.0f} writes a second answered, {writes / took:,.0f} to their last effect; "
            f"CPU of the machine {1 - idle / took / cores:.0%} busy, {run.load / cores:.0%} with this"
        )
        return run

    def pid(self, name: str) -> int:
        """Return the number of a process that runs."""
        found = self._stack.supervisor.pid(name)
        assert found, f"{name} does not run"
        return found

    def table(self, run: _Run) -> None:
        """Tell who spent the CPU time, and where the end of each process is: one of Python fills one core."""
        for name, spent in sorted(run.cpu.items(), key=lambda item: -item[1]):
            if spent >= 0.01 * run.seconds:
                each = spent / run.writes
                end = f", fills a core at {1 / each:,.0f} writes a second" if "-" in name else ""
                self._say(f"  {name}: {spent / run.seconds:.0%} of a core, {each * 1000:.2f} ms a write{end}")

    def _client(self, label: str, writes: int) -> subprocess.Popen[bytes]:
        access = self._stack.access
        assert access is not None
        words = [access.address, str(access.base_port), label.replace(" ", "-").replace(",", ""), str(writes)]
        client = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.api.replicas", *words],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert client.stdin is not None
        client.stdin.write(access.token.encode() + b"\n")
        client.stdin.flush()
        return client

    def _level(self) -> bool:
        for service in SERVICES:
            stream = self._rapport.events(service).get_stream()
            if stream.unpositioned_events or any(item.lag for item in stream.subscriptions):
                return False
        return True

    def _cpu(self, clients: Sequence[subprocess.Popen[bytes]]) -> dict[str, float]:
        """Return the CPU seconds so far of each kind of process, its replicas together."""
        found: dict[str, float] = {}
        for name in self._stack.supervisor.names():
            kind = "-".join(name.split("-")[:2])
            found[kind] = found.get(kind, 0.0) + _tree(self._stack.supervisor.pid(name))
        found["PostgreSQL"] = _tree(self._stack.database_pid)
        found["RabbitMQ"] = _tree(self._broker)
        found["clients"] = sum(_tree(client.pid) for client in clients)
        return found


def _tree(pid: int | None) -> float:
    """Return the CPU seconds of a process and its children, those that ended included."""
    total = 0.0
    try:
        process = psutil.Process(pid or 0)
        for one in (process, *process.children(recursive=True)):
            times = one.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    except psutil.NoSuchProcess:
        pass
    return total


def _write(rapport: Rapport, label: str, writes: int) -> None:
    """Upsert a contact and place an order of it, by turns, from several threads."""

    def work(thread: int) -> None:
        for number in range(thread, writes // 2, THREADS):
            key = f"{label}-{thread}-{number}"
            identity = {"type": "TYPE_EXTERNAL", "source": "bench", "value": key}
            contact = {"display_name": f"Person {key}", "identities": [identity]}
            name = rapport.contacts.upsert_contact(contact=contact).contact.name
            price = {"currency_code": "EUR", "units": 3}
            line = {"product_code": "cup", "quantity": "1", "unit_price": price}
            rapport.sales.place_order(
                order={
                    "contact": name,
                    "source": "bench",
                    "external_id": key,
                    "order_time": datetime.now(UTC),
                    "lines": [line],
                }
            )

    with ThreadPoolExecutor(THREADS) as pool:
        # All at once; the first failure is the client's.
        list(pool.map(work, range(THREADS)))


def main() -> int:
    """Be a client of the benchmark that reads the token and when to begin from stdin."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.api.replicas", description=main.__doc__)
    parser.add_argument("address")
    parser.add_argument("base_port", type=int)
    parser.add_argument("label")
    parser.add_argument("writes", type=int)
    options = parser.parse_args()
    with connect(options.address, sys.stdin.readline().strip(), base_port=options.base_port) as rapport:
        rapport.contacts.count_contacts()
        print("ready", flush=True)
        sys.stdin.readline()
        _write(rapport, options.label, options.writes)
        print("done", flush=True)
        # Its CPU time is read before it ends.
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
