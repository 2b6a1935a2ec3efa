"""Queries on simulations, their messages, entries and events; nothing here touches any other table but to read."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.decisions import Place
from services.campaign.domain.simulations import (
    OPEN,
    SEND,
    WAIT,
    Found,
    FoundEntry,
    Item,
    Planned,
    Simulation,
)
from services.campaign.domain.triggers import Trigger
from services.campaign.models import (
    message,
    recent_send,
    simulated_entry,
    simulated_event,
    simulated_message,
    simulation,
)

_UUIDS = pg.ARRAY(pg.UUID(as_uuid=True))
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode
_DETAILS = (simulated_message, simulated_entry, simulated_event)


def insert(connection: Connection, item: Simulation) -> None:
    """Write a simulation; one that is there stays as it is."""
    names = ("id", "origin", "start_time", "end_time", "create_time", "kinds")
    values = {name: getattr(item, name) for name in names}
    connection.execute(pg.insert(simulation).values(values).on_conflict_do_nothing())


def get(connection: Connection, key: UUID) -> Simulation | None:
    """Return a simulation, or None."""
    row = connection.execute(sa.select(simulation).where(simulation.c.id == key)).one_or_none()
    return None if row is None else Simulation(**row._mapping)


def finish(connection: Connection, key: UUID, summary: Mapping[str, Any]) -> None:
    """Store what a simulation found."""
    connection.execute(sa.update(simulation).where(simulation.c.id == key).values(summary=dict(summary)))


def clear(connection: Connection, key: UUID) -> None:
    """Delete what a simulation has found so far."""
    for table in _DETAILS:
        connection.execute(sa.delete(table).where(table.c.simulation_id == key))


def clear_events(connection: Connection, key: UUID) -> None:
    """Delete the events that a simulation replayed."""
    connection.execute(sa.delete(simulated_event).where(simulated_event.c.simulation_id == key))


def forget(connection: Connection, before: datetime) -> bool:
    """Delete one simulation from before a time, with all of it; says whether there was one that nobody else deletes."""
    query = (
        sa.select(simulation.c.id)
        .where(simulation.c.create_time < before)
        .order_by(simulation.c.create_time)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    key = connection.scalar(query)
    if key is None:
        return False
    clear(connection, key)
    connection.execute(sa.delete(simulation).where(simulation.c.id == key))
    return True


_PLAN = sa.text("""
INSERT INTO simulated_message (simulation_id, number, contact_id, channel, topic, template_id, coupon_pool_id, variant,
    step_id, plan_time, due_time, decision, reason, deferral, deferrals, rate_seconds, zone, domain, asked)
SELECT :simulation, item.number, item.contact_id, item.channel, item.topic, item.template_id, item.coupon_pool_id,
    item.variant, item.step_id, item.due_time, item.due_time, item.decision, item.reason, '', '', 0, '', '', false
FROM json_to_recordset(CAST(:items AS json)) AS item (number bigint, contact_id uuid, channel text, topic text,
    template_id text, coupon_pool_id text, variant text, step_id text, due_time timestamptz, decision text,
    reason text)
""").bindparams(sa.bindparam("simulation", type_=pg.UUID(as_uuid=True)))
_PLANNED = tuple(Planned.__dataclass_fields__)


def plan(connection: Connection, key: UUID, items: Sequence[Planned]) -> None:
    """Write messages as they are planned."""
    if items:
        rows = [{name: getattr(item, name) for name in _PLANNED} for item in items]
        connection.execute(_PLAN, {"simulation": key, "items": _to_json(rows)})


def open_channels(connection: Connection, key: UUID) -> list[str]:
    """Return the channels of which there are open messages."""
    mine = simulated_message.c
    query = sa.select(mine.channel).distinct().where(mine.simulation_id == key, mine.decision == OPEN)
    return sorted(connection.scalars(query))


def pools(connection: Connection, key: UUID) -> set[str]:
    """Return the coupon pools of the messages of a simulation."""
    mine = simulated_message.c
    query = (
        sa.select(mine.coupon_pool_id).distinct().where(mine.simulation_id == key, mine.coupon_pool_id != "")
    )
    return set(connection.scalars(query))


_ITEM = [simulated_message.c[name] for name in Item.__dataclass_fields__ if name in simulated_message.c]


def open_items(
    connection: Connection, key: UUID, channel: str, until: datetime | None, count: int
) -> list[Item]:
    """Return the open messages of a channel that are due first, and before a time if one is given."""
    mine = simulated_message.c
    query = (
        sa.select(*_ITEM)
        .where(mine.simulation_id == key, mine.channel == channel, mine.decision == OPEN)
        .order_by(mine.due_time, mine.number)
        .limit(count)
    )
    if until is not None:
        query = query.where(mine.due_time < until)
    return [Item(**row._mapping) for row in connection.execute(query)]


_DECIDE = sa.text("""
UPDATE simulated_message AS mine SET decision = item.decision, reason = item.reason, due_time = item.due_time,
    deferral = item.deferral, deferrals = item.deferrals, send_time = item.send_time,
    rate_seconds = item.rate_seconds, zone = item.zone, domain = item.domain, asked = item.asked
FROM json_to_recordset(CAST(:items AS json)) AS item (number bigint, decision text, reason text,
    due_time timestamptz, deferral text, deferrals text, send_time timestamptz, rate_seconds double precision,
    zone text, domain text, asked boolean)
WHERE mine.simulation_id = :simulation AND mine.number = item.number
""").bindparams(sa.bindparam("simulation", type_=pg.UUID(as_uuid=True)))


def decide(
    connection: Connection, key: UUID, items: Iterable[tuple[Item, str, str, datetime | None]]
) -> None:
    """Write what became of messages: their decision, its reason, and when they would be sent."""
    rows = [
        {
            "number": item.number,
            "decision": decision,
            "reason": reason,
            "due_time": item.due_time,
            "deferral": item.deferral,
            "deferrals": item.deferrals,
            "send_time": send_time,
            "rate_seconds": item.rate_seconds,
            "zone": item.zone,
            "domain": item.domain,
            "asked": item.asked,
        }
        for item, decision, reason, send_time in items
    ]
    if rows:
        connection.execute(_DECIDE, {"simulation": key, "items": _to_json(rows)})


def stop_at_end(connection: Connection, key: UUID, reason: str) -> None:
    """Let all that is still open wait."""
    mine = simulated_message.c
    why = sa.case((mine.deferral != "", mine.deferral), else_=reason)
    connection.execute(
        sa.update(simulated_message)
        .where(mine.simulation_id == key, mine.decision == OPEN)
        .values(decision=WAIT, reason=why)
    )


def places(
    connection: Connection, key: UUID, contacts: Collection[UUID], since: datetime, past_of: str | None
) -> list[tuple[UUID, Place]]:
    """Return the messages that contacts got since a time, in reality and in the simulation, as caps count them.

    past_of: None to count as senders do now, by the places that they keep; else by the ledger, as of a past time,
    without the messages of this origin, which are simulated.
    """
    some = sa.any_(sa.cast(list(contacts), _UUIDS))
    if past_of is None:
        table = recent_send.c
        real = sa.select(table.contact_id, table.time, table.channel, table.topic).where(
            table.contact_id == some, table.time > since
        )
    else:
        told = message.c
        real = sa.select(told.contact_id, told.send_time, told.channel, told.topic).where(
            told.contact_id == some, told.send_time > since, told.state == "sent", told.origin != past_of
        )
    mine = simulated_message.c
    simulated = sa.select(mine.contact_id, mine.send_time, mine.channel, mine.topic).where(
        mine.contact_id == some, mine.simulation_id == key, mine.decision == SEND, mine.send_time > since
    )
    rows = connection.execute(sa.union_all(real, simulated))
    return [(row[0], Place(row[1], row[2], row[3])) for row in rows]


_STAGE = sa.text("""
INSERT INTO simulated_event (simulation_id, number, contact_id, event_id, types, segment, time, event, starts)
SELECT :simulation, item.number, item.contact_id, item.event_id, item.types, item.segment, item.time, item.event,
    item.starts
FROM json_to_recordset(CAST(:items AS json)) AS item (number bigint, contact_id uuid, event_id uuid, types text[],
    segment text, time timestamptz, event jsonb, starts boolean)
""").bindparams(sa.bindparam("simulation", type_=pg.UUID(as_uuid=True)))


def stage(connection: Connection, key: UUID, first: int, items: Sequence[tuple[Trigger, bool]]) -> None:
    """Write events to be replayed, each with whether it may start the journey. first: the number of the first."""
    rows = [
        {
            "number": number,
            "contact_id": item.contact_id,
            "event_id": item.event_id,
            "types": list(item.types),
            "segment": item.segment,
            "time": item.record_time,
            "event": dict(item.event),
            "starts": starts,
        }
        for number, (item, starts) in enumerate(items, first)
    ]
    if rows:
        connection.execute(_STAGE, {"simulation": key, "items": _to_json(rows)})


def starters(connection: Connection, key: UUID) -> int:
    """Count the contacts of whom an event may start the journey."""
    mine = simulated_event.c
    query = sa.select(sa.func.count(mine.contact_id.distinct())).where(mine.simulation_id == key, mine.starts)
    return int(connection.execute(query).scalar_one())


def lives(connection: Connection, key: UUID, after: UUID | None, count: int) -> dict[UUID, list[Trigger]]:
    """Return the events of the next contacts of whom one may start the journey, in order of time."""
    mine = simulated_event.c
    some = (
        sa.select(mine.contact_id)
        .distinct()
        .where(mine.simulation_id == key, mine.starts)
        .order_by(mine.contact_id)
        .limit(count)
    )
    if after is not None:
        some = some.where(mine.contact_id > after)
    query = (
        sa.select(mine.contact_id, mine.event_id, mine.types, mine.segment, mine.time, mine.event)
        .where(mine.simulation_id == key, mine.contact_id.in_(some))
        .order_by(mine.contact_id, mine.time, mine.number)
    )
    found: dict[UUID, list[Trigger]] = {}
    for row in connection.execute(query):
        found.setdefault(row.contact_id, []).append(
            Trigger(
                event_id=row.event_id,
                contact_id=row.contact_id,
                types=tuple(row.types),
                segment=row.segment,
                record_time=row.time,
                event=row.event,
            )
        )
    return found


_ENTER = sa.text("""
INSERT INTO simulated_entry (simulation_id, number, contact_id, event_type, start_time, step_id, step, due_time,
    finish_time, outcome, path)
SELECT :simulation, item.number, item.contact_id, item.event_type, item.start_time, item.step_id, item.step,
    item.due_time, item.finish_time, item.outcome, item.path
FROM json_to_recordset(CAST(:items AS json)) AS item (number bigint, contact_id uuid, event_type text,
    start_time timestamptz, step_id text, step integer, due_time timestamptz, finish_time timestamptz, outcome text,
    path jsonb)
""").bindparams(sa.bindparam("simulation", type_=pg.UUID(as_uuid=True)))


def enter(connection: Connection, key: UUID, items: Sequence[FoundEntry]) -> None:
    """Write who would have been on a journey."""
    names = tuple(FoundEntry.__dataclass_fields__)
    rows = [{name: getattr(item, name) for name in names} for item in items]
    if rows:
        connection.execute(_ENTER, {"simulation": key, "items": _to_json(rows)})


def messages(
    connection: Connection,
    key: UUID,
    *,
    contact_id: UUID | None,
    decision: str,
    word: str,
    after: tuple[datetime, int] | None,
    count: int,
) -> list[Found]:
    """Return the next messages by the time at which they would be due, and number. word: the first of the reason."""
    mine = simulated_message.c
    query = (
        sa.select(*(mine[name] for name in Found.__dataclass_fields__))
        .where(mine.simulation_id == key)
        .order_by(mine.plan_time, mine.number)
        .limit(count)
    )
    if contact_id is not None:
        query = query.where(mine.contact_id == contact_id)
    if decision:
        query = query.where(mine.decision == decision)
    if word:
        query = query.where(sa.func.split_part(mine.reason, ":", 1) == word)
    if after is not None:
        place = sa.tuple_(
            sa.literal(after[0], sa.DateTime(timezone=True)), sa.literal(after[1], sa.BigInteger)
        )
        query = query.where(sa.tuple_(mine.plan_time, mine.number) > place)
    return [Found(**row._mapping) for row in connection.execute(query)]


def entries(connection: Connection, key: UUID, *, after: int, count: int) -> list[FoundEntry]:
    """Return the next entries by number."""
    mine = simulated_entry.c
    query = (
        sa.select(*(mine[name] for name in FoundEntry.__dataclass_fields__))
        .where(mine.simulation_id == key, mine.number > after)
        .order_by(mine.number)
        .limit(count)
    )
    return [FoundEntry(**row._mapping) for row in connection.execute(query)]
