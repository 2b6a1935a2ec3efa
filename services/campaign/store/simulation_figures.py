"""Queries that count what simulations found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from services.campaign.domain.experiments import HELD_OUT
from services.campaign.domain.simulations import SEND
from services.campaign.models import simulated_message

_MINE = simulated_message.c
_WORD = sa.func.split_part(_MINE.reason, ":", 1)
_SENT = _MINE.decision == SEND
_HELD_OUT = sa.and_(_WORD == HELD_OUT, _MINE.decision == "refuse")


@dataclass(frozen=True, slots=True)
class ChannelFigures:
    """Count the messages of a channel; drain: from the first message that a limit holds up to the last."""

    channel: str
    messages: int
    sent: int
    limited: int
    longest_wait: timedelta
    drain: timedelta


def decisions(connection: Connection, key: UUID) -> list[tuple[str, str, int]]:
    """Return how many messages were decided how and for which reason, by its first word."""
    query = (
        sa.select(_MINE.decision, _WORD, sa.func.count())
        .where(_MINE.simulation_id == key)
        .group_by(_MINE.decision, _WORD)
    )
    return [(row[0], row[1], row[2]) for row in connection.execute(query)]


def deferrals(connection: Connection, key: UUID) -> dict[str, int]:
    """Return how many messages would wait, by the first words of the reasons."""
    words = (
        sa.select(sa.func.unnest(sa.func.string_to_array(_MINE.deferrals, ",")).label("word"))
        .where(_MINE.simulation_id == key, _MINE.deferrals != "")
        .subquery()
    )
    query = sa.select(words.c.word, sa.func.count()).group_by(words.c.word)
    return {row[0]: row[1] for row in connection.execute(query)}


def bounds(connection: Connection, key: UUID) -> tuple[datetime | None, datetime | None]:
    """Return when the first and the last message would be sent."""
    row = connection.execute(
        sa.select(sa.func.min(_MINE.send_time), sa.func.max(_MINE.send_time)).where(
            _MINE.simulation_id == key, _SENT
        )
    ).one()
    return row[0], row[1]


def hours(connection: Connection, key: UUID, most: int) -> list[tuple[datetime, int]]:
    """Return the first hours in which messages would be sent, each with how many."""
    hour = sa.func.date_trunc("hour", _MINE.send_time, "UTC")
    query = (
        sa.select(hour, sa.func.count())
        .where(_MINE.simulation_id == key, _SENT)
        .group_by(hour)
        .order_by(hour)
        .limit(most)
    )
    return [(row[0], row[1]) for row in connection.execute(query)]


def channels(connection: Connection, key: UUID) -> list[ChannelFigures]:
    """Return what each channel would do, by name."""
    limited = sa.and_(_SENT, _MINE.rate_seconds > 0)
    query = (
        sa.select(
            _MINE.channel,
            sa.func.count(),
            sa.func.count().filter(_SENT),
            sa.func.count().filter(limited),
            sa.func.coalesce(sa.func.max(_MINE.rate_seconds).filter(limited), 0),
            sa.func.coalesce(
                sa.func.max(_MINE.send_time).filter(limited) - sa.func.min(_MINE.send_time).filter(limited),
                timedelta(0),
            ),
        )
        .where(_MINE.simulation_id == key)
        .group_by(_MINE.channel)
        .order_by(_MINE.channel)
    )
    return [
        ChannelFigures(row[0], row[1], row[2], row[3], timedelta(seconds=row[4]), row[5])
        for row in connection.execute(query)
    ]


def groups(connection: Connection, key: UUID) -> list[tuple[str, bool, int, int]]:
    """Return the groups of an experiment: variant, whether held out, messages, and those that would be sent."""
    query = (
        sa.select(_MINE.variant, _HELD_OUT, sa.func.count(), sa.func.count().filter(_SENT))
        .where(_MINE.simulation_id == key)
        .group_by(_MINE.variant, _HELD_OUT)
        .order_by(_HELD_OUT, _MINE.variant)
    )
    return [(row[0], row[1], row[2], row[3]) for row in connection.execute(query)]
