"""A new timeline of a service's stream, which begins when its database was restored from a backup.

The restored log ends earlier than the one that was lost, and gives positions out again that others have seen. So what
they saw is told by its timeline from what comes now.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.kit.config import SERVICES
from services.kit.events import store
from services.kit.tables import KitTables


@dataclass(frozen=True, slots=True)
class Fork:
    """Say where a stream went on: the timeline that ended, its last position, and the timeline that began."""

    before: UUID
    position: int
    after: UUID


def is_own(subscription: str) -> bool:
    """Tell whether a subscription is one of Rapport's services, which are restored along with its source.

    Theirs are called after them, `campaign.start_from_sales`, and the publisher's has a slash, which no other can have.
    """
    return "/" in subscription or subscription.partition(".")[0] in SERVICES


def fork(connection: Connection, kit: KitTables, now: datetime) -> Fork:
    """Begin a new timeline at the head, in the caller's transaction.

    The services' own subscriptions go on from their restored places. Those of others stay on the timeline that ended,
    so that they are told of it: they were not restored, and may have come farther than their places say.
    """
    store.ensure_stream(connection, kit)
    head = store.read_head(connection, kit)
    after = uuid4()
    ended = {"timeline": head.timeline, "end_position": head.position, "end_time": now}
    connection.execute(pg.insert(kit.past_timeline).values(ended))
    connection.execute(sa.update(kit.stream).values(timeline=after))
    table = kit.subscription
    own = [cursor.name for cursor in store.list_cursors(connection, kit) if is_own(cursor.name)]
    connection.execute(
        sa.update(table)
        .where(table.c.name.in_(own), table.c.timeline == head.timeline)
        .values(timeline=after)
    )
    return Fork(head.timeline, head.position, after)
