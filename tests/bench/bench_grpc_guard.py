"""Measure what the kit adds to a Get: token, permission, limits, validation, trace, log, metrics, checked connection.

The ceiling is the same handler on a bare grpcio server with an engine of SQLAlchemy's defaults. It is measured in turns
with the guarded one, which is asked with a token of the tokens file and with a signed one, as CPU of the server's
process; the budget of each ratio is 1.4. Beside them stands one that records a span for every call and sends it to a
collector, ten times as many as by default.

Run it as `python -m tests.bench.bench_grpc_guard [--calls 3000] [--rounds 5] [--url postgresql+psycopg://…]`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
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
from tests.support.collector import collecting
from tests.support.identity import AUDIENCE, provider

TOKEN = "bench-token"
BUDGET = 1.4
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
            "tests.bench.bench_grpc_guard",
            "--serve",
            kind,
            "--url",
            url,
            "--collector",
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


def measure(process: psutil.Process, stub: Any, token: str, names: list[str], calls: int) -> float:
    """Return microseconds of server CPU a call."""
    metadata = (("authorization", f"Bearer {token}"), *METADATA)
    before = process.cpu_times()
    for number in range(calls):
        stub.GetOperation(
            operations_pb2.GetOperationRequest(name=names[number % len(names)]), metadata=metadata
        )
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / calls * 1e6


def run(url: str, calls: int, rounds: int) -> float:
    """Print the cost of the servers, measured in turns, and return the greater ratio of a guarded one to the bare."""
    engine = make_engine(url)
    metadata.drop_all(engine)
    metadata.create_all(engine)
    ids: list[UUID] = [new_id() for _ in range(1000)]
    with engine.begin() as connection:
        values = {f"column_{number}": f"value {number}" for number in range(12)} | {"tags": ["vip", "an"]}
        connection.execute(sa.insert(thing), [{"id": key, **values} for key in ids])
    names = [format_name("operations", key) for key in ids]
    costs: dict[str, list[float]] = {kind: [] for kind in ("bare", "guarded", "signed", "recorded")}
    with ExitStack() as stack:
        collector = stack.enter_context(collecting())
        sides = {kind: stack.enter_context(server(kind, url)) for kind in ("bare", "guarded", "signed")}
        sides["recorded"] = stack.enter_context(server("guarded", url, collector.url))
        for process, stub, token in sides.values():
            measure(process, stub, token, names, 300)
        for _ in range(rounds):
            for kind, (process, stub, token) in sides.items():
                costs[kind].append(measure(process, stub, token, names, calls))
    metadata.drop_all(engine)
    engine.dispose()
    medians = {kind: statistics.median(found) for kind, found in costs.items()}
    for kind in ("guarded", "signed", "recorded"):
        print(
            f"bare {medians['bare']:.0f} µs, {kind} {medians[kind]:.0f} µs of server CPU a call; "
            f"ratio {medians[kind] / medians['bare']:.2f} (budget {BUDGET})"
        )
    print(f"{len(collector.spans)} spans arrived")
    return max(medians[kind] for kind in ("guarded", "signed")) / medians["bare"]


def main() -> None:
    """Run against a given database, or against an embedded server started for the purpose."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--url", default="")
    parser.add_argument("--serve", choices=("bare", "guarded", "signed"), help=argparse.SUPPRESS)
    parser.add_argument("--collector", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.url, options.collector)
    elif options.url:
        run(options.url, options.calls, options.rounds)
    else:
        from tests.support.postgres import DatabaseFactory, shared_server

        with tempfile.TemporaryDirectory() as folder, shared_server(Path(folder)) as admin_url:
            databases = DatabaseFactory(admin_url)
            try:
                run(databases("bench"), options.calls, options.rounds)
            finally:
                databases.close()


if __name__ == "__main__":
    main()
