"""What the kit adds to a Get: token, permission, limits, validation, trace, log, metrics, checked connection.

The ceiling is the same handler on a bare grpcio server with an engine of SQLAlchemy's defaults. It is measured in turns
with the guarded one, which is asked with a token of the tokens file and with a signed one, as CPU of the server's
process. Beside them stands one that records a span for every call and sends it to a collector, ten times as many as by
default.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import psutil
import sqlalchemy as sa
from rapport.operations.v1 import operations_pb2, operations_pb2_grpc

from services.kit import log
from services.kit.access.authenticator import Authenticator
from services.kit.access.limits import Limits
from services.kit.access.oidc import OidcSettings, OidcVerifier
from services.kit.access.roles import Roles
from services.kit.auth import TokenStore, add_tokens
from services.kit.config import load_settings
from services.kit.db import Database, make_engine, new_metadata
from services.kit.grpc.server import ApiServer
from services.kit.names import format_name, new_id, parse_name
from services.kit.telemetry.export import recording
from tests.bench.report import Figure
from tests.support.collector import collecting
from tests.support.identity import AUDIENCE, provider
from tests.support.postgres import DatabaseFactory, shared_server

TOKEN = "bench-token"
BUDGET = 1.4
RECORDED_BUDGET = 2.5
"""Of the one that records everything, which nobody is advised to do."""
METADATA = (
    ("x-request-id", "0190a5dcac96774bbcceb302099a8057"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
)
metadata = new_metadata()
# As wide as a contact with its identities.
thing = sa.Table(
    "bench_thing",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    *(sa.Column(f"column_{number}", sa.Text, nullable=False) for number in range(12)),
    sa.Column("tags", sa.ARRAY(sa.Text), nullable=False),
    sa.Column(
        "create_time", sa.DateTime(timezone=True), server_default=sa.text("'2026-01-01'"), nullable=False
    ),
)
SELECT = sa.select(thing).where(thing.c.id == sa.bindparam("key"))


class Things(operations_pb2_grpc.OperationServiceServicer):
    """Read one row by its key, as GetContact does."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def GetOperation(self, request: Any, context: Any) -> Any:
        key = parse_name(request.name, "operations")
        with self._db.read() as connection:
            row = connection.execute(SELECT, {"key": key}).one()
        operation = operations_pb2.Operation(name=format_name("operations", row.id), kind=row.column_0)
        operation.progress.stage = row.column_1
        operation.progress.unit = " ".join(row.tags)
        operation.create_time.FromDatetime(row.create_time)
        return operations_pb2.GetOperationResponse(operation=operation)


def serve(kind: str, url: str, collector: str) -> None:
    """Serve in this process until standard input closes; prints the port."""
    recorded = ExitStack()
    token = TOKEN
    engine = sa.create_engine(url, pool_size=16) if kind == "bare" else make_engine(url, pool_size=16)
    servicer = Things(Database(engine))
    if kind == "bare":
        server = grpc.server(futures.ThreadPoolExecutor(16))
        operations_pb2_grpc.add_OperationServiceServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
    else:
        log.configure("INFO", "json", service="bench", role="api")
        folder = Path(tempfile.mkdtemp())
        add_tokens(folder / "tokens.json", [("bench", ("operations.read",), TOKEN)])
        (folder / "roles.json").write_text('{"bench": ["operations.read:all"]}')
        with provider() as idp:
            token = idp.token(roles=["bench"]) if kind == "signed" else TOKEN
            roles = Roles(folder / "roles.json")
            oidc = OidcVerifier(OidcSettings(issuer=idp.issuer, audience=(AUDIENCE,)), roles)
            oidc.jwks.key("one")
        guarded = ApiServer(
            "127.0.0.1:0",
            Authenticator(TokenStore(folder / "tokens.json", roles), roles=roles, oidc=oidc),
            threads=16,
            limits=Limits(
                calls_per_second=1e6, burst_calls=1000, bytes_per_second=1e9, refused_per_second=20
            ),
        )
        guarded.add(
            lambda registry: operations_pb2_grpc.add_OperationServiceServicer_to_server(servicer, registry)
        )
        port = guarded.start()
        if collector:
            recorded.enter_context(
                recording(load_settings(otlp_endpoint=collector, trace_ratio=1.0), "bench", "api")
            )
    print(json.dumps({"port": port, "token": token}), flush=True)
    with recorded:
        sys.stdin.read()


@contextmanager
def server(kind: str, url: str, collector: str = "") -> Iterator[tuple[psutil.Process, Any, str]]:
    """Run a server process; yields the process, a stub and a token. collector: where it sends spans, "" for nowhere."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.bench.api.guard",
            kind,
            url,
            collector,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    try:
        with grpc.insecure_channel(f"127.0.0.1:{told['port']}") as channel:
            stub = operations_pb2_grpc.OperationServiceStub(channel)
            yield psutil.Process(process.pid), stub, told["token"]
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(10)


def ask(process: psutil.Process, stub: Any, token: str, names: list[str], calls: int) -> float:
    """Return microseconds of server CPU a call."""
    metadata = (("authorization", f"Bearer {token}"), *METADATA)
    before = process.cpu_times()
    for number in range(calls):
        stub.GetOperation(
            operations_pb2.GetOperationRequest(name=names[number % len(names)]), metadata=metadata
        )
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / calls * 1e6


def measure(say: Callable[[str], None], *, calls: int = 3000, rounds: int = 5) -> list[Figure]:
    """Measure the servers in turns; calls: of each in a round."""
    with tempfile.TemporaryDirectory() as folder, shared_server(Path(folder)) as admin:
        databases = DatabaseFactory(admin)
        try:
            costs, spans = _costs(databases("bench"), calls, rounds)
        finally:
            databases.close()
    medians = {kind: statistics.median(found) for kind, found in costs.items()}
    listed = ", ".join(f"{kind} {cost:.0f} us" for kind, cost in medians.items())
    say(f"a Get of one row: {listed} of server CPU; {spans:,} spans arrived")
    assert spans, "nothing was recorded"
    return [
        Figure(f"what the kit adds to a Get, {how}", medians[kind], medians["bare"], "us of CPU", budget)
        for kind, how, budget in (
            ("guarded", "token of the file", BUDGET),
            ("signed", "signed token", BUDGET),
            ("recorded", "with a span for each", RECORDED_BUDGET),
        )
    ]


def _costs(url: str, calls: int, rounds: int) -> tuple[dict[str, list[float]], int]:
    """Return the cost of a call in each round, by server, and how many spans arrived."""
    engine = make_engine(url)
    metadata.create_all(engine)
    ids: list[UUID] = [new_id() for _ in range(1000)]
    with engine.begin() as connection:
        values = {f"column_{number}": f"value {number}" for number in range(12)} | {"tags": ["vip", "an"]}
        connection.execute(sa.insert(thing), [{"id": key, **values} for key in ids])
    engine.dispose()
    names = [format_name("operations", key) for key in ids]
    costs: dict[str, list[float]] = {kind: [] for kind in ("bare", "guarded", "signed", "recorded")}
    with ExitStack() as stack:
        collector = stack.enter_context(collecting())
        sides = {kind: stack.enter_context(server(kind, url)) for kind in ("bare", "guarded", "signed")}
        sides["recorded"] = stack.enter_context(server("guarded", url, collector.url))
        for process, stub, token in sides.values():
            ask(process, stub, token, names, 300)
        for _ in range(rounds):
            for kind, (process, stub, token) in sides.items():
                costs[kind].append(ask(process, stub, token, names, calls))
    return costs, len(collector.spans)


if __name__ == "__main__":
    serve(*sys.argv[1:4])
