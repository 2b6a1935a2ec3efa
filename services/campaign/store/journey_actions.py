"""Queries on what journeys bring about in other services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.journey_states import RUNNING
from services.campaign.models import journey, journey_action
from services.kit import arrays

_UUIDS = pg.ARRAY(pg.UUID(as_uuid=True))
_TEXTS = pg.ARRAY(sa.Text)
_TIMES = pg.ARRAY(sa.DateTime(timezone=True))
PLANNED, DONE, FAILED = "planned", "done", "failed"


@dataclass(frozen=True, slots=True)
class Deed:
    """Hold something to be done for a contact; its id is the request id, so that it is done once."""

    id: UUID
    entry_id: UUID
    step: int
    journey_id: str
    step_id: str
    contact_id: UUID | None
    kind: str
    body: Mapping[str, Any]
    attempt_count: int = 0


_DEED = [journey_action.c[name] for name in Deed.__dataclass_fields__]


def plan(connection: Connection, deeds: Sequence[Deed], now: datetime) -> None:
    """Write what is to be done; what an entry's step has planned already stays as it is."""
    if not deeds:
        return
    own = {
        "id": arrays.uuids(deed.id for deed in deeds),
        "entry_id": arrays.uuids(deed.entry_id for deed in deeds),
        "step": arrays.integers(deed.step for deed in deeds),
        "contact_id": arrays.uuids(deed.contact_id for deed in deeds),
        "body": arrays.objects(deed.body for deed in deeds),
        "attempt_count": arrays.integers(deed.attempt_count for deed in deeds),
        **{
            name: arrays.texts(getattr(deed, name) for deed in deeds)
            for name in ("journey_id", "step_id", "kind")
        },
    }
    constants = {"state": PLANNED, "due_time": now, "create_time": now, "reason": ""}
    item = sa.func.unnest(*own.values()).table_valued(*own, name="item").render_derived()
    rows = sa.select(
        *(item.c[name] for name in own),
        *(sa.literal(value, journey_action.c[name].type) for name, value in constants.items()),
    )
    statement = pg.insert(journey_action).from_select([*own, *constants], rows)
    connection.execute(statement.on_conflict_do_nothing())


def take(connection: Connection, now: datetime, count: int, lease: timedelta) -> list[Deed]:
    """Return due deeds and let nobody else take them for a while; of an entry only the first that is not over.

    Whoever dies with them in hand lets them be done again under the same request ids. Those of journeys that are paused
    or cancelled are passed over.
    """
    halted = sa.select(journey.c.id).where(journey.c.state != RUNNING).scalar_subquery()
    earlier = journey_action.alias()
    waits = sa.exists().where(
        earlier.c.entry_id == journey_action.c.entry_id,
        earlier.c.step < journey_action.c.step,
        earlier.c.state == PLANNED,
    )
    chosen = (
        sa.select(journey_action.c.id)
        .where(journey_action.c.state == PLANNED, journey_action.c.due_time <= now, ~waits)
        .where(journey_action.c.journey_id.not_in(halted))
        .order_by(journey_action.c.due_time, journey_action.c.id)
        .limit(count)
        .with_for_update(skip_locked=True)
        .cte("chosen")
    )
    statement = (
        sa.update(journey_action)
        .where(journey_action.c.id == chosen.c.id)
        .values(due_time=now + lease, attempt_count=journey_action.c.attempt_count + 1)
        .returning(*_DEED)
    )
    return [Deed(*row) for row in connection.execute(statement)]


def record(connection: Connection, results: Mapping[UUID, tuple[str, str, datetime]], now: datetime) -> None:
    """Store what became of deeds: state, reason, and when it is tried again if it is still planned."""
    if not results:
        return
    item = (
        sa.func.unnest(
            sa.cast(list(results), _UUIDS),
            sa.cast([state for state, _, _ in results.values()], _TEXTS),
            sa.cast([reason[:500] for _, reason, _ in results.values()], _TEXTS),
            sa.cast([due for _, _, due in results.values()], _TIMES),
        )
        .table_valued("id", "state", "reason", "due_time", name="item")
        .render_derived()
    )
    over = sa.case((item.c.state == PLANNED, sa.null()), else_=sa.literal(now, sa.DateTime(timezone=True)))
    connection.execute(
        sa.update(journey_action)
        .where(journey_action.c.id == item.c.id, journey_action.c.state == PLANNED)
        .values(state=item.c.state, reason=item.c.reason, due_time=item.c.due_time, finish_time=over)
    )


def of_entry(connection: Connection, entry_id: UUID) -> dict[int, tuple[str, str]]:
    """Return the state and reason of what an entry brought about, by the number of the step."""
    query = sa.select(journey_action.c.step, journey_action.c.state, journey_action.c.reason).where(
        journey_action.c.entry_id == entry_id
    )
    return {row[0]: (row[1], row[2]) for row in connection.execute(query)}
