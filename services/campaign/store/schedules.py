"""Queries on when campaigns are launched by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.campaigns import RUNNING
from services.campaign.domain.schedules import Schedule
from services.campaign.models import campaign, campaign_occurrence, campaign_schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Hold a schedule with where it stands; next_local: of the next occurrence, None when there is none."""

    campaign_id: str
    schedule: Schedule
    next_local: datetime | None
    next_time: datetime | None
    run_count: int
    last_run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """Hold what became of an occurrence: the id of its run, or why it was skipped, and so many after it."""

    local: datetime
    time: datetime
    run: str
    reason: str
    count: int


def save(connection: Connection, key: str, item: Schedule, local: datetime, moment: datetime) -> None:
    """Store a schedule and its next occurrence, in place of the one before."""
    values = {
        "start": item.start,
        "time_zone": item.zone,
        "recurrence": item.recurrence,
        "recipient_time": item.recipient_time,
        "catch_up": item.catch_up,
        "next_local": local,
        "next_time": moment,
    }
    insert = pg.insert(campaign_schedule).values(campaign_id=key, run_count=0, last_run="", **values)
    connection.execute(insert.on_conflict_do_update(index_elements=["campaign_id"], set_=values))


def stop(connection: Connection, key: str) -> None:
    """Let no further occurrence be launched."""
    connection.execute(
        sa.update(campaign_schedule)
        .where(campaign_schedule.c.campaign_id == key)
        .values(next_local=None, next_time=None)
    )


def get(connection: Connection, key: str) -> Kept | None:
    """Return the schedule of a campaign, or None."""
    row = connection.execute(
        sa.select(campaign_schedule).where(campaign_schedule.c.campaign_id == key)
    ).one_or_none()
    return None if row is None else _kept(row)


def due(connection: Connection, now: datetime) -> list[str]:
    """Return the campaigns that have an occurrence due."""
    query = sa.select(campaign_schedule.c.campaign_id).where(campaign_schedule.c.next_time <= now)
    return list(connection.scalars(query.order_by(campaign_schedule.c.next_time)))


def claim(connection: Connection, key: str, now: datetime) -> Kept | None:
    """Return a schedule that is still due, locked until the transaction ends; None when another worker has it."""
    query = (
        sa.select(campaign_schedule)
        .where(campaign_schedule.c.campaign_id == key, campaign_schedule.c.next_time <= now)
        .with_for_update(skip_locked=True)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else _kept(row)


def move_on(
    connection: Connection, kept: Kept, local: datetime | None, moment: datetime | None, run: str
) -> None:
    """Store the next occurrence of a claimed schedule, and the run that was launched if any."""
    launched = {"run_count": kept.run_count + 1, "last_run": run} if run else {}
    connection.execute(
        sa.update(campaign_schedule)
        .where(campaign_schedule.c.campaign_id == kept.campaign_id)
        .values(next_local=local, next_time=moment, **launched)
    )


def record(connection: Connection, key: str, item: Occurrence) -> None:
    """Store what became of an occurrence."""
    values = {name: getattr(item, name) for name in Occurrence.__dataclass_fields__}
    insert = pg.insert(campaign_occurrence).values(campaign_id=key, **values)
    # A schedule that was set back may come to the same local time again.
    connection.execute(insert.on_conflict_do_update(index_elements=["campaign_id", "local"], set_=values))


def page(connection: Connection, key: str, *, before: datetime | None, count: int) -> list[Occurrence]:
    """Return the next occurrences that are over, newest first."""
    columns = [campaign_occurrence.c[name] for name in Occurrence.__dataclass_fields__]
    query = sa.select(*columns).where(campaign_occurrence.c.campaign_id == key)
    if before is not None:
        query = query.where(campaign_occurrence.c.local < before)
    query = query.order_by(campaign_occurrence.c.local.desc()).limit(count)
    return [Occurrence(**row._mapping) for row in connection.execute(query)]


def is_running(connection: Connection, key: str) -> bool:
    """Say whether a campaign is being planned or sent, or paused."""
    query = sa.select(sa.true()).where(campaign.c.id == key, campaign.c.state.in_(RUNNING))
    return connection.execute(query).first() is not None


def is_crowded(connection: Connection, key: str, after: datetime, over: datetime) -> bool:
    """Say whether a run by the recipients' clocks goes on that was due after, or up to, a local time.

    Runs of the series that are due at once are due long ago.
    """
    due = campaign.c.recipient_local
    query = sa.select(sa.true()).where(
        campaign.c.series == key,
        campaign.c.state.in_(RUNNING),
        sa.or_(due.is_(None), due > after, due <= over),
    )
    return connection.execute(query).first() is not None


def _kept(row: sa.Row[tuple[object, ...]]) -> Kept:
    return Kept(
        campaign_id=row.campaign_id,
        schedule=Schedule(
            start=row.start,
            zone=row.time_zone,
            recurrence=row.recurrence,
            recipient_time=row.recipient_time,
            catch_up=row.catch_up,
        ),
        next_local=row.next_local,
        next_time=row.next_time,
        run_count=row.run_count,
        last_run=row.last_run,
    )
