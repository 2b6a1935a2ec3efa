"""Small processes for tests of the supervisor, and what it tells."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence, Set
from pathlib import Path

import psutil

from services.kit.supervise import Event, EventKind, ProcessSpec
from services.kit.supervisor import Supervisor
from tests.support.waiting import PATIENCE_SECONDS

MakeSupervisor = Callable[..., Supervisor]
# A child: writes its number, then waits for SIGTERM.
PLAIN = """
import os, pathlib, signal, sys
folder, name = pathlib.Path(sys.argv[1]), sys.argv[2]
def bye(*_):
    with open(folder / "order", "a") as stream:
        stream.write(name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, bye)
(folder / name).write_text(str(os.getpid()))
print("hello from", name, flush=True)
while True:
    signal.pause()
"""

STUBBORN = """
import os, pathlib, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
inner = subprocess.Popen([sys.executable, "-S", "-c", "import signal\\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\\nwhile True: signal.pause()"])
partial = pathlib.Path(sys.argv[1], "." + sys.argv[2])
partial.write_text(f"{os.getpid()} {inner.pid}")
partial.rename(pathlib.Path(sys.argv[1], sys.argv[2]))
while True:
    signal.pause()
"""


class Events:
    """Collects what a supervisor tells."""

    def __init__(self) -> None:
        self.all: list[Event] = []
        self._changed = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._changed:
            self.all.append(event)
            self._changed.notify_all()

    def wait(self, kind: EventKind, name: str, count: int = 1) -> list[Event]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.of(kind, name)) >= count, PATIENCE_SECONDS), (
                self.all
            )
            return self.of(kind, name)

    def of(self, kind: EventKind, name: str | None = None) -> list[Event]:
        return [event for event in self.all if event.kind is kind and name in (None, event.name)]


def family(known: Set[int] = frozenset()) -> set[int]:
    """Return the processes below this one, but none below those that are known.

    A database server that was there before starts and ends sessions for other tests all the time.
    """
    found: set[int] = set()
    below = [psutil.Process(os.getpid())]
    while below:
        try:
            new = [child for child in below.pop().children() if child.pid not in known]
        except psutil.NoSuchProcess:
            continue
        found.update(child.pid for child in new)
        below += new
    return found


def plain(folder: Path, name: str, program: str = PLAIN, **options: object) -> ProcessSpec:
    command = [sys.executable, "-S", "-c", program, str(folder), name]
    options = {"ready": (folder / name).exists, **options}
    return ProcessSpec(name, command, **options)  # type: ignore[arg-type]


def python(name: str, text: str, **options: object) -> ProcessSpec:
    return ProcessSpec(name, [sys.executable, "-S", "-c", text], **options)  # type: ignore[arg-type]


def names(events: Sequence[Event]) -> list[str]:
    return [event.name for event in events]
