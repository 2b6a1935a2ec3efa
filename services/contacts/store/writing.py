"""Transactions that are done again when another one was faster."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from itertools import count
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from services.kit.db import Database
from services.kit.errors import Unavailable

T = TypeVar("T")

PATIENCE_SECONDS = 15.0
# unique_violation: an identity or external id was taken after we had looked; serialization failure; deadlock.
_RACES = {"23505", "40001", "40P01"}


class Raced(Exception):
    """Report that what was read is no longer so: read it again in a new transaction."""


def write(db: Database, work: Callable[[Connection], T]) -> T:
    """Do work in a transaction and return its result, again from the start while others get in between.

    `work` reads whatever it decides by on the connection that it is given, and has no other effects. Raises
    Unavailable (CONTENTION) when others are faster for a quarter of a minute.
    """
    until = time.monotonic() + PATIENCE_SECONDS
    for attempt in count():
        try:
            with db.transaction() as connection:
                return work(connection)
        except Raced as error:
            cause: Exception = error
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in _RACES:
                raise
            cause = error
        except Exception as error:
            # COPY goes past SQLAlchemy, so its errors come as the driver raised them.
            if getattr(error, "sqlstate", None) not in _RACES:
                raise
            cause = error
        if time.monotonic() > until:
            raise Unavailable(
                "others change the same contacts at this moment; try again", reason="CONTENTION"
            ) from cause
        time.sleep(random.uniform(0, 0.002 * 2 ** min(attempt, 6)))
    raise AssertionError
