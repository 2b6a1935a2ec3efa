"""How migrations wait for locks: a little at a time, so that nobody has to wait behind them.

An ALTER TABLE that waits for one long transaction makes everybody wait who comes after it, readers too. So each attempt
gives up soon, lets the queue pass, and is made again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from services.kit import revisions
from services.kit.errors import Unavailable

_log = logging.getLogger(__name__)

_IN_THE_WAY = {"55P03", "40P01"}
"""Lock not available in time; chosen as the victim of a deadlock."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Say how long to wait for locks, in seconds.

    attempt: for one lock, which is how long others may have to wait behind us. total: from the first attempt to the
    last. pause: between two attempts, at first; it grows up to ten times that.
    """

    attempt: float = 2.0
    total: float = 900.0
    pause: float = 1.0

    def insist(self, url: str, act: Callable[[Connection], None]) -> None:
        """Act on a connection until no lock stands in the way; what was committed must be known to the next attempt.

        Raises Unavailable (SCHEMA_LOCKED) that names who has the oldest transactions when the time is over.
        """
        began, pause = time.monotonic(), self.pause
        while True:
            try:
                with revisions.connected(url) as connection:
                    connection.exec_driver_sql(f"SET lock_timeout = {int(self.attempt * 1000)}")
                    connection.commit()
                    act(connection)
                return
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in _IN_THE_WAY:
                    raise
                who = _oldest(url)
                if time.monotonic() - began + pause > self.total:
                    raise Unavailable(
                        f"a lock that the migration needs was not free for {self.total:g} s, and nothing waits "
                        f"behind it meanwhile. Oldest transactions: {who}. End them, then migrate again",
                        reason="SCHEMA_LOCKED",
                    ) from error
                _log.warning(
                    "a lock is not free; another attempt in %g s. Oldest transactions: %s", pause, who
                )
            time.sleep(pause)
            pause = min(2 * pause, 10 * self.pause)


def _oldest(url: str) -> str:
    """Say who has had a transaction open for longest, as far as this user may see."""
    with revisions.connected(url) as connection:
        rows = connection.execute(
            sa.text(
                "SELECT pid, application_name, xact_start FROM pg_stat_activity WHERE datname = current_database() "
                "AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND xact_start IS NOT NULL "
                "ORDER BY xact_start LIMIT 5"
            )
        ).all()
    told = [
        f"{row.application_name or 'unnamed'} (process {row.pid}, since {row.xact_start:%H:%M:%S} UTC)"
        for row in rows
    ]
    return ", ".join(told) or "none that is still open"
