"""The sender process: `rapport run campaign sender`.

It runs plugin code, so it is expendable. Any number may run, on any machine; the ledger keeps them apart. It holds an
advisory lock while it lives, so that others know at once when it does not. A watchdog ends the process when it makes no
progress, such as in an adapter that hangs; whoever started it starts it again.
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

from services.campaign.store.ledger import NOTICE
from services.campaign.usecases.sending import Sender
from services.kit import log, revisions
from services.kit.config import Settings, load_settings
from services.kit.db import is_transient
from services.kit.errors import RapportError
from services.kit.locks import Locks
from services.kit.parent import watch_parent
from services.kit.plugins import PluginManager
from services.kit.runtime import Runtime, make_runtime
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
    """End the process when nobody calls `beat` for too long; it measures real time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Start watching."""
        self.beat()
        self._thread.start()

    def beat(self) -> None:
        """Say that there was progress."""
        self._last = time.monotonic()

    def stop(self) -> None:
        """Watch no more."""
        self._stop.set()

    def _watch(self) -> None:
        while not self._stop.wait(min(1.0, self._seconds / 4)):
            stuck = time.monotonic() - self._last
            if stuck > self._seconds:
                sys.stderr.write(f"campaign sender: no progress for {stuck:.0f} s, ending\n")
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

    def wait(self, seconds: float) -> None:
        """Wait for a notice; without a database just so long."""
        waited: list[int] = [self._reader]
        try:
            if self._connection is None:
                # With nothing missed in between: what was planned before LISTEN is seen by the next look.
                self._connection = self._listen()
                return
            driver = self._connection.connection.driver_connection
            assert driver is not None
            waited.append(driver.fileno())
            ready, _, _ = select.select(waited, [], [], seconds)
            if driver.fileno() in ready:
                for _ in driver.notifies(timeout=0):
                    pass
        except Exception as error:
            self._drop()
            _log.warning("cannot listen for planned messages", problem=log.safe_summary(error))
            select.select([self._reader], [], [], seconds)

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


def run(settings: Settings, deadline: float, ready_file: Path | None = None) -> int:
    """Send until SIGTERM or SIGINT; the batch in hand is finished first. Returns the exit status.

    ready_file: holds the process id while the sender is fit to send: database and plugins are there.
    """
    runtime = make_runtime("campaign", "sender", settings)
    watchdog = Watchdog(deadline)
    stop = StopSignal()
    listener = Listener(runtime, stop)
    revisions.require_current("services.campaign", runtime.db.engine)
    manager = PluginManager(settings.plugins_allow, settings.plugins_required, dict(os.environ))
    manager.load()
    locks = Locks(runtime.db.engine)
    sender = Sender(runtime, manager, locks, beat=watchdog.beat, stopping=stop.asked)
    watchdog.start()
    if ready_file is not None:
        ready_file.write_text(f"{os.getpid()}\n")
    _log.info("sending", channels=sorted(manager.catalog.channels))
    try:
        while not stop.asked():
            try:
                if sender.run_once():
                    continue
            except Exception as error:
                if not is_transient(error):
                    _log.exception("a batch failed")
                else:
                    _log.warning("the ledger is not reachable", problem=log.safe_summary(error))
                stop.wait(POLL_SECONDS)
            watchdog.beat()
            listener.wait(sender.wait_seconds(POLL_SECONDS))
    finally:
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)
        watchdog.stop()
        sender.close()
        listener.close()
        locks.close()
        runtime.close()
    _log.info("stopped")
    return 0


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
    options = parser.parse_args(arguments)
    try:
        settings = load_settings()
        log.configure(settings.log_level, settings.log_format, service="campaign", role="sender")
        watch_parent(settings.shutdown_grace_seconds + 5)
        with recording(settings, "campaign", "sender"):
            return run(settings, options.deadline_seconds, options.ready_file)
    except OperationalError as error:
        sys.stderr.write(f"campaign sender: cannot reach the database: {log.safe_summary(error)}\n")
        return 1
    except RapportError as error:
        sys.stderr.write(f"campaign sender: {error.message}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
