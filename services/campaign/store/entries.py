"""Queries on those who are on journeys: they start, hear of events, and move."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.journey_states import RUNNING
from services.campaign.domain.journeys import HELD_OUT, Entry, Journey
from services.campaign.domain.stepping import Advance, Signal
from services.campaign.domain.triggers import Trigger
from services.campaign.models import (
    journey,
    journey_contact,
    journey_entry,
    journey_move,
    journey_signal,
)
from services.kit import arrays

_UUIDS = pg.ARRAY(pg.UUID(as_uuid=True))
_TIMES = pg.ARRAY(sa.DateTime(timezone=True))
_TEXTS = pg.ARRAY(sa.Text)
_INTS = pg.ARRAY(sa.Integer)


def may_start(connection: Connection, item: Journey, contacts: Collection[UUID], now: datetime) -> set[UUID]:
    """Record that contacts start a journey now and return those whose last start, or end, allows it.

    The row of (contact, journey) decides: whoever comes at the same moment waits for it, and then sees this start.
    """
    # Not named like a column of the entries, which a subquery would take it for.
    contact = sa.func.unnest(arrays.uuids(sorted(contacts))).column_valued("who")
    moment = sa.literal(now, sa.DateTime(timezone=True))
    rows = sa.select(contact, sa.literal(item.id, sa.Text), moment)
    # Who was on it while each event started it has no row yet.
    free = ~_lately(item, contact, now)
    table = journey_contact.c
    if item.after_leaving:
        insert_ = pg.insert(journey_contact).from_select(["contact_id", "journey_id", "start_time"], rows)
        connection.execute(
            insert_.on_conflict_do_update(
                index_elements=["contact_id", "journey_id"], set_={"start_time": table.start_time}
            )
        )
        # The entries are looked at in a statement of its own, which sees what those wrote whom it waited for.
        statement: Any = (
            sa.update(journey_contact)
            .where(table.journey_id == item.id, table.contact_id.in_(sa.select(contact).where(free)))
            .values(start_time=moment)
        )
    else:
        insert_ = pg.insert(journey_contact).from_select(
            ["contact_id", "journey_id", "start_time"], rows.where(free)
        )
        statement = (
            insert_.on_conflict_do_nothing()
            if item.reentry_after is None
            else insert_.on_conflict_do_update(
                index_elements=["contact_id", "journey_id"],
                set_={"start_time": insert_.excluded.start_time},
                where=table.start_time <= now - item.reentry_after,
            )
        )
    return set(connection.scalars(statement.returning(table.contact_id)))


def _lately(item: Journey, contact: sa.ColumnElement[UUID], now: datetime) -> sa.ColumnElement[bool]:
    """Return whether a contact was on a journey so lately, by its entries, that it may not start it again.

    Entries are found by their contact, whatever the planner takes for better while statistics say that there are few:
    a join, or an index that begins with the journey, would read all entries of the journey for each batch of events.
    """
    entry = journey_entry.c
    of_journey = entry.journey_id.is_not_distinct_from(item.id)
    mine = sa.select(sa.true()).where(entry.contact_id == contact, of_journey)
    if item.after_leaving:
        since = now - (item.reentry_after or timedelta(0))
        mine = mine.where(sa.or_(entry.finish_time.is_(None), entry.finish_time > since))
    elif item.reentry_after is not None:
        mine = mine.where(entry.start_time > now - item.reentry_after)
    return mine.limit(1).scalar_subquery().is_not(None)


def stays_before(
    connection: Connection, key: str, contacts: Collection[UUID], moment: datetime
) -> dict[UUID, list[tuple[datetime, datetime | None]]]:
    """Return when entries of contacts that started before a moment began and ended, None for those on their way."""
    entry = journey_entry.c
    contact = sa.func.unnest(arrays.uuids(contacts)).column_valued("who")
    # As in `_lately`; OFFSET keeps it a look for each contact.
    stays = (
        sa.select(entry.start_time, entry.finish_time)
        .where(
            entry.contact_id == contact,
            entry.journey_id.is_not_distinct_from(key),
            entry.start_time < moment,
        )
        .offset(sa.literal_column("0"))
        .lateral("stays")
    )
    query = sa.select(contact, stays.c.start_time, stays.c.finish_time).join(stays, sa.true())
    found: dict[UUID, list[tuple[datetime, datetime | None]]] = {}
    for contact, start, end in connection.execute(query):
        found.setdefault(contact, []).append((start, end))
    return found


def enrol(
    connection: Connection,
    item: Journey,
    first: str,
    entries: Mapping[UUID, Trigger],
    now: datetime,
    *,
    held_out: bool = False,
) -> int:
    """Write entries by their id, due at once; one for each event. Returns how many are new.

    held_out: they end as they begin, and are kept to be compared with.
    """
    if not entries:
        return 0
    row = (
        sa.func.unnest(
            arrays.uuids(entries),
            arrays.uuids(trigger.contact_id for trigger in entries.values()),
            arrays.uuids(trigger.event_id for trigger in entries.values()),
            arrays.objects(trigger.event for trigger in entries.values()),
            # What happens is counted from the event, so that a worker that comes late shifts nothing.
            arrays.times(min(trigger.record_time, now) for trigger in entries.values()),
        )
        .table_valued("id", "contact_id", "event_id", "event", "time", name="row")
        .render_derived()
    )
    names = ["id", "contact_id", "event_id", "event", "start_time", "arrive_time", "due_time"]
    columns = (row.c.id, row.c.contact_id, row.c.event_id, row.c.event, row.c.time, row.c.time, row.c.time)
    constants: dict[str, Any] = {
        "journey_id": sa.literal(item.id, sa.Text),
        "version": sa.literal(item.version, sa.Integer),
        "step": sa.literal(0, sa.Integer),
        "step_id": sa.literal(first, sa.Text),
    }
    if held_out:
        constants |= {"finish_time": row.c.time, "outcome": sa.literal(HELD_OUT, sa.Text)}
    statement = (
        pg.insert(journey_entry)
        .from_select([*names, *constants], sa.select(*columns, *constants.values()))
        .on_conflict_do_nothing()
    )
    return len(connection.execute(statement.returning(sa.literal(1))).all())


_HEARING = sa.text("""
SELECT entry.id, told.number FROM unnest(
    CAST(:contacts AS uuid[]), CAST(:types AS text[]), CAST(:segments AS text[]), CAST(:events AS uuid[]),
    CAST(:times AS timestamptz[]), CAST(:numbers AS int[])
) AS told (contact_id, type, segment, event_id, time, number)
JOIN journey_entry AS entry ON entry.contact_id = told.contact_id AND entry.finish_time IS NULL
    AND entry.event_id <> told.event_id AND entry.start_time <= told.time
JOIN journey_listen AS listen ON listen.journey_id = entry.journey_id AND listen.version = entry.version
    AND listen.event_type = told.type AND listen.segment IN ('', told.segment)
ORDER BY entry.id FOR UPDATE OF entry
""").bindparams(
    sa.bindparam("contacts", type_=_UUIDS),
    sa.bindparam("types", type_=_TEXTS),
    sa.bindparam("segments", type_=_TEXTS),
    sa.bindparam("events", type_=_UUIDS),
    sa.bindparam("times", type_=_TIMES),
    sa.bindparam("numbers", type_=_INTS),
)


def heard(connection: Connection, types: Collection[str]) -> set[str]:
    """Return those of some types of events that any version has to hear of."""
    query = sa.text("SELECT DISTINCT event_type FROM journey_listen WHERE event_type = ANY (:types)")
    return set(connection.scalars(query.bindparams(sa.bindparam("types", list(types), _TEXTS))))


def signal(connection: Connection, triggers: Sequence[Trigger], now: datetime) -> int:
    """Note events for the open entries that have to hear of them, and let these look at once; returns how many."""
    told = [
        (trigger, name, number)
        for number, trigger in enumerate(triggers)
        for name in dict.fromkeys(trigger.types)
    ]
    values = {
        "contacts": [trigger.contact_id for trigger, _, _ in told],
        "types": [name for _, name, _ in told],
        "segments": [trigger.segment for trigger, _, _ in told],
        "events": [trigger.event_id for trigger, _, _ in told],
        "times": [trigger.record_time for trigger, _, _ in told],
        "numbers": [number for _, _, number in told],
    }
    pairs = sorted({(row[0], row[1]) for row in connection.execute(_HEARING, values)})
    if not pairs:
        return 0
    rows = [
        {
            "entry_id": key,
            "event_id": triggers[number].event_id,
            "types": list(triggers[number].types),
            "segment": triggers[number].segment,
            "time": triggers[number].record_time,
            "event": dict(triggers[number].event),
        }
        for key, number in pairs
    ]
    connection.execute(pg.insert(journey_signal).on_conflict_do_nothing(), rows)
    due = sa.func.least(journey_entry.c.due_time, sa.literal(now, sa.DateTime(timezone=True)))
    connection.execute(
        sa.update(journey_entry)
        .where(journey_entry.c.id == sa.any_(sa.cast(sorted({key for key, _ in pairs}), _UUIDS)))
        .values(signalled=True, due_time=due)
    )
    return len(pairs)


_ENTRY = (
    journey_entry.c.id,
    journey_entry.c.journey_id,
    journey_entry.c.version,
    journey_entry.c.contact_id,
    journey_entry.c.step,
    journey_entry.c.step_id,
    journey_entry.c.start_time,
    sa.func.coalesce(journey_entry.c.arrive_time, journey_entry.c.due_time).label("arrive_time"),
    journey_entry.c.signalled,
)


def take_due(connection: Connection, now: datetime, count: int) -> list[Entry]:
    """Return entries that are due, locked until the transaction ends; those that others have locked are passed over.

    Each journey that runs has its share of the number, so that a large one holds up no other.
    """
    entry = journey_entry.c
    due = sa.and_(entry.journey_id == journey.c.id, entry.finish_time.is_(None), entry.due_time <= now)
    running = sa.select(journey.c.id).where(journey.c.state == RUNNING, sa.exists().where(due))
    keys = list(connection.scalars(running))
    if not keys:
        return []
    some = (
        sa.select(*_ENTRY)
        .where(due)
        .order_by(entry.due_time, entry.id)
        .limit(max(1, count // len(keys)))
        .with_for_update(skip_locked=True)
        .lateral("due")
    )
    query = (
        sa.select(*some.c)
        .select_from(journey)
        .join(some, sa.true())
        .where(journey.c.id == sa.any_(sa.cast(keys, _TEXTS)), journey.c.state == RUNNING)
    )
    return [Entry(*row) for row in connection.execute(query)]


def take(connection: Connection, keys: Collection[UUID]) -> list[Entry]:
    """Return entries by id that are still open, locked; those that others have locked are passed over.

    Not among them are those whose journey was paused or cancelled meanwhile.
    """
    running = sa.select(journey.c.id).where(journey.c.state == RUNNING).scalar_subquery()
    query = (
        sa.select(*_ENTRY)
        .where(
            journey_entry.c.id == sa.any_(sa.cast(sorted(keys), _UUIDS)),
            journey_entry.c.finish_time.is_(None),
            journey_entry.c.journey_id.in_(running),
        )
        .order_by(journey_entry.c.id)
        .with_for_update(skip_locked=True)
    )
    return [Entry(*row) for row in connection.execute(query)]


def signals(connection: Connection, keys: Collection[UUID]) -> dict[UUID, list[Signal]]:
    """Return the events noted for entries, in the order of their times."""
    if not keys:
        return {}
    query = (
        sa.select(journey_signal)
        .where(journey_signal.c.entry_id == sa.any_(sa.cast(list(keys), _UUIDS)))
        .order_by(journey_signal.c.time, journey_signal.c.event_id)
    )
    found: dict[UUID, list[Signal]] = {}
    for row in connection.execute(query):
        found.setdefault(row.entry_id, []).append(
            Signal(row.event_id, tuple(row.types), row.segment, row.time, row.event)
        )
    return found


def move(connection: Connection, moves: Sequence[tuple[Entry, Advance]]) -> None:
    """Store where entries stand after their steps, and the steps that they took."""
    item = (
        sa.func.unnest(
            arrays.uuids(entry.id for entry, _ in moves),
            arrays.integers(done.step for _, done in moves),
            arrays.texts(done.step_id for _, done in moves),
            arrays.times(done.arrive_time for _, done in moves),
            arrays.times(done.due_time for _, done in moves),
            arrays.times(done.finish_time for _, done in moves),
            arrays.texts(done.outcome for _, done in moves),
        )
        .table_valued(
            "id", "step", "step_id", "arrive_time", "due_time", "finish_time", "outcome", name="item"
        )
        .render_derived()
    )
    connection.execute(
        sa.update(journey_entry)
        .where(journey_entry.c.id == item.c.id)
        .values(
            **{column.name: column for column in item.c if column.name != "id"},
            problem="",
            signalled=sa.and_(journey_entry.c.signalled, item.c.finish_time.is_(None)),
        )
    )
    _record(connection, moves)
    ended = [entry.id for entry, done in moves if done.outcome and entry.signalled]
    used = [(entry.id, key) for entry, done in moves for key in done.consumed]
    if ended or used:
        connection.execute(
            sa.text(
                "DELETE FROM journey_signal WHERE entry_id = ANY (:ended) OR (entry_id, event_id) IN "
                "(SELECT * FROM unnest(CAST(:entries AS uuid[]), CAST(:events AS uuid[])))"
            ).bindparams(
                sa.bindparam("ended", ended, _UUIDS),
                sa.bindparam("entries", [key for key, _ in used], _UUIDS),
                sa.bindparam("events", [key for _, key in used], _UUIDS),
            )
        )


def _record(connection: Connection, moves: Sequence[tuple[Entry, Advance]]) -> None:
    taken = [(entry, step) for entry, done in moves for step in done.moves]
    if not taken:
        return
    names = {
        "entry_id": arrays.uuids(entry.id for entry, _ in taken),
        "step": arrays.integers(step.step for _, step in taken),
        "journey_id": arrays.texts(entry.journey_id for entry, _ in taken),
        "version": arrays.integers(entry.version for entry, _ in taken),
        "step_id": arrays.texts(step.step_id for _, step in taken),
        "edge": arrays.texts(step.edge for _, step in taken),
        "next_id": arrays.texts(step.next_id for _, step in taken),
        "arrive_time": arrays.times(step.arrive_time for _, step in taken),
        "leave_time": arrays.times(step.leave_time for _, step in taken),
    }
    item = sa.func.unnest(*names.values()).table_valued(*names, name="item").render_derived()
    connection.execute(sa.insert(journey_move).from_select(list(names), sa.select(*item.c)))


def hold(connection: Connection, problems: Mapping[UUID, str], until: datetime) -> None:
    """Let entries that cannot go on try again at a time, and say why."""
    item = (
        sa.func.unnest(
            sa.cast(list(problems), _UUIDS), sa.cast([text[:500] for text in problems.values()], _TEXTS)
        )
        .table_valued("id", "problem", name="item")
        .render_derived()
    )
    connection.execute(
        sa.update(journey_entry)
        .where(journey_entry.c.id == item.c.id, journey_entry.c.finish_time.is_(None))
        .values(problem=item.c.problem, due_time=until)
    )


def open_steps(connection: Connection, key: str, version: int) -> dict[tuple[int, str], int]:
    """Return how many are in which step of the versions before one, by (version, step id), and lock them all."""
    entry = journey_entry.c
    waiting = (
        sa.select(entry.version, entry.step_id)
        .where(entry.journey_id == key, entry.finish_time.is_(None), entry.version < version)
        .order_by(entry.id)
        .with_for_update()
        .cte("waiting")
    )
    query = sa.select(waiting.c.version, waiting.c.step_id, sa.func.count()).group_by(
        waiting.c.version, waiting.c.step_id
    )
    return {(row[0], row[1]): row[2] for row in connection.execute(query)}


def migrate(
    connection: Connection, key: str, version: int, mapping: Mapping[str, str], of: Collection[int], now: Any
) -> int:
    """Put the open entries of some versions on another one, each at the step that its own maps to; returns how many.

    They are due at once: the new step may be over sooner.
    """
    entry = journey_entry.c
    item = (
        sa.func.unnest(sa.cast(list(mapping), _TEXTS), sa.cast(list(mapping.values()), _TEXTS))
        .table_valued("old", "new", name="item")
        .render_derived()
    )
    statement = (
        sa.update(journey_entry)
        .where(
            entry.journey_id == key,
            entry.finish_time.is_(None),
            entry.version == sa.any_(sa.cast(sorted(of), _INTS)),
            entry.step_id == item.c.old,
        )
        .values(version=version, step_id=item.c.new, due_time=sa.func.least(entry.due_time, now), problem="")
    )
    return connection.execute(statement).rowcount
