"""The stack of a chaos run: two or more replicas of every process, RabbitMQ and PostgreSQL, each behind proxies."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
from sqlalchemy.engine import make_url

from services.cli.demo import free_base_port
from services.cli.processes import process_name, replicas_of
from services.cli.stack import EXTENSIONS, PLUGIN_SERVICES, Stack
from services.kit.bus.amqp.topology import PUBLISHER
from services.kit.config import REPLICA_PORT_OFFSET, SERVICES, load_settings
from services.kit.locks import lock_key
from services.kit.postgres import EmbeddedPostgres, libpq_url, provision
from services.kit.supervise.events import Event
from tests.chaos.stack.faults import Fault
from tests.chaos.stack.proxy import Link, Network
from tests.chaos.stack.tally import processes as tally
from tests.support import rabbit
from tests.support.memory import memory_folder
from tests.support.rabbit import Node

# Processes die here, the machine does not: what was written is there, whether or not it has reached a disk.
_POSTGRES = {"fsync": "off", "max_connections": "500", "log_min_duration_statement": "-1"}
_PREFIX = "chaos"
_HANDS = 8
"""Faults that last at the same time, at the most."""

PATIENCE_SECONDS = 5.0
"""How long a fault waits for its victim, if that is away for another fault."""


class Scene:
    """A running stack, and what may be done to it."""

    def __init__(
        self,
        stack: Stack,
        server: EmbeddedPostgres,
        node: Node,
        urls: dict[str, str],
        links: dict[str, list[Link]],
        hands: Executor,
    ) -> None:
        """urls: of the services' databases, past the proxies; links: by what is at their end; hands: strike."""
        self.stack = stack
        self.server = server
        self.node = node
        self.urls = urls
        self._links = links
        self._hands = hands
        self._one_at_a_time = {name: threading.Lock() for name in ("PostgreSQL", "RabbitMQ")}

    def strike(self, fault: Fault, wait: Callable[[float], object]) -> Future[bool]:
        """Do what a fault says, wait as long as it says, and undo it; returns at once what tells of the end.

        That is whether it struck: another fault may have its victim just then, for longer than one waits for it.
        """
        return self._hands.submit(self._strike, fault, wait)

    def _strike(self, fault: Fault, wait: Callable[[float], object]) -> bool:
        match fault.action, fault.part:
            case "kill", "relay":
                return self._end_relay(fault.victim, wait)
            case "cut", part:
                self._cut(
                    fault, self._links[fault.victim if part == "api" else f"{part} {fault.victim}"], wait
                )
            case action, ("RabbitMQ" | "PostgreSQL") as part:
                with self._one_at_a_time[part]:
                    self._strike_store(action, part, fault.seconds, wait)
            case action, _:
                supervisor = self.stack.supervisor
                pid = supervisor.pid(fault.victim)
                if pid is None and supervisor.wait_ready(fault.victim, PATIENCE_SECONDS):
                    pid = supervisor.pid(fault.victim)
                if pid is None:
                    return False
                if action == "kill":
                    supervisor.hold(fault.victim)
                    wait(fault.seconds)
                    supervisor.release(fault.victim)
                elif action == "restart":
                    self._signal(pid, signal.SIGTERM)
                else:
                    with self._stopped(pid):
                        wait(fault.seconds)
        return True

    def ask(self, service: str, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query in a service's database, past all that was cut."""
        with psycopg.connect(libpq_url(self.urls[service]), connect_timeout=10) as connection:
            return connection.execute(sql.encode()).fetchall()

    def publish_again(self, service: str) -> None:
        """Make a service publish all its events anew, as if nobody knew which ones the broker has taken."""
        self.ask(
            service,
            "WITH again AS (UPDATE subscription SET position = 0 "
            f"WHERE name = '{PUBLISHER}' RETURNING position) "
            f"SELECT pg_terminate_backend(pid) FROM again, pg_locks WHERE {_holds('publisher')}",
        )

    def heal(self) -> None:
        """Undo all cuts; everything else undoes itself."""
        for links in self._links.values():
            for link in links:
                link.heal()

    def processes(self) -> list[psutil.Process]:
        """Return what runs of the stack itself."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                mine = process.environ().get("RAPPORT_DATA_DIR") == str(self.stack.folder)
                if mine and process.status() != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
                    found.append(process)
        return found

    def _cut(self, fault: Fault, links: Sequence[Link], wait: Callable[[float], object]) -> None:
        for link in links:
            (link.break_ if fault.broken else link.silence)()
        try:
            wait(fault.seconds)
        finally:
            for link in links:
                link.heal()

    def _strike_store(self, action: str, part: str, seconds: float, wait: Callable[[float], object]) -> None:
        pid = self.server.pid if part == "PostgreSQL" else self.node.pid
        if action == "pause":
            with self._stopped(pid):
                wait(seconds)
            return
        if part == "RabbitMQ":
            self.node.kill()
            wait(seconds)
            self.node.start()
            return
        for process in _family(pid):
            self._signal(process.pid, signal.SIGKILL)
        psutil.wait_procs(_family(pid), timeout=30)
        wait(seconds)
        self.server.start()

    def _end_relay(self, service: str, wait: Callable[[float], object]) -> bool:
        query = f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE {_holds('relay')}"
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            with suppress(psycopg.Error):  # there may be no database just now, and so no relay
                if (True,) in self.ask(service, query):
                    return True
            if time.monotonic() > until:
                return False
            wait(0.1)

    @contextmanager
    def _stopped(self, pid: int | None) -> Iterator[None]:
        """Keep a process and its children from running for the block."""
        family = _family(pid)
        for process in family:
            self._signal(process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in reversed(family):
                if process.is_running():
                    self._signal(process.pid, signal.SIGCONT)

    @staticmethod
    def _signal(pid: int | None, number: int) -> None:
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def _holds(lock: str) -> str:
    """Return the condition on the row of pg_locks of whoever holds a lock in this database."""
    key = lock_key(lock)
    # As pg_locks shows the two halves of a key of 64 bits.
    high, low = (key >> 32) & 0xFFFFFFFF, key & 0xFFFFFFFF
    return (
        f"locktype = 'advisory' AND granted AND classid = {high} AND objid = {low} AND objsubid = 1 "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )


def _family(pid: int | None) -> list[psutil.Process]:
    if pid is None:
        return []
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


@contextmanager
def open_scene(
    folder: Path, replicas: int, on_event: Callable[[Event], None] = lambda event: None
) -> Iterator[Scene]:
    """Give a running stack with so many replicas; its logs are left in the folder.

    Each API replica has links of its own, through which clients and the other services reach it; each service has one
    to its database, and all share one to RabbitMQ.
    """
    with ExitStack() as ends:
        # Before the broker, which dies with the thread that starts it again.
        hands = ends.enter_context(ThreadPoolExecutor(_HANDS, thread_name_prefix="fault"))
        network = ends.enter_context(Network())
        memory = ends.enter_context(memory_folder())
        (port,) = rabbit.free_ports(1)
        root = memory or folder
        place = {"root": root} if memory is not None else {}
        server = EmbeddedPostgres(
            folder / "postgres" if os.geteuid() == 0 else root / "postgres",
            port=port,
            settings=_POSTGRES,
            throwaway=True,
            **place,
        )
        ends.callback(server.destroy)
        server.start()
        node = ends.enter_context(rabbit.own_node())
        direct = provision(
            server.admin_url,
            (*SERVICES, tally.NAME),
            prefix=_PREFIX,
            extensions=EXTENSIONS,
            plugin_services=PLUGIN_SERVICES,
        )
        tally.create_tables(direct[tally.NAME])
        links: dict[str, list[Link]] = {
            "RabbitMQ RabbitMQ": [network.link("RabbitMQ", ("127.0.0.1", node.port))]
        }
        urls = {}
        for service in (*SERVICES, tally.NAME):
            link = network.link(service, ("127.0.0.1", port))
            links[f"PostgreSQL {service}"] = [link]
            url = make_url(direct[service]).set(host="127.0.0.1", port=link.port, query={})
            urls[f"{service}_database_url"] = url.render_as_string(hide_password=False)
        tally_url = urls.pop(f"{tally.NAME}_database_url")
        base = free_base_port("127.0.0.1", 2 * replicas)
        beyond = [REPLICA_PORT_OFFSET * (replicas + number) for number in range(replicas)]
        address = ",".join(f"127.0.0.1:{{port+{offset}}}" for offset in beyond)
        settings = load_settings(
            data_dir=folder / "stack",
            base_port=base,
            address=address,
            events_address=address,
            secret_key="not-a-secret-in-a-test",
            amqp_url=f"amqp://guest:guest@127.0.0.1:{links['RabbitMQ RabbitMQ'][0].port}/",
            shutdown_grace_seconds=5.0,
            **urls,
        )
        for one, offset in zip(replicas_of(settings, replicas), beyond, strict=True):
            for service in SERVICES:
                links[process_name(service, "api", one.replica)] = [
                    network.link(
                        service, ("127.0.0.1", own), settings.base_port + offset + own - one.own_base_port
                    )
                    for own in (one.port(service), one.events_port(service))
                ]
        stack = ends.enter_context(Stack(settings, on_event=on_event, replicas=replicas))
        stack.start()
        assert stack._grants is not None
        stack.supervisor.start(
            tally.specs(stack.settings, stack._grants, tally_url, replicas, first=replicas)
        )
        yield Scene(stack, server, node, direct, links, hands)
