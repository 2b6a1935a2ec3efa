"""All members of a segment replaced: who differs is noted, span by span, and then applied and told at once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Select
from sqlalchemy.dialects import postgresql as pg

from services.segmentation.models import contact_state, membership, segment_size
from services.segmentation.rules import Sweep
from services.segmentation.store import bounds, sweeps
from services.segmentation.store.membership import KEPT
from services.segmentation.store.sweeps import Slice
from services.segmentation.store.telling import TOLD, Notice, Notices, telling

_CHANGE = sa.table(
    "membership_change",
    sa.column("segment_number", sa.Integer),
    sa.column("contact_id", pg.UUID(as_uuid=True)),
    sa.column("entered", sa.Boolean),
)


class Replacement:
    """Make those whom a rule names the members of a segment, in the transaction at hand.

    The membership lock must be owned, or nobody else may change the members. A transaction has one at a time.
    """

    def __init__(self, connection: Connection, notice: Notice, now: datetime) -> None:
        self._connection = connection
        self._notice = notice
        self._now = now
        connection.exec_driver_sql(
            "CREATE TEMPORARY TABLE membership_change "
            "(segment_number int NOT NULL, contact_id uuid NOT NULL, entered boolean NOT NULL) ON COMMIT DROP"
        )

    def sweep(self, rule: Sweep, of: Slice, budget: bounds.Budget) -> None:
        """Note who of a slice differs, and bring forward when memberships change; raises TooSlow.

        One statement does both: most of its time goes into events that either needs.
        """
        current = sa.select(membership.c.contact_id).where(
            membership.c.segment_number == self._notice.number,
            sweeps.within(membership.c.contact_id),
        )
        statement: Any = self._noting(rule.members, current)
        if rule.changes is not None:
            statement = _bringing_forward(rule.changes).add_cte(statement.cte("noted"))
        with budget.spent_on(self._connection):
            self._connection.execute(statement, {"now": self._now, "first": of.first, "last": of.last})

    def all_of(self, members: Select[Any], parameters: dict[str, Any], seconds: float | None = None) -> None:
        """Note who of everybody differs from a SELECT of contact_id; seconds: how long that may take, else TooSlow."""
        current = sa.select(membership.c.contact_id).where(membership.c.segment_number == self._notice.number)
        with bounds.within(self._connection, seconds):
            self._connection.execute(self._noting(members, current), parameters)

    def _noting(self, members: Select[Any], current: Select[Any]) -> Any:
        result, had = members.subquery("result"), current.subquery("current")
        differing = (
            sa.select(
                sa.literal(self._notice.number, sa.Integer),
                sa.func.coalesce(result.c.contact_id, had.c.contact_id),
                had.c.contact_id.is_(None),
            )
            .select_from(result.join(had, result.c.contact_id == had.c.contact_id, full=True))
            .where(sa.or_(result.c.contact_id.is_(None), had.c.contact_id.is_(None)))
        )
        return sa.insert(_CHANGE).from_select(["segment_number", "contact_id", "entered"], differing)

    def apply(self, *, historical: bool) -> tuple[int, int]:
        """Let those who were noted enter and leave; returns how many did.

        historical: what the events say; true when the definition changed and not the contacts.
        """
        connection, notice, now = self._connection, self._notice, self._now
        connection.exec_driver_sql("ANALYZE membership_change")
        with sweeps.whole(connection):
            left = connection.exec_driver_sql(
                "WITH gone AS (DELETE FROM membership AS m USING membership_change AS c WHERE NOT c.entered "
                "AND m.segment_number = %(number)s AND m.contact_id = c.contact_id "
                f"RETURNING m.segment_number, m.contact_id, m.enter_time) {KEPT}",
                {"number": notice.number, "now": now},
            ).rowcount
        entered = connection.exec_driver_sql(
            "INSERT INTO membership (segment_number, contact_id, enter_time) "
            "SELECT segment_number, contact_id, %(now)s FROM membership_change WHERE entered ORDER BY contact_id",
            {"now": now},
        ).rowcount
        if entered or left:
            told = telling(Notices((notice,)), now, historical)
            connection.exec_driver_sql(TOLD.format(changed="membership_change"), told)
        if entered != left:
            size = {"segment_number": notice.number, "delta": entered - left}
            connection.execute(sa.insert(segment_size).values(size))
        connection.exec_driver_sql("DROP TABLE membership_change")
        return entered, left


def _bringing_forward(changes: Select[Any]) -> Any:
    source = changes.subquery("n")
    return (
        sa.update(contact_state)
        .where(
            contact_state.c.contact_id == source.c.contact_id,
            sweeps.within(contact_state.c.contact_id),
            sa.or_(contact_state.c.next_change.is_(None), contact_state.c.next_change > source.c.next_change),
        )
        .values(next_change=source.c.next_change)
    )


def remove_members(connection: Connection, notice: Notice, now: datetime) -> int:
    """Let all members of a segment leave; returns how many. The membership lock must be owned."""
    replacement = Replacement(connection, notice, now)
    replacement.all_of(sa.select(membership.c.contact_id).where(sa.false()), {})
    _, left = replacement.apply(historical=True)
    return left
