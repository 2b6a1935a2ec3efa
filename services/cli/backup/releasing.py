"""Lets senders go on after a restore, once all that the lost ledger had planned is planned again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from services.campaign.usecases import hold
from services.kit.backup import contents
from services.kit.backup.cut import connect
from services.kit.clock import Clock
from services.kit.db import Database, make_engine
from services.kit.errors import FailedPrecondition
from services.kit.events.timelines import is_own

_LOOK_SECONDS = 0.5


def release(
    urls: Mapping[str, str],
    clock: Clock,
    *,
    send: bool,
    patience_seconds: float,
    on_wait: Callable[[str], None],
    at_once: bool = False,
) -> tuple[int, int]:
    """Release sending and return how many messages were due, and how many of them are unknown now.

    send: those that were due are sent. at_once: whatever is not planned yet. Otherwise waits until every service has
    taken in what the others had told when this began, and all that was due by then is planned; raises
    FailedPrecondition (NOT_HELD, NOT_CAUGHT_UP) that says what is not.
    """
    db = Database(make_engine(urls["campaign"], pool_size=2, application_name="rapport restore"))
    try:
        hold.look(db, clock)
        until = time.monotonic() + patience_seconds
        heads = _heads(urls)
        while not at_once and (waiting := [*_behind(urls, heads), *hold.look(db, clock).unplanned]):
            if time.monotonic() > until:
                raise FailedPrecondition(
                    f"not all is planned yet that was due: {'; '.join(waiting)}. Start the workers if they do not run, "
                    "and wait; --now releases all the same",
                    reason="NOT_CAUGHT_UP",
                )
            on_wait(f"waiting for {waiting[0]}")
            time.sleep(_LOOK_SECONDS)
        due = hold.look(db, clock).due
        return due, hold.release(db, clock, send=send)
    finally:
        db.close()


def _heads(urls: Mapping[str, str]) -> dict[str, int]:
    heads = {}
    for service, url in urls.items():
        with connect(url) as connection:
            head = contents.read_head(connection)
            # Events without a position yet will get the next ones.
            heads[service] = head.position + contents.count_unpositioned(connection)
    return heads


def _behind(urls: Mapping[str, str], heads: Mapping[str, int]) -> list[str]:
    waiting = []
    for service, url in urls.items():
        with connect(url) as connection:
            for name, cursor in sorted(contents.read_cursors(connection).items()):
                behind = heads[service] - cursor.position
                if is_own(name) and "/" not in name and behind > 0:
                    waiting.append(f"{name}: {behind} events of {service} to take in")
    return waiting
