"""The statement by which contacts that are no more leave all segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from services.segmentation.store.membership import KEPT
from services.segmentation.store.telling import TOLD, Notices, telling

_LEAVING = """
WITH gone AS (
    DELETE FROM membership WHERE contact_id = ANY(%(ids)s::uuid[]) RETURNING segment_number, contact_id, enter_time
),
kept AS ({kept}),
entered AS (
    INSERT INTO membership (segment_number, contact_id, enter_time)
    SELECT DISTINCT g.segment_number, n.heir, %(now)s::timestamptz
    FROM gone AS g JOIN unnest(%(ids)s::uuid[], %(heirs)s::uuid[]) AS n(contact_id, heir) USING (contact_id)
    WHERE n.heir IS NOT NULL AND g.segment_number = ANY(%(lists)s::int[])
    ON CONFLICT DO NOTHING RETURNING segment_number, contact_id
),
changed AS (
    SELECT segment_number, contact_id, true AS entered FROM entered
    UNION ALL SELECT segment_number, contact_id, false FROM gone
),
sized AS (
    INSERT INTO segment_size (segment_number, delta)
    SELECT segment_number, sum(CASE WHEN entered THEN 1 ELSE -1 END) FROM changed
    GROUP BY segment_number HAVING sum(CASE WHEN entered THEN 1 ELSE -1 END) <> 0
)
{told}
"""


def leave(
    connection: Connection,
    heirs: Mapping[UUID, UUID | None],
    lists: Sequence[int],
    notices: Notices,
    *,
    now: datetime,
    historical: bool,
) -> None:
    """Let contacts leave all segments; who comes after one takes its place in lists.

    The membership lock must be owned. heirs: who comes after each, itself not among them, or None; notices: of every
    segment that has members.
    """
    sql = _LEAVING.format(kept=KEPT, told=TOLD.format(changed="changed"))
    connection.exec_driver_sql(
        sql,
        {
            "ids": list(heirs),
            "heirs": list(heirs.values()),
            "lists": list(lists),
            **telling(notices, now, historical),
        },
    )
