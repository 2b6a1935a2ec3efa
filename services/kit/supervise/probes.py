"""Ways to ask a process: each returns a function, for `ProcessSpec.ready` or, as `…_answers`, for `alive`."""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Callable
from pathlib import Path

TIMEOUT_SECONDS = 2.0


def tcp(host: str, port: int) -> Callable[[], bool]:
    """Ready when something accepts connections on the port."""

    def probe() -> bool:
        try:
            socket.create_connection((host, port), timeout=TIMEOUT_SECONDS).close()
        except OSError:
            return False
        return True

    return probe


def http_ok(host: str, port: int, path: str = "/") -> Callable[[], bool]:
    """Ready when GET answers 200."""
    return lambda: _http_status(host, port, path) == 200


def http_answers(host: str, port: int, path: str = "/") -> Callable[[], bool]:
    """Alive when GET answers anything."""
    return lambda: _http_status(host, port, path) is not None


def grpc_health(host: str, port: int, service: str = "") -> Callable[[], bool]:
    """Ready when grpc.health.v1 says SERVING for the service, or for the whole server."""
    return lambda: _health(host, port, service) == "SERVING"


def grpc_answers(host: str, port: int) -> Callable[[], bool]:
    """Alive when grpc.health.v1 answers anything: one that is busy or stops is no reason to kill it."""
    return lambda: _health(host, port, "") is not None


def pid_file(path: Path) -> Callable[[], bool]:
    """Ready when the file holds the id of a process that lives; one left by a killed process does not count."""

    def probe() -> bool:
        try:
            pid = int(path.read_text())
            if pid > 0:
                os.kill(pid, 0)
        except (OSError, ValueError):
            return False
        return pid > 0

    return probe


def all_of(*probes: Callable[[], bool]) -> Callable[[], bool]:
    """Ready when all are."""
    return lambda: all(probe() for probe in probes)


def _http_status(host: str, port: int, path: str) -> int | None:
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _health(host: str, port: int, service: str) -> str | None:
    """Return what the server says of a service, or the code of its refusal; None when it does not answer."""
    if not tcp(host, port)():  # a channel would back off after its first failure, and answer late
        return None
    import grpc  # takes a quarter of a second, which other users of this module need not pay
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(f"{host}:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            request = health_pb2.HealthCheckRequest(service=service)
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            silent = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
            return None if error.code() in silent else str(error.code().name)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
