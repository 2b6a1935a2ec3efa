"""What a supervisor is asked to run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from services.kit.supervise.forking import ForkServer


@dataclass(frozen=True)
class PortUse:
    """A TCP port that a process listens on, and the setting that changes it, for messages."""

    port: int
    setting: str
    host: str = "127.0.0.1"


@dataclass(frozen=True)
class ProcessSpec:
    """A process to keep running.

    name: unique; also the name of its log. argv: command and arguments. env: added to the supervisor's
    environment. ready: asked repeatedly until it returns True, may raise meanwhile; None means ready once
    started. alive: asked now and then while it is ready; one that keeps saying False, or raises, is killed
    and started again (see `watch`); None means that it is not asked. See `probes` for both. stop_grace:
    seconds between SIGTERM and SIGKILL. after: names that must be ready before this one starts. ports:
    checked before the first start. cwd: working folder, the supervisor's if None. fork_server: what the process
    is forked from rather than started, where the system allows it; the supervisor closes it in the end.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], bool] | None = None
    alive: Callable[[], bool] | None = None
    stop_grace: float = 10.0
    after: Sequence[str] = ()
    ports: Sequence[PortUse] = ()
    cwd: Path | None = None
    fork_server: ForkServer | None = None


class Resource(Protocol):
    """Something other than a child process that must run before the processes and be stopped after them.

    `EmbeddedPostgres` is one. The supervisor starts it again when `alive` says False.
    """

    @property
    def name(self) -> str:
        """A unique name for messages."""

    def start(self, cancel: threading.Event | None = None) -> None:
        """Start it, return when it can be used; raise when that fails or `cancel` is set meanwhile."""

    def stop(self, hasten: threading.Event | None = None) -> None:
        """Stop it, return when it is gone; harmless when it does not run. `hasten` asks for speed."""

    def alive(self) -> bool:
        """Say whether it runs."""
