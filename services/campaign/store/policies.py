"""Queries on send policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.hours import Hours, Span
from services.campaign.domain.policies import Cap, Policies, Policy
from services.campaign.models import send_policy


def load(connection: Connection) -> Policies:
    """Return all policies, of which there are few."""
    return Policies(_decode(row) for row in connection.execute(sa.select(send_policy)))


def get(connection: Connection, key: str, *, lock: bool = False) -> Policy | None:
    """Return a policy, or None; lock: until the transaction ends."""
    query = sa.select(send_policy).where(send_policy.c.id == key)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else _decode(row)


def page(connection: Connection, *, after: str, count: int) -> list[Policy]:
    """Return the next policies by id."""
    query = sa.select(send_policy).where(send_policy.c.id > after).order_by(send_policy.c.id).limit(count)
    return [_decode(row) for row in connection.execute(query)]


def of_scope(connection: Connection, channel: str, topic: str) -> str | None:
    """Return the id of the policy of a channel and topic, or None."""
    query = sa.select(send_policy.c.id).where(send_policy.c.channel == channel, send_policy.c.topic == topic)
    return connection.execute(query).scalar_one_or_none()


def insert(connection: Connection, item: Policy) -> bool:
    """Write a new policy; False when there is one of that id, or of that channel and topic."""
    statement = pg.insert(send_policy).values(_encode(item)).on_conflict_do_nothing()
    return connection.execute(statement.returning(send_policy.c.id)).first() is not None


def update(connection: Connection, item: Policy) -> None:
    """Write a policy that is there; raises IntegrityError when another one is of that channel and topic."""
    connection.execute(sa.update(send_policy).where(send_policy.c.id == item.id).values(_encode(item)))


def delete(connection: Connection, key: str) -> None:
    """Delete a policy."""
    connection.execute(sa.delete(send_policy).where(send_policy.c.id == key))


def _encode(item: Policy) -> dict[str, Any]:
    return {
        "id": item.id,
        "channel": item.channel,
        "topic": item.topic,
        "quiet_hours": _encode_spans(item.hours.quiet),
        "send_windows": _encode_spans(item.hours.windows),
        "caps": [
            {
                "count": cap.count,
                "seconds": cap.period.total_seconds(),
                "of_channel": cap.of_channel,
                "of_topic": cap.of_topic,
            }
            for cap in item.caps
        ],
        "transactional": item.transactional,
        "defer": item.defer,
        "revision": item.revision,
        "create_time": item.create_time,
        "update_time": item.update_time,
    }


def _encode_spans(spans: Sequence[Span]) -> list[dict[str, Any]]:
    return [{"start": span.start, "end": span.end, "days": sorted(span.days)} for span in spans]


def _decode(row: sa.Row[Any]) -> Policy:
    values = dict(row._mapping)
    hours = Hours(_decode_spans(values.pop("quiet_hours")), _decode_spans(values.pop("send_windows")))
    caps = tuple(
        Cap(item["count"], timedelta(seconds=item["seconds"]), item["of_channel"], item["of_topic"])
        for item in values.pop("caps")
    )
    return Policy(hours=hours, caps=caps, **values)


def _decode_spans(items: Sequence[Mapping[str, Any]]) -> tuple[Span, ...]:
    return tuple(Span(item["start"], item["end"], frozenset(item["days"])) for item in items)
