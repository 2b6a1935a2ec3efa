"""A process that compiles rules and asks them in SQL, so that a crash or a hang of it can be seen from outside.

`python -m tests.fuzz.child URL` reads one rule a line from standard input, as JSON text, and writes one answer a line.
"""

from __future__ import annotations

import json
import resource
import sys
import threading
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from services.kit.db import make_engine
from services.segmentation.rules import Event, Profile, RuleError, batch_statement, tables
from services.segmentation.rules.rule import CompiledRule
from tests.integration.rules import store
from tests.integration.rules.vocabulary import NOW, REGISTRY

T = TypeVar("T")

MEMORY = 3 << 30
"""Bytes of address space; a rule that wants more has no bound."""
STATEMENT_SECONDS = 2
"""As the service bounds the time of rules: a statement that is cancelled is an answer, one that goes on is none."""
MANY_EVENTS = 300
_CANCELED = "57014"

_LONG = "Đà Nẵng \\' % 😀 " * 500


def hostile_profiles() -> list[Profile]:
    """Return profiles at the edges of what may be stored."""
    first, last = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    many = tuple(
        Event(
            "order.placed",
            NOW - timedelta(hours=n),
            {
                "category": "ab"[n % 2],
                "amount": Decimal("999999999999999999.999999999999999999") * (1 if n % 2 else -1),
                "quantity": (2**63 - 1) * (1 if n % 2 else -1),
                "shipped": (first, last, NOW)[n % 3],
                **(
                    {"note": _LONG, "discount": 1.7e308 * (1 if n % 2 else -1), "gift": True, "due": last}
                    if n % 3
                    else {}
                ),
            },
        )
        for n in range(-2, 20)
    )
    crowd = tuple(
        Event(
            "order.placed",
            NOW - timedelta(hours=n),
            {
                "category": f"c{n:03}",
                "amount": Decimal(n),
                "quantity": n,
                "shipped": NOW,
                **({"note": f"n{n:03}", "discount": float(n), "gift": False, "due": NOW} if n % 3 else {}),
            },
        )
        for n in range(MANY_EVENTS)
    )
    extremes: dict[str, Any] = {
        "visits": -(2**63),
        "score": -1.7e308,
        "nick": _LONG,
        "joined": first,
        "vip": False,
    }
    return [
        Profile(),
        Profile(
            attributes={
                **extremes,
                "age": 2**63 - 1,
                "total_spent": Decimal(10) ** 18,
                "order_count": 2**63 - 1,
            },
            tags=tuple(f"tag {n}" for n in range(300)),
            location=(90.0, -180.0),
            events=many,
        ),
        Profile(
            attributes={"visits": 2**63 - 1, "score": 1e-300, "nick": "", "joined": last},
            tags=("",),
            events=many[:3],
        ),
        # Lists inside one another take this number to the power of their depth.
        Profile(attributes={"visits": 1, "score": 1.0}, events=crowd),
    ]


class Child:
    """Compile and ask, in a thread as a server does."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.people = hostile_profiles()
        tables.metadata.create_all(connection)
        connection.execute(text(f"SET statement_timeout = '{STATEMENT_SECONDS}s'"))
        connection.execute(
            text(
                "CREATE TEMP TABLE plugin_leaf (leaf_no int, contact_id uuid, value jsonb, PRIMARY KEY "
                "(leaf_no, contact_id))"
            )
        )
        self.ids = store.put(connection, REGISTRY, self.people)

    def answer(self, rule_text: str) -> dict[str, Any]:
        """Return whether the rule is accepted or refused, with the message; a fault is anything else.

        seconds: of CPU that compiling took; slow: whether a statement was cancelled; asked: seconds that asking took.
        """
        started = time.process_time()
        try:
            rule = CompiledRule(rule_text, REGISTRY)
        except RuleError as error:
            if error.line < 1 or error.column < 1 or not error.message:
                raise AssertionError(f"a refusal without a place: {error!r}") from error
            return {"outcome": "refused", "message": error.message, "seconds": time.process_time() - started}
        seconds = time.process_time() - started
        started = time.monotonic()
        slow = self._ask(rule)
        asked = time.monotonic() - started
        return {"outcome": "accepted", "message": "", "seconds": seconds, "slow": slow, "asked": asked}

    def _ask(self, rule: CompiledRule) -> bool:
        rebuilt = _in_time(lambda: store.members_by_rebuild(self.connection, rule, NOW))
        counted = _in_time(lambda: self._members_by_batch(rule))
        if rebuilt is not None and counted is not None:
            assert rebuilt == counted
        changes = _in_time(lambda: store.changes(self.connection, rule, NOW))
        for person in self.people:
            rule.evaluate(person, NOW)
        return None in (rebuilt, counted, changes)

    def _members_by_batch(self, rule: CompiledRule) -> set[UUID]:
        batch = batch_statement([(0, rule)])
        rows = self.connection.execute(batch.select, {"now": NOW, "contact_ids": self.ids})
        return {row.contact_id for row in rows if row.segments}


def _in_time(ask: Callable[[], T]) -> T | None:
    """Return an answer, or None when the server cancelled the statement, as it takes too long."""
    try:
        return ask()
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _CANCELED:
            return None
        raise


def main() -> None:
    """Answer until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    engine = make_engine(sys.argv[1])
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        child = Child(connection)
        for line in sys.stdin:
            told: dict[str, Any] = {}
            thread = threading.Thread(target=_guarded, args=(child, json.loads(line), told))
            thread.start()
            thread.join()
            print(json.dumps(told), flush=True)  # noqa: T201


def _guarded(child: Child, rule_text: str, told: dict[str, Any]) -> None:
    try:
        told.update(child.answer(rule_text))
    except BaseException:
        told.update(outcome="fault", message=traceback.format_exc()[-3000:])


if __name__ == "__main__":
    main()
