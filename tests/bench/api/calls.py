"""Calls of contacts: server CPU and waiting time, beside the barest handlers over the same tables.

Both are processes of their own on one database, asked in turns by one client on one connection. The ceiling leaves out
what a caller of a real API relies on: token, permission, limits, validation, normalisation, typed errors, log, metrics,
and everything that keeps two writers apart.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psutil
from rapport.contacts.v1 import contacts_pb2 as pb
from rapport.contacts.v1 import contacts_pb2_grpc

from services.kit.auth import add_tokens, new_token
from services.kit.config import Settings
from services.kit.supervise.probes import http_ok
from tests.bench.report import Figure
from tests.support.postgres import DatabaseFactory, shared_server
from tests.support.schema import create_schema
from tests.support.toy import ROOT, free_base_port

BATCH = 100
PATIENCE = 60.0
GET_BUDGET = 1.4
"""Of GetContact, the design's; the others are told beside their ceiling so that a change for the worse is seen."""
BUDGETS = {"GetContact": GET_BUDGET, "BatchGetContacts": 2.0, "ListContacts": 2.0, "UpsertContact": 3.0}
BUDGETS["BatchUpsertContacts"] = 3.0
NAMES = ("An", "Bình", "Chi", "Dũng", "Linh", "伟", "芳", "James", "Mary", "Olivia")


@dataclass
class Side:
    """A server with a stub to call it, and what its calls cost so far."""

    process: psutil.Process
    stub: Any
    metadata: Sequence[tuple[str, str]] = ()
    cpu: dict[str, list[float]] = field(default_factory=dict)
    waits: dict[str, list[float]] = field(default_factory=dict)


def measure(
    say: Callable[[str], None], *, contacts: int = 10_000, calls: int = 2_000, rounds: int = 5
) -> list[Figure]:
    """Measure the five calls on so many contacts; calls: of each kind and round, batches a twentieth of them."""
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="rapport-bench-")))
        factory = DatabaseFactory(ends.enter_context(shared_server(folder)))
        ends.callback(factory.close)
        url = factory("contacts")
        create_schema("contacts", url)
        sides = {
            "bare": ends.enter_context(_bare(url)),
            "ours": ends.enter_context(_real(folder / "ours", url)),
        }
        names = _fill(sides["ours"], contacts)
        say(f"{contacts:,} contacts written by BatchUpsertContacts")
        draw = random.Random(11)
        for turn in range(-1, rounds):
            for kind, make in _requests(names, draw).items():
                for side in sides.values():
                    _ask(
                        side,
                        kind,
                        make,
                        max(1, calls // (20 if "Batch" in kind or "List" in kind else 1)),
                        turn >= 0,
                    )
    figures = []
    for kind, budget in BUDGETS.items():
        ours, bare = (statistics.median(sides[name].cpu[kind]) for name in ("ours", "bare"))
        waits = {name: statistics.quantiles(side.waits[kind], n=100) for name, side in sides.items()}
        say(
            f"{kind}: {ours:.0f} us of server CPU, bare {bare:.0f}; p50 {waits['ours'][49]:.2f} ms, bare "
            f"{waits['bare'][49]:.2f}; p99 {waits['ours'][98]:.2f} ms, bare {waits['bare'][98]:.2f}"
        )
        figures.append(Figure(f"{kind}, server CPU", ours, bare, "us", budget))
        for name, place in (("p50", 49), ("p99", 98)):
            # Waiting is the machine's as well: it is told, and must not be many times the ceiling's.
            figures.append(Figure(f"{kind}, {name}", waits["ours"][place], waits["bare"][place], "ms", 4.0))
    return figures


def _requests(names: Sequence[str], draw: random.Random) -> Mapping[str, Callable[[], Any]]:
    return {
        "GetContact": lambda: pb.GetContactRequest(name=draw.choice(names)),
        "BatchGetContacts": lambda: pb.BatchGetContactsRequest(names=draw.sample(names, BATCH)),
        "ListContacts": lambda: pb.ListContactsRequest(page_size=BATCH),
        "UpsertContact": lambda: pb.UpsertContactRequest(contact=_person(draw.randrange(len(names)), draw)),
        "BatchUpsertContacts": lambda: pb.BatchUpsertContactsRequest(
            contacts=[_person(number, draw) for number in draw.sample(range(len(names)), BATCH)]
        ),
    }


def _person(number: int, draw: random.Random) -> pb.Contact:
    return pb.Contact(
        given_name=draw.choice(NAMES),
        family_name=f"Nguyễn {draw.randrange(1000)}",
        language_code="vi",
        identities=[pb.Identity(type=pb.Identity.TYPE_EMAIL, value=f"person.{number}@example.test")],
    )


def _fill(side: Side, count: int) -> list[str]:
    draw = random.Random(3)
    names: list[str] = []
    for start in range(0, count, 500):
        people = [_person(number, draw) for number in range(start, min(start + 500, count))]
        answer = side.stub.BatchUpsertContacts(
            pb.BatchUpsertContactsRequest(contacts=people), metadata=side.metadata, timeout=60
        )
        names += [result.name for result in answer.results]
    return names


def _ask(side: Side, kind: str, make: Callable[[], Any], calls: int, counted: bool) -> None:
    call = getattr(side.stub, kind)
    waits = []
    before = side.process.cpu_times()
    for _ in range(calls):
        request = make()
        start = time.perf_counter()
        call(request, metadata=side.metadata, timeout=30)
        waits.append((time.perf_counter() - start) * 1e3)
    after = side.process.cpu_times()
    if counted:
        spent = after.user + after.system - before.user - before.system
        side.cpu.setdefault(kind, []).append(spent / calls * 1e6)
        side.waits.setdefault(kind, []).extend(waits)


@contextmanager
def _bare(url: str) -> Iterator[Side]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.api.bare", url],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = json.loads(process.stdout.readline())["port"]
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Side(psutil.Process(process.pid), contacts_pb2_grpc.ContactServiceStub(channel))
    finally:
        process.stdin.close()
        process.wait(10)


@contextmanager
def _real(folder: Path, url: str) -> Iterator[Side]:
    folder.mkdir()
    token = new_token()
    add_tokens(folder / "tokens.json", [("owner", ("*",), token)])
    settings = Settings(data_dir=folder, base_port=free_base_port())
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("RAPPORT_")},
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "protos", ROOT / "protos" / "gen"))),
        "RAPPORT_DATA_DIR": str(folder),
        "RAPPORT_BASE_PORT": str(settings.base_port),
        "RAPPORT_SECRET_KEY": "a secret of the benchmark only",
        "RAPPORT_CONTACTS_DATABASE_URL": url,
        # Calls are made as fast as they are answered, by one caller.
        "RAPPORT_CALLS_PER_SECOND": "0",
        "RAPPORT_BYTES_PER_SECOND": "0",
    }
    with (folder / "api.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.kit.process", "contacts"],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            _await_ready(process, settings.metrics_port("contacts", "api"), folder / "api.log")
            with grpc.insecure_channel(f"127.0.0.1:{settings.port('contacts')}") as channel:
                stub = contacts_pb2_grpc.ContactServiceStub(channel)
                yield Side(psutil.Process(process.pid), stub, (("authorization", f"Bearer {token}"),))
        finally:
            process.terminate()
            process.wait(30)


def _await_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    ready = http_ok("127.0.0.1", port, "/healthz")
    until = time.monotonic() + PATIENCE
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"contacts' API ended at once:\n{log.read_text()[-2000:]}")
        if time.monotonic() > until:
            raise RuntimeError(f"contacts' API does not become ready:\n{log.read_text()[-2000:]}")
        try:
            if ready():
                return
        except OSError:
            pass
        threading.Event().wait(0.1)
