"""Throughput with several replicas of the busiest process, and what saturates first.

A whole stack under a load of upserts and orders tells by CPU time which process is the busiest. Of that one there are
then more and more replicas, and the same load again. The load comes from processes of its own, so that no client is the
limit before the machine is.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import psutil
from rapport_client import Rapport, connect

from services.cli.demo import free_base_port
from services.cli.processes import replicated_address
from services.cli.stack import Stack
from services.kit.config import SERVICES, load_settings
from tests.bench.report import Figure
from tests.support import rabbit
from tests.support.toy import ROOT

COUNTS = (1, 2, 4)
CLIENTS, THREADS = 2, 6
PATIENCE = 600.0


def measure(say: Callable[[str], None], *, writes: int = 6_000) -> list[Figure]:
    """Measure how long so many writes take until all their events had their effect, with 1, 2 and 4 replicas."""
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="rapport-bench-")))
        node = ends.enter_context(rabbit.own_node())
        most = max(COUNTS)
        settings = load_settings(
            data_dir=folder,
            base_port=free_base_port("127.0.0.1", most),
            amqp_url=node.url,
            calls_per_second=0.0,
            bytes_per_second=0.0,
            log_level="WARNING",
        )
        limits = {
            "RAPPORT_CALLS_PER_SECOND": "0",
            "RAPPORT_BYTES_PER_SECOND": "0",
            "RAPPORT_LOG_LEVEL": "WARNING",
        }
        stack = ends.enter_context(
            Stack(settings, environment=limits, throwaway=True, postgres_settings={"max_connections": "400"})
        )
        ends.callback(stack.destroy_database)
        access = stack.start()
        # Those that are not there yet are passed over by the clients.
        address = replicated_address(settings.host, most)
        rapport = ends.enter_context(connect(address, access.token, base_port=settings.base_port))
        rapport.sales.batch_upsert_products(products=[{"code": "cup", "title": "Cup"}])
        made = rapport.segmentation.create_segment(
            segment_id="buyers", segment={"rule": "events.order_placed.size() >= 1"}
        )
        rapport.segmentation.wait_operation(made.rebuild, timeout=PATIENCE)
        bench = _Bench(stack, rapport, address, node.pid, say)
        bench.run("warm", writes // 10)
        took = {1: bench.run("1", writes)}
        service, role = bench.busiest()
        for count in COUNTS[1:]:
            stack.add_replicas(service, role, count)
            took[count] = bench.run(str(count), writes)
    return [
        Figure(
            f"{writes:,} writes to their last effect, {count} replicas of {service}'s {role} beside one",
            took[count],
            took[1],
            "s",
            # More processes cannot make a machine faster that has no CPU left; much slower they must not make it.
            1.25,
        )
        for count in COUNTS[1:]
    ]


class _Bench:
    def __init__(
        self, stack: Stack, rapport: Rapport, address: str, broker: int | None, say: Callable[[str], None]
    ) -> None:
        self._stack = stack
        self._rapport = rapport
        self._address = address
        self._broker = broker
        self._say = say
        self._spent: dict[str, float] = {}

    def run(self, label: str, writes: int) -> float:
        """Make writes and return the seconds until nothing waits any more; tells who spent the CPU time."""
        before, began = self._cpu(), time.monotonic()
        clients = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.bench.api.replicas",
                    self._address,
                    str(self._stack.settings.base_port),
                    f"{label}-{number}",
                    str(writes // CLIENTS),
                ],
                cwd=ROOT,
                stdin=subprocess.PIPE,
            )
            for number in range(CLIENTS)
        ]
        assert self._stack.access is not None
        own = 0.0
        for client in clients:
            assert client.stdin is not None
            client.stdin.write(self._stack.access.token.encode() + b"\n")
            client.stdin.close()
        for client in clients:
            own += _wait(client)
        answered = time.monotonic() - began
        until = time.monotonic() + PATIENCE
        while not self._level():
            assert time.monotonic() < until, "the events do not come to an end"
            threading.Event().wait(0.05)
        took = time.monotonic() - began
        after = self._cpu()
        spent = {name: after[name] - before.get(name, 0.0) for name in after}
        self._spent = {name: value for name, value in spent.items() if name.endswith(("-api", "-worker"))}
        spent["clients"] = own
        cores = psutil.cpu_count() or 1
        top = sorted(spent.items(), key=lambda item: -item[1])[:7]
        self._say(
            f"{label} replicas: {writes / answered:,.0f} writes a second answered, {writes / took:,.0f} to their last "
            f"effect; CPU {sum(spent.values()) / took:.2f} of {cores} cores: "
            + ", ".join(f"{name} {value / took:.0%}" for name, value in top)
        )
        return took

    def busiest(self) -> tuple[str, str]:
        """Return service and role of the process that spent the most CPU time in the last run."""
        service, _, role = max(self._spent, key=lambda name: self._spent[name]).partition("-")
        self._say(f"the busiest process is {service}'s {role}")
        return service, role

    def _level(self) -> bool:
        for service in SERVICES:
            stream = self._rapport.events(service).get_stream()
            if stream.unpositioned_events or any(item.lag for item in stream.subscriptions):
                return False
        return True

    def _cpu(self) -> dict[str, float]:
        """Return the CPU seconds so far of each process of the stack, its replicas together."""
        found: dict[str, float] = {}
        for name in self._stack.supervisor.names():
            pid = self._stack.supervisor.pid(name)
            kind = "-".join(name.split("-")[:2])
            found[kind] = found.get(kind, 0.0) + (_tree(pid) if pid else 0.0)
        found["PostgreSQL"] = _tree(self._stack.database_pid or 0)
        found["RabbitMQ"] = _tree(self._broker or 0)
        return found


def _tree(pid: int) -> float:
    """Return the CPU seconds of a process and its children, those that ended included."""
    total = 0.0
    try:
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            times = one.cpu_times()
            total += times.user + times.system
        times = process.cpu_times()
        return total + times.children_user + times.children_system
    except psutil.NoSuchProcess:
        return total


def _wait(client: subprocess.Popen[bytes]) -> float:
    """Wait for a client and return the CPU seconds that it spent."""
    watched, spent = psutil.Process(client.pid), 0.0
    while client.poll() is None:
        try:
            times = watched.cpu_times()
            spent = times.user + times.system
        except psutil.NoSuchProcess:
            break
        threading.Event().wait(0.1)
    assert client.wait() == 0, "a client of the benchmark failed"
    return spent


def _write(rapport: Rapport, label: str, writes: int) -> None:
    """Upsert a contact and place an order of it, by turns, from several threads."""

    def work(thread: int) -> None:
        for number in range(writes // THREADS // 2):
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

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> int:
    """Be a client of the benchmark: address, base port, label and number of writes; the token comes on stdin."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.api.replicas", description=main.__doc__)
    parser.add_argument("address")
    parser.add_argument("base_port", type=int)
    parser.add_argument("label")
    parser.add_argument("writes", type=int)
    options = parser.parse_args()
    token = sys.stdin.readline().strip()
    with connect(options.address, token, base_port=options.base_port) as rapport:
        _write(rapport, options.label, options.writes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
