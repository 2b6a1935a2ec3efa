"""One process of a supervisor: started, awaited, restarted and stopped by a thread of its own."""

from __future__ import annotations

import contextlib
import enum
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.kit.parent import PARENT_FD_VARIABLE
from services.kit.supervise.events import Event, EventKind
from services.kit.supervise.forking import Forked, ForkError
from services.kit.supervise.logs import RotatingLog, tail
from services.kit.supervise.progress import Progress
from services.kit.supervise.reaper import Reaper
from services.kit.supervise.spec import ProcessSpec

_log = logging.getLogger(__name__)


class State(enum.Enum):
    """Where a child is in its life."""

    NEW = "new"
    STARTING = "starting"
    READY = "ready"
    PAUSING = "pausing"
    HELD = "held"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class BackOff:
    """The pause before a restart, in seconds: doubles each time, anew once the process stayed ready."""

    first: float = 0.5
    longest: float = 30.0
    settled: float = 60.0


class Child:
    """Keeps one process running until it is told to stop."""

    def __init__(
        self,
        spec: ProcessSpec,
        log: RotatingLog,
        *,
        emit: Callable[[Event], None],
        may_start: Callable[[], bool],
        reaper: Reaper,
        parent_fd: int,
        back_off: BackOff,
        stall_seconds: float,
    ) -> None:
        """Describe it. `may_start` is asked until it says that all it depends on is ready."""
        self.spec = spec
        self.error = ""
        self._log = log
        self._emit = emit
        self._may_start = may_start
        self._reaper = reaper
        self._parent_fd = parent_fd
        self._back_off = back_off
        self._stall_seconds = stall_seconds
        self._stop = threading.Event()
        self._held = False
        self._given_up = ""
        self._condition = threading.Condition()
        self._state = State.NEW
        self._ready_once = False
        self._process: subprocess.Popen[bytes] | Forked | None = None
        self._thread = threading.Thread(target=self._run, name=f"keep-{spec.name}", daemon=True)

    @property
    def state(self) -> State:
        """Where it is in its life."""
        with self._condition:
            return self._state

    @property
    def pid(self) -> int | None:
        """Its process number, None while it does not run."""
        with self._condition:
            return self._process.pid if self._process is not None else None

    def launch(self) -> None:
        """Begin to keep the process; returns at once."""
        self._thread.start()

    def wait_for(self, *states: State, timeout: float | None = None) -> bool:
        """Wait until it is in one of the states; False when the timeout (seconds) passes first."""
        with self._condition:
            return self._condition.wait_for(lambda: self._state in states, timeout)

    def wait_for_first_ready(self, timeout: float) -> bool:
        """Wait until it has been ready once, though it may have died since; False after the timeout."""
        with self._condition:
            return self._condition.wait_for(lambda: self._ready_once, timeout)

    def signal(self, number: int) -> None:
        """Send a signal to the process, if it runs."""
        with self._condition:
            if self._process is not None:
                # Not collected yet while we hold the lock, so the number is still its own.
                os.kill(self._process.pid, number)

    def hold(self) -> None:
        """Kill the process with its group, and do not start it again before `release`; returns at once."""
        with self._condition:
            self._held = True
            if self._process is not None:
                _kill_group(self._process.pid)
            self._condition.notify_all()

    def release(self) -> None:
        """Start the process again at once, without a pause; harmless when it is not held."""
        with self._condition:
            self._held = False
            self._condition.notify_all()

    def give_up(self, pid: int, reason: str) -> None:
        """Kill the process with its group, if it still is the one of that number; it is then started again."""
        with self._condition:
            if self._process is not None and self._process.pid == pid:
                self._given_up = reason
                _kill_group(pid)

    def ask_to_stop(self) -> None:
        """Send SIGTERM and never start it again; returns at once."""
        with self._condition:
            if self._stop.is_set():
                return
            self._stop.set()
            self._condition.notify_all()
        if self.pid is not None:
            self._emit(Event(EventKind.STOPPING, self.spec.name, pid=self.pid))
            self.signal(signal.SIGTERM)

    def finish(self, hasten: threading.Event) -> None:
        """After `ask_to_stop`: wait until it is gone; kill its group after its grace or when to hasten."""
        deadline = time.monotonic() + self.spec.stop_grace
        while self._thread.is_alive():
            if hasten.is_set() or time.monotonic() >= deadline:
                self._kill_group()
            self._thread.join(0.05)
        if self._state not in (State.STOPPED, State.FAILED):
            self._enter(State.STOPPED)

    def _run(self) -> None:
        while not self._may_start():
            if self._stop.wait(0.02):
                self._enter(State.STOPPED)
                return
        pause = self._back_off.first
        while not self._stop.is_set():
            if self._stay_down():
                pause = self._back_off.first  # it did not fall by itself
                continue
            began = time.monotonic()
            self._emit(Event(EventKind.STARTING, self.spec.name))
            reader = self._spawn()
            problem = ""
            if reader is not None:
                problem = self._await_ready(began)
                if not problem:
                    began = time.monotonic()
                code = self._collect(reader)
                self.error = problem or self._given_up or f"ended with {describe(code)}"
                self._given_up = ""
            if self._stop.is_set():
                break
            if self._held:
                continue
            self._emit(Event(EventKind.EXITED, self.spec.name, self.error))
            if not self._ready_once:
                self._emit(Event(EventKind.FAILED, self.spec.name, self.error))
                self._enter(State.FAILED)
                return
            if time.monotonic() - began > self._back_off.settled and not problem:
                pause = self._back_off.first
            self._enter(State.PAUSING)
            detail = f"starting it again in {pause:g} s"
            self._emit(Event(EventKind.RESTARTING, self.spec.name, detail, seconds=pause))
            with self._condition:
                self._condition.wait_for(self._interrupted, pause)
            pause = min(pause * 2, self._back_off.longest)
        self._emit(Event(EventKind.STOPPED, self.spec.name))
        self._enter(State.STOPPED)

    def _stay_down(self) -> bool:
        """Wait while it is held; False when it is not."""
        with self._condition:
            if not self._held:
                return False
        self._emit(Event(EventKind.HELD, self.spec.name))
        with self._condition:
            self._state = State.HELD
            self._condition.notify_all()
            self._condition.wait_for(lambda: self._stop.is_set() or not self._held)
            return True

    def _interrupted(self) -> bool:
        return self._stop.is_set() or self._held

    def _spawn(self) -> threading.Thread | None:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **self.spec.env}
        if self.spec.fork_server is not None:
            self.spec.fork_server.await_ready(self._interrupted)
        with self._condition:
            if self._interrupted():
                return None
            self._process = self._fork(environment)
            if self._process is None:
                environment[PARENT_FD_VARIABLE] = str(self._parent_fd)
                try:
                    # A session of its own: Ctrl-C on the terminal reaches the supervisor alone, which stops all
                    # in order.
                    self._process = subprocess.Popen(
                        list(self.spec.argv),
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.STDOUT,
                        env=environment,
                        cwd=self.spec.cwd,
                        pass_fds=(self._parent_fd,),
                        start_new_session=True,
                    )
                except OSError as error:
                    self.error = f"cannot run {self.spec.argv[0]}: {error.strerror or error}"
                    return None
            self._reaper.watch(self._process.pid, grace=self.spec.stop_grace)
            self._state = State.STARTING
            self._condition.notify_all()
            stream = self._process.stdout
        reader = threading.Thread(
            target=self._forward, args=(stream,), name=f"log-{self.spec.name}", daemon=True
        )
        reader.start()
        return reader

    def _fork(self, environment: Mapping[str, str]) -> Forked | None:
        """Have the process forked; None where it must be started."""
        server = self.spec.fork_server
        if server is None or self.spec.cwd not in (None, server.cwd):
            return None
        try:
            return server.fork(
                self.spec.argv, environment, descriptor=self._parent_fd, variable=PARENT_FD_VARIABLE
            )
        except ForkError as error:
            _log.info("%s is started and not forked: %s", self.spec.name, error)
            return None

    def _await_ready(self, began: float) -> str:
        """Wait until the process is ready, and return ""; or what went wrong. A stop or a hold, too, ends it."""
        process = self._process
        if process is None:
            return ""
        progress = Progress(process.pid, lambda: [self._log.path], stall_seconds=self._stall_seconds)
        delay = 0.02
        while not self._interrupted():
            if self.spec.ready is not None and _has_ended(process.pid):
                return f"ended with {describe(self._code())} before it was ready"
            if self._is_ready():
                took = time.monotonic() - began
                # Told first, so that everybody knows by the time that `start` returns.
                self._emit(Event(EventKind.READY, self.spec.name, pid=process.pid, seconds=took))
                self._ready_once = True
                self._enter(State.READY)
                return ""
            if progress.stalled():
                self._kill_group()
                return f"runs but did nothing for {self._stall_seconds:g} s and is not ready"
            with self._condition:
                self._condition.wait_for(self._interrupted, delay)
            delay = min(delay * 1.5, 0.25)
        return ""

    def _is_ready(self) -> bool:
        if self.spec.ready is None:
            return True
        try:
            return self.spec.ready()
        except Exception:  # a probe may fail in any way while the process is not there yet
            return False

    def _collect(self, reader: threading.Thread) -> int:
        """Wait for the end of the process, end what it left in its group, and return its status."""
        process = self._process
        if process is None:
            return 0
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        with self._condition:
            if self._state is State.READY:
                self._state = State.PAUSING
            _kill_group(process.pid)  # before it is collected, so that the number cannot mean another group
            code = process.wait()
            self._process = None
            self._condition.notify_all()
        self._reaper.forget(process.pid)
        reader.join(5.0)
        return code

    def _code(self) -> int:
        process = self._process
        if process is None:
            return 0
        info = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        if info is None:
            return 0
        return info.si_status if info.si_code == os.CLD_EXITED else -info.si_status

    def _kill_group(self) -> None:
        with self._condition:
            if self._process is not None:
                _kill_group(self._process.pid)

    def _forward(self, stream: object) -> None:
        """Move the output to the log until it closes. A log that cannot be written stops nothing."""
        fd = stream.fileno()  # type: ignore[attr-defined]
        lost = False
        with stream:  # type: ignore[attr-defined]
            while chunk := os.read(fd, 65536):
                try:
                    self._log.write(chunk)
                    lost = False
                except OSError as error:
                    if not lost:
                        lost = True
                        detail = f"cannot write {self._log.path}: {error.strerror}"
                        self._emit(Event(EventKind.LOG_LOST, self.spec.name, detail))

    def _enter(self, state: State) -> None:
        with self._condition:
            self._state = state
            self._condition.notify_all()

    def report(self) -> str:
        """Say why it failed, with the end of its log."""
        text = tail(self._log.path)
        return f"{self.spec.name} {self.error}" + (f". End of {self._log.path}:\n{text}" if text else "")


def describe(code: int) -> str:
    """Name an exit status for people."""
    if code >= 0:
        return f"status {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def _has_ended(pid: int) -> bool:
    """Say whether our child has ended, leaving it to be collected."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
