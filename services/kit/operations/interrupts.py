"""Work that ends as soon as its operation is to stop, wherever it waits: for the database, or for a call."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import Connection

from services.kit.db import Database
from services.kit.log import safe_summary

WATCH_SECONDS = 0.25
AGAIN_SECONDS = 0.5
_log = logging.getLogger(__name__)
T = TypeVar("T")
Check = Callable[[], None]
"""Raises when the work is to stop; may be called by any thread."""


@contextmanager
def over(
    db: Database, check: Check, connection: Connection, stops: tuple[type[Exception], ...]
) -> Iterator[None]:
    """Cancel what the server does for a connection when `check` raises one of `stops`, which the block then raises.

    The check is asked, on connections of `db`, by a thread that lasts as long as the block. When it raises, the
    transaction at hand can only be rolled back.
    """
    driver = connection.connection.driver_connection
    watcher = _Watcher(db, check, driver.info.backend_pid, stops)  # type: ignore[union-attr]
    watcher.start()
    try:
        yield
    except Exception as error:
        watcher.end()
        # A cancelled statement fails as one that somebody ended by hand; this is why.
        if watcher.reason is not None:
            raise watcher.reason from error
        raise
    finally:
        watcher.end()
    if watcher.reason is not None:
        raise watcher.reason


class _Watcher(threading.Thread):
    def __init__(self, db: Database, check: Check, pid: int, stops: tuple[type[Exception], ...]) -> None:
        super().__init__(name="operation-watcher", daemon=True)
        self._db = db
        self._check = check
        self._pid = pid
        self._stops = stops
        self._ended = threading.Event()
        self.reason: Exception | None = None

    def end(self) -> None:
        """Stop watching; nothing is cancelled any more when this returns."""
        self._ended.set()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        """Ask until a stop is wanted, then cancel until the block ends: it may be between two statements."""
        pause = WATCH_SECONDS
        while not self._ended.wait(pause):
            try:
                if self.reason is None:
                    self._check()
                    continue
            except self._stops as reason:
                self.reason = reason
                pause = AGAIN_SECONDS
            except Exception as error:
                # The work will meet the same trouble, and is the one to say so.
                _log.warning("cannot see whether to stop: %s", safe_summary(error))
                continue
            self._cancel()

    def _cancel(self) -> None:
        try:
            with self._db.read() as connection:
                connection.exec_driver_sql("SELECT pg_cancel_backend(%(pid)s)", {"pid": self._pid})
        except Exception as error:
            _log.warning("cannot cancel what the database does: %s", safe_summary(error))


def unless_stopped(check: Check, work: Callable[[], T]) -> T:
    """Return what a call returns, or raise what it raises; when `check` raises, that, without waiting for the call.

    The call is made by a thread of its own, which then runs out unheard: it must do no harm.
    """
    future: Future[T] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            future.set_result(context.run(work))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="operation-call", daemon=True).start()
    while not wait((future,), WATCH_SECONDS).done:
        check()
    return future.result()
