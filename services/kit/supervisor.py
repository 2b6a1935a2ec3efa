"""Runs the processes of a laptop stack together, and leaves none behind."""

from __future__ import annotations

import logging
import logging.handlers
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType

from services.kit.supervise.child import BackOff, Child, State
from services.kit.supervise.errors import StopRequested, SupervisorError
from services.kit.supervise.events import Event, EventKind
from services.kit.supervise.lock import FileLock
from services.kit.supervise.logs import RotatingLog
from services.kit.supervise.plan import check_plan, stop_order
from services.kit.supervise.ports import require_free_port
from services.kit.supervise.progress import activity
from services.kit.supervise.reaper import Reaper
from services.kit.supervise.spec import ProcessSpec, Resource
from services.kit.supervise.watch import LOOK_SECONDS, Watch

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Supervisor:
    """Keeps resources (a database server) and processes running; one supervisor per state folder.

        with Supervisor(Path(".rapport"), on_event=show) as supervisor, supervisor.signals():
            supervisor.own(EmbeddedPostgres(Path(".rapport/postgres")))
            supervisor.start([ProcessSpec("contacts-api", [...], ready=probes.grpc_health("127.0.0.1",
            7401))]) supervisor.wait()

    A process that dies is started again after a growing pause, unless it is held (`hold`, `release`); one that
    keeps not answering is killed and started again. When the supervisor itself is killed, a small
    process of its own stops everything, and a successor waits for that. Output goes to
    `<folder>/logs/<name>.log`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        on_event: Callable[[Event], None] | None = None,
        back_off: BackOff | None = None,
        stall_seconds: float = 90.0,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """Describe it; nothing happens before `open` or `with`.

        on_event: told everything that happens, from several threads but one at a time; must not call the
        supervisor. stall_seconds: how long a process that is not ready may do nothing at all before it is
        given up. look_seconds: the pause between two looks whether the processes still answer.
        """
        self.folder = Path(os.path.abspath(folder))
        self.stop_requested = threading.Event()
        self._hasten = threading.Event()
        self._on_event = on_event
        self._back_off = back_off or BackOff()
        self._stall_seconds = stall_seconds
        self._look_seconds = look_seconds
        self._emitting = threading.RLock()
        self._children: dict[str, Child] = {}
        self._resources: list[Resource] = []
        self._resource_lock = threading.Lock()
        self._closing = threading.Event()
        self._monitor: threading.Thread | None = None
        self._watcher: threading.Thread | None = None
        self._lock: FileLock | None = None
        self._reaper: Reaper | None = None
        self._pipe: tuple[int, int] | None = None
        self._diary: logging.Handler | None = None
        self._shielded = False

    def __enter__(self) -> Supervisor:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def logs(self) -> Path:
        """The folder of the processes' logs."""
        return self.folder / "logs"

    def open(self) -> None:
        """Take the state folder; SupervisorError when it cannot be written or another supervisor has it."""
        if self._lock is not None:
            return
        lock = FileLock(self.folder / "supervisor.lock")
        told = False
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            while not lock.acquire():
                holder = lock.holder()
                if holder is not None:
                    raise SupervisorError(
                        f"already running in {self.folder} as process {holder}; "
                        f"stop it with Ctrl-C or `kill {holder}`"
                    )
                if not told:
                    told = True
                    self._emit(
                        Event(
                            EventKind.WAITING, "supervisor", "stopping what a killed supervisor left behind"
                        )
                    )
                self._check_stop(0.05)
            self._diary = logging.handlers.RotatingFileHandler(
                self.logs / "supervisor.log", maxBytes=10 << 20, backupCount=2, encoding="utf-8"
            )
            self._diary.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
            self._pipe = os.pipe()
            self._reaper = Reaper([lock.fileno()])
        except OSError as error:
            lock.release()
            raise SupervisorError(
                f"cannot use the folder {self.folder}: {error.strerror or error}; "
                "make it writable or choose another one (RAPPORT_DATA_DIR)"
            ) from error
        except BaseException:
            lock.release()
            raise
        self._lock = lock
        self._closing.clear()

    def own(self, resource: Resource) -> None:
        """Start a resource, keep it running, and stop it after all processes.

        StopRequested when a signal comes meanwhile.
        """
        with self._shield():
            self.open()
            self._emit(Event(EventKind.STARTING, resource.name))
            try:
                resource.start(self.stop_requested)
            except Exception as error:
                if self.stop_requested.is_set():  # whatever it says, it was cut short
                    raise StopRequested("stopped while starting") from error
                raise
            with self._resource_lock:
                self._resources.append(resource)
            self._emit(Event(EventKind.READY, resource.name))
            if self._monitor is None:
                self._monitor = threading.Thread(
                    target=self._keep_resources, name="keep-resources", daemon=True
                )
                self._monitor.start()

    def start(self, specs: Sequence[ProcessSpec]) -> None:
        """Start processes and return when all are ready. May be called again for more.

        Names and ports are checked before anything starts. When one cannot be started everything is stopped
        and SupervisorError holds the end of its log. StopRequested when a signal comes meanwhile.
        """
        with self._shield():
            self.open()
            check_plan(specs, self._children)
            for spec in specs:
                for use in spec.ports:
                    require_free_port(use.host, use.port, use.setting, user=spec.name)
            started = [self._make_child(spec) for spec in specs]
            for child in started:
                child.launch()
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, name="watch-processes", daemon=True)
                self._watcher.start()
            for child in started:
                while not child.wait_for_first_ready(0.1):
                    failed = [other for other in started if other.state is State.FAILED]
                    if failed:
                        self.stop()
                        raise SupervisorError(failed[0].report())
                    self._check_stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until a signal or `request_stop` asks to stop; False when the timeout (seconds) passes."""
        return self.stop_requested.wait(timeout)

    def request_stop(self) -> None:
        """Ask to stop, as a first signal does; a second call hastens. May be called from any thread."""
        if self.stop_requested.is_set():
            self._hasten.set()
        self.stop_requested.set()

    def stop(self) -> None:
        """Stop processes before what they need, then the resources in reverse; return when all are gone."""
        with self._shield():
            self._closing.set()
            for names in stop_order([child.spec for child in self._children.values()]):
                for name in names:
                    self._children[name].ask_to_stop()
                for name in names:
                    self._children[name].finish(self._hasten)
            if self._monitor is not None:
                self._monitor.join()
                self._monitor = None
            if self._watcher is not None:
                self._watcher.join()
                self._watcher = None
            for child in self._children.values():
                if child.spec.fork_server is not None:
                    child.spec.fork_server.close()
            self._stop_resources()
            self._children.clear()
            self._close()

    def names(self) -> list[str]:
        """Return the names of all processes, in the order in which they were started."""
        return list(self._children)

    def pid(self, name: str) -> int | None:
        """Return the number of a process, None while it does not run."""
        return self._child(name).pid

    def kill(self, name: str) -> None:
        """Send SIGKILL to a process; it is then started again."""
        self._child(name).signal(signal.SIGKILL)

    def hold(self, *names: str) -> None:
        """Kill processes and keep them down until `release`; return when all are gone.

        A process that is held already stays so. Resources cannot be held. Raises SupervisorError for an
        unknown name, before any is killed.
        """
        children = [self._child(name) for name in names]
        for child in children:
            child.hold()
        for child in children:
            child.wait_for(State.HELD, State.FAILED, State.STOPPED)

    def release(self, *names: str) -> None:
        """Start held processes again, at once; returns without waiting, see `wait_ready`."""
        for child in [self._child(name) for name in names]:
            child.release()

    def wait_ready(self, name: str, timeout: float | None = None) -> bool:
        """Wait until a process is ready, after `kill` say; False when the timeout (seconds) passes first."""
        return self._child(name).wait_for(State.READY, timeout=timeout)

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Within the block SIGINT, SIGTERM and SIGHUP stop all; a second one hastens. Main thread only.

        The first raises StopRequested in the block's own code, but lets `own`, `start` and `stop` finish
        cleanly.
        """
        reader, writer = os.pipe()
        # Events are set by a thread: a handler may interrupt the very code that holds an event's lock.
        relay = threading.Thread(target=self._relay, args=(reader,), name="signals", daemon=True)
        relay.start()
        received = 0

        def handle(number: int, frame: FrameType | None) -> None:
            nonlocal received
            received += 1
            os.write(writer, b"s")
            if received == 1 and not self._shielded:
                raise StopRequested(signal.Signals(number).name)

        previous = {number: signal.signal(number, handle) for number in _SIGNALS}
        try:
            yield
        except StopRequested:
            pass
        finally:
            # The stack is stopped before the handlers go, so that a second signal still means to hasten.
            self.stop()
            for number, handler in previous.items():
                signal.signal(number, handler)
            os.close(writer)
            relay.join()
            os.close(reader)

    def _relay(self, reader: int) -> None:
        while os.read(reader, 1):
            self.request_stop()

    def _make_child(self, spec: ProcessSpec) -> Child:
        if self._reaper is None or self._pipe is None:
            raise SupervisorError(f"the supervisor of {self.folder} is not open")
        child = Child(
            spec,
            RotatingLog(self.logs / f"{spec.name}.log"),
            emit=self._emit,
            may_start=lambda: all(self._children[name].state is State.READY for name in spec.after),
            reaper=self._reaper,
            parent_fd=self._pipe[0],
            back_off=self._back_off,
            stall_seconds=self._stall_seconds,
        )
        self._children[spec.name] = child
        return child

    def _child(self, name: str) -> Child:
        try:
            return self._children[name]
        except KeyError:
            known = ", ".join(self._children) or "none"
            raise SupervisorError(f"no process is called {name!r}; there are: {known}") from None

    def _keep_resources(self) -> None:
        pauses: dict[str, float] = {}
        while not self._closing.wait(0.25):
            with self._resource_lock:
                resources = list(self._resources)
            for resource in resources:
                if resource.alive() or self._closing.is_set():
                    continue
                pause = pauses.get(resource.name, 0.0)
                self._emit(Event(EventKind.EXITED, resource.name))
                self._emit(
                    Event(
                        EventKind.RESTARTING,
                        resource.name,
                        f"starting it again in {pause:g} s",
                        seconds=pause,
                    )
                )
                if self._closing.wait(pause):
                    return
                try:
                    resource.start(self._closing)
                    self._emit(Event(EventKind.READY, resource.name))
                except Exception as error:  # whatever it was, it is said and tried again
                    self._emit(Event(EventKind.FAILED, resource.name, str(error)))
                pauses[resource.name] = min(max(pause * 2, self._back_off.first), self._back_off.longest)

    def _watch(self) -> None:
        watch = Watch(activity)
        while not self._closing.wait(self._look_seconds):
            watch.look(child for child in list(self._children.values()) if not self._closing.is_set())

    def _stop_resources(self) -> None:
        while self._resources:
            resource = self._resources.pop()
            self._emit(Event(EventKind.STOPPING, resource.name))
            try:
                resource.stop(self._hasten)
                self._emit(Event(EventKind.STOPPED, resource.name))
            except Exception as error:  # the others must still be stopped
                self._emit(Event(EventKind.FAILED, resource.name, str(error)))

    def _close(self) -> None:
        if self._reaper is not None:
            self._reaper.close()
            self._reaper = None
        if self._pipe is not None:
            for fd in self._pipe:
                os.close(fd)
            self._pipe = None
        if self._diary is not None:
            self._diary.close()
            self._diary = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _check_stop(self, seconds: float = 0.0) -> None:
        if self.stop_requested.wait(seconds):
            raise StopRequested("stopped while starting")

    @contextmanager
    def _shield(self) -> Iterator[None]:
        """Keep a signal from raising in the main thread for the time of a block."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before, self._shielded = self._shielded, True
        try:
            yield
        finally:
            self._shielded = before

    def _emit(self, event: Event) -> None:
        with self._emitting:
            if self._diary is not None:
                seconds = f" {event.seconds:.1f} s" if event.kind is EventKind.READY else ""
                text = " ".join(
                    part for part in (event.name, event.kind.value + seconds, event.detail) if part
                )
                self._diary.emit(logging.LogRecord("supervisor", logging.INFO, "", 0, text, None, None))
            if self._on_event is not None:
                try:
                    self._on_event(event)
                except Exception:  # drawing progress must never stop the stack
                    logging.getLogger(__name__).exception("the listener of supervisor events failed")
