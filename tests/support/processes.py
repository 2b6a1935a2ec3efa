"""Processes of services in tests: forked, where the system allows it, from two that have imported everything.

They are as real as those that are started, as `tests/integration/kit/test_forking.py` shows.
"""

from __future__ import annotations

import atexit
import signal
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from typing import IO, Protocol

from services.cli.processes import fork_servers
from services.kit.supervise.forking import Forked, ForkError, ForkServer
from tests.support.programs import REPOSITORY
from tests.support.waiting import until

WORKER = "services.kit.bus.launcher"


class ServiceProcess(Protocol):
    """What a test may do with a process: the part of Popen that both kinds have."""

    @property
    def pid(self) -> int:
        """Its number."""

    def poll(self) -> int | None:
        """Return its status, None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it ends, and return its status."""

    def send_signal(self, number: int, /) -> None:
        """Send it a signal, unless it has ended."""

    def terminate(self) -> None:
        """Ask it to stop."""

    def kill(self) -> None:
        """End it as a crash does."""


class _ForkedProcess:
    def __init__(self, forked: Forked) -> None:
        self._forked = forked
        self.pid = forked.pid
        self.poll = forked.poll

    def wait(self, timeout: float | None = None) -> int:
        if timeout is not None:
            until(lambda: self._forked.poll() is not None, f"process {self.pid} has ended", timeout=timeout)
        return self._forked.wait()

    def send_signal(self, number: int, /) -> None:
        if self._forked.poll() is None:
            self._forked.send_signal(number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start_process(module: str, *arguments: str, env: Mapping[str, str], log: IO[bytes]) -> ServiceProcess:
    """Start `python -m module arguments` in the repository.

    env: its whole environment; log: where its output goes.
    """
    argv = [sys.executable, "-m", module, *arguments]
    if sys.platform == "linux":
        server = kept_servers()["worker" if module == WORKER else "other"]
        server.await_ready(lambda: False)
        try:
            return _ForkedProcess(server.fork(argv, env, output=log.fileno()))
        except ForkError as error:
            raise AssertionError(f"{argv[2:]}: {error}") from error
    return subprocess.Popen(argv, cwd=REPOSITORY, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


class KeptServer:
    """A fork server that many use, so that none of them ends it."""

    def __init__(self, server: ForkServer) -> None:
        self.cwd = server.cwd
        self.await_ready = server.await_ready
        self.fork = server.fork

    def close(self) -> None:
        """Leave it running."""


@cache
def kept_servers() -> dict[str, KeptServer]:
    """Return the fork servers of this process of the run; each is started when it is needed first."""
    made = fork_servers({"MALLOC_ARENA_MAX": "2"}, cwd=REPOSITORY)
    for server in made.values():
        atexit.register(server.close)
    return {name: KeptServer(server) for name, server in made.items()}
