"""The sender process: `rapport run campaign sender`.

It runs plugin code, so it is expendable. Any number may run, on any machine; the ledger keeps them apart. Each
channel has a thread and a sender of its own, so that a slow one holds up no other, and another one for campaigns whose
templates are slow. A sender holds an advisory lock while it lives, so that others know at once when it does not. A
watchdog ends the process when one of them makes no progress, such as in an adapter that hangs; whoever started it
starts it again.
"""

from __future__ import annotations

import argparse
import os
import select
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from services.campaign.domain.render_pace import ONE_SECONDS, RenderPaces
from services.campaign.renderer.pool import Renderer
from services.campaign.store import hold
from services.campaign.store.ledger import NOTICE
from services.campaign.usecases.sending import Sender
from services.kit import log, revisions
from services.kit.config import Settings, load_settings
from services.kit.db import is_transient
from services.kit.errors import RapportError
from services.kit.locks import Locks
from services.kit.metrics import MetricsServer
from services.kit.parent import watch_parent
from services.kit.plugins import PluginManager
from services.kit.plugins.metrics import note_plugins
from services.kit.runtime import Runtime, make_runtime
from services.kit.setting_names import warn_of_stray_settings
from services.kit.stop import StopSignal
from services.kit.telemetry.export import recording

_log = log.get_logger("sender")

POLL_SECONDS = 1.0
"""How long an idle sender waits when nobody wakes it, or no limit lets it go on sooner: what falls due by time sends no
notice."""

DEADLINE_SECONDS = 600.0
STUCK = 75
"""Exit status of a process that its watchdog ended."""


class Watchdog:
    """End the process when one of its threads does not call `beat` for too long; it measures real time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    def beat(self, name: str) -> None:
        """Say that there was progress in a thread, which is watched from its first one on."""
        self._last[name] = time.monotonic()

    def stop(self) -> None:
        """Watch no more."""
        self._stop.set()

    def _watch(self) -> None:
        while not self._stop.wait(min(1.0, self._seconds / 4)):
            now = time.monotonic()
            name, last = min(self._last.copy().items(), key=lambda item: item[1], default=("", now))
            if now - last > self._seconds:
                sys.stderr.write(f"campaign sender: no progress of {name} for {now - last:.0f} s, ending\n")
                sys.stderr.flush()
                # No orderly end: the thread that hangs would take part in it.
                os._exit(STUCK)


class Listener:
    """Wait until messages are planned, or a while at the most."""

    def __init__(self, runtime: Runtime, stop: StopSignal) -> None:
        self._runtime = runtime
        self._connection: Connection | None = None
        # A stop ends the wait.
        self._reader = stop.fileno()

    def wait(self, seconds: float) -> bool:
        """Wait for a notice and return whether there may have been one; without a database just so long."""
        waited: list[int] = [self._reader]
        try:
            if self._connection is None:
                # With nothing missed in between: what was planned before LISTEN is seen by the next look.
                self._connection = self._listen()
                return True
            driver = self._connection.connection.driver_connection
            assert driver is not None
            waited.append(driver.fileno())
            ready, _, _ = select.select(waited, [], [], seconds)
            if driver.fileno() in ready:
                for _ in driver.notifies(timeout=0):
                    pass
                return True
        except Exception as error:
            self._drop()
            _log.warning("cannot listen for planned messages", problem=log.safe_summary(error))
            select.select([self._reader], [], [], seconds)
        return False

    def close(self) -> None:
        """Close the connection."""
        self._drop()

    def _listen(self) -> Connection:
        connection = self._runtime.db.engine.execution_options(isolation_level="AUTOCOMMIT").connect()
        try:
            connection.exec_driver_sql(f"LISTEN {NOTICE}")
        except BaseException:
            connection.invalidate()
            connection.close()
            raise
        return connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None


class ChannelThread:
    """Send by one channel, or by all when there is none to choose, until told to end; the batch in hand is finished.

    It has a renderer of its own. paces, slow: as Sender takes them.
    """

    def __init__(
        self,
        runtime: Runtime,
        manager: PluginManager,
        locks: Locks,
        watchdog: Watchdog,
        channel: str | None,
        *,
        chores: bool,
        paces: RenderPaces | None = None,
        slow: bool | None = None,
    ) -> None:
        self._name = f"{channel or 'sender'}{' (slow templates)' if slow else ''}"
        self._watchdog = watchdog
        self._wake = threading.Event()
        self._ending = threading.Event()
        self._sender = Sender(
            runtime,
            manager,
            locks,
            beat=self._beat,
            stopping=self._ending.is_set,
            only=channel,
            chores=chores,
            # Templates that are slow go behind all else, also on the processor.
            renderer=Renderer(nice=10 if slow else 0),
            paces=paces,
            slow=slow,
        )
        self._thread = threading.Thread(target=self._run, name=self._name)

    def start(self) -> None:
        """Begin to send."""
        self._beat()
        self._thread.start()

    def wake(self) -> None:
        """Look for messages at once."""
        self._wake.set()

    def is_alive(self) -> bool:
        """Say whether it sends; what ends it early is a fault that no other thread could heal."""
        return self._thread.is_alive()

    def end(self) -> None:
        """Ask it to end."""
        self._ending.set()
        self._wake.set()

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join()

    def _beat(self) -> None:
        self._watchdog.beat(self._name)

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                self._wake.clear()
                pause = POLL_SECONDS
                try:
                    if self._sender.run_once():
                        continue
                    pause = self._sender.wait_seconds(POLL_SECONDS)
                except Exception as error:
                    if not is_transient(error):
                        _log.exception("a batch failed", channel=self._name)
                    else:
                        _log.warning("the ledger is not reachable", problem=log.safe_summary(error))
                    # A notice must not make it turn: many come when many messages fail.
                    self._ending.wait(pause)
                self._beat()
                self._wake.wait(pause)
        finally:
            self._sender.close()


def channel_threads(
    runtime: Runtime,
    manager: PluginManager,
    locks: Locks,
    watchdog: Watchdog,
    one_seconds: float = ONE_SECONDS,
) -> list[ChannelThread]:
    """Make two threads for each channel: one sends what is slow to render, which idles while nothing is.

    one_seconds: CPU time from which on a message is slow.
    """
    slow_ones: list[ChannelThread] = []

    def wake() -> None:
        for thread in slow_ones:
            thread.wake()

    paces = RenderPaces(one_seconds, on_slow=wake)
    names: list[str | None] = [*sorted(manager.catalog.channels)] or [None]
    quick = [
        ChannelThread(runtime, manager, locks, watchdog, name, chores=index == 0, paces=paces, slow=False)
        for index, name in enumerate(names)
    ]
    slow_ones += [
        ChannelThread(runtime, manager, locks, watchdog, name, chores=False, paces=paces, slow=True)
        for name in names
    ]
    return quick + slow_ones


def run(
    settings: Settings, deadline: float, ready_file: Path | None = None, metrics_port: int | None = None
) -> int:
    """Send until SIGTERM or SIGINT; the batches in hand are finished first. Returns the exit status.

    ready_file: holds the process id while the sender is fit to send: database and plugins are there. metrics_port:
    where metrics are served for Prometheus, None for nowhere.
    """
    runtime = make_runtime("campaign", "sender", settings)
    watchdog = Watchdog(deadline)
    stop = StopSignal()
    listener = Listener(runtime, stop)
    revisions.require_current("services.campaign", runtime.db.engine)
    with runtime.db.read() as connection:
        if (held := hold.get(connection)) is not None:
            _log.warning(
                "sending is held: `rapport backup release`", since=str(held.create_time), why=held.reason
            )
    manager = PluginManager(settings.plugins_allow, settings.plugins_required, dict(os.environ))
    note_plugins(manager.load())
    locks = Locks(runtime.db.engine)
    threads = channel_threads(runtime, manager, locks, watchdog)
    metrics = None
    if metrics_port is not None:
        metrics = MetricsServer(
            settings.host, metrics_port, lambda: all(thread.is_alive() for thread in threads)
        )
        metrics.start()
    watchdog.start()
    for thread in threads:
        thread.start()
    if ready_file is not None:
        ready_file.write_text(f"{os.getpid()}\n")
    _log.info("sending", channels=sorted(manager.catalog.channels))
    status = 0
    try:
        while not stop.asked():
            if listener.wait(POLL_SECONDS):
                for thread in threads:
                    thread.wake()
            if not all(thread.is_alive() for thread in threads):
                _log.error("a thread ended that should not; ending")
                status = 1
                break
    finally:
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)
        for thread in threads:
            thread.end()
        for thread in threads:
            thread.join()
        watchdog.stop()
        if metrics is not None:
            metrics.stop()
        listener.close()
        locks.close()
        runtime.close()
    _log.info("stopped")
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sender from the command line; settings come from the environment."""
    parser = argparse.ArgumentParser(
        prog="python -m services.campaign.sender", description="Send planned messages."
    )
    parser.add_argument(
        "--deadline-seconds",
        type=float,
        default=DEADLINE_SECONDS,
        help="end the process when a batch makes no progress for so long (default %(default)s)",
    )
    parser.add_argument(
        "--ready-file", type=Path, help="file that holds the process id while the sender is fit to send"
    )
    parser.add_argument(
        "--metrics-port",
        type=int,
        help="port that serves /metrics for Prometheus and /healthz (default: none)",
    )
    options = parser.parse_args(arguments)
    try:
        settings = load_settings()
        log.configure(settings.log_level, settings.log_format, service="campaign", role="sender")
        warn_of_stray_settings()
        watch_parent(settings.shutdown_grace_seconds + 5)
        with recording(settings, "campaign", "sender"):
            return run(settings, options.deadline_seconds, options.ready_file, options.metrics_port)
    except OperationalError as error:
        sys.stderr.write(f"campaign sender: cannot reach the database: {log.safe_summary(error)}\n")
        return 1
    except RapportError as error:
        sys.stderr.write(f"campaign sender: {error.message}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
