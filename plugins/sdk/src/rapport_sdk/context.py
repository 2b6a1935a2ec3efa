"""What the host hands to a plugin's code: the data it may see, the time, its settings.

SQLAlchemy takes longer to import than all else of a plugin host, and only SQL forms need it: it is imported when the
first of them is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from rapport_sdk.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, FromClause

NOW_PARAMETER = "rapport_now"
CONTACTS_PARAMETER = "rapport_contact_ids"


@dataclass(frozen=True)
class EvalContext:
    """Hand the time of evaluation (UTC) and the settings to the Python form of a rule or trait."""

    now: datetime
    settings: Settings


class EventSet:
    """Describe the events of one type, or fewer after `where`; columns in `c` as in the view `sdk.event`."""

    def __init__(
        self, context: SqlContext, source: FromClause, conditions: tuple[ColumnElement[bool], ...]
    ) -> None:
        self._context = context
        self._source = source
        self._conditions = conditions

    @property
    def c(self) -> Any:
        """Give the columns: contact_id, event_id, type, category, amount, occurred_at, payload."""
        return self._source.c

    def where(self, *conditions: ColumnElement[bool]) -> EventSet:
        """Return the events that also meet the conditions; those for which one is NULL are left out."""
        return EventSet(self._context, self._source, (*self._conditions, *conditions))

    def per_contact(self, **aggregates: ColumnElement[Any]) -> Any:
        """Aggregate the events of each contact and return the results by name.

        Each argument is an aggregate over columns of `c`, such as `spend=func.sum(orders.c.amount)`. A
        contact without such events has NULL in each of them: use `func.coalesce` where no events means zero.
        """
        from sqlalchemy import select

        if not aggregates:
            raise ValueError(
                "per_contact needs at least one aggregate, such as total=func.sum(orders.c.amount)"
            )
        grouped = (
            select(self._source.c.contact_id, *(column.label(name) for name, column in aggregates.items()))
            .where(*self._conditions)
            .group_by(self._source.c.contact_id)
            .subquery()
        )
        self._context._joins.append(grouped)
        return SimpleNamespace(**{name: grouped.c[name] for name in aggregates})

    def count(self) -> ColumnElement[int]:
        """Return the number of these events of each contact, 0 where there are none."""
        from sqlalchemy import func

        counted = self.per_contact(events=func.count())
        return func.coalesce(counted.events, 0)


class SqlContext:
    """Hand the published views, the time and the settings to the SQL form of a rule or trait.

    profile: the contact's row of `sdk.profile`. Its columns are in `ctx.profile.c`.
    """

    def __init__(self, settings: Settings, allowed_events: tuple[str, ...], *, batch: bool) -> None:
        from sqlalchemy import DateTime, Uuid, bindparam
        from sqlalchemy.dialects.postgresql import ARRAY

        from rapport_sdk.views import PROFILE

        self.settings = settings
        self.profile = PROFILE.alias("profile")
        self._now: ColumnElement[datetime] = bindparam(NOW_PARAMETER, None, type_=DateTime(timezone=True))
        self._contacts: ColumnElement[Any] | None = (
            bindparam(CONTACTS_PARAMETER, None, type_=ARRAY(Uuid)) if batch else None
        )
        self._allowed_events = allowed_events
        self._now_was_read = False
        self._joins: list[FromClause] = []

    @property
    def now(self) -> ColumnElement[datetime]:
        """Give the time of evaluation, a bound parameter; a rule that reads it must answer `Timed`."""
        self._now_was_read = True
        return self._now

    def events(self, type_: str) -> EventSet:
        """Return the events of a type that the rule or trait declared, none later than now."""
        from rapport_sdk.views import EVENT

        if type_ not in self._allowed_events:
            declared = ", ".join(self._allowed_events) or "none"
            raise ValueError(
                f"events {type_!r} are read but not declared in events=(…); declared: {declared}"
            )
        source = EVENT.alias()
        conditions = (source.c.type == type_, source.c.occurred_at <= self._now, *self._within(source))
        return EventSet(self, source, conditions)

    def _within(self, source: FromClause) -> tuple[ColumnElement[bool], ...]:
        from sqlalchemy import any_

        # Every relation is narrowed to the batch, not only the outermost: the planner does not carry `= ANY`
        # into a grouped subquery, and would aggregate everybody's events for a batch of a few hundred
        # contacts.
        return () if self._contacts is None else (source.c.contact_id == any_(self._contacts),)
