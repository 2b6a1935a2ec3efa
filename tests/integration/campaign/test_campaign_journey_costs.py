"""What a batch of events costs must not grow with those who are on a journey already, whatever statistics say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from services.campaign.domain.journeys import Journey, Send, Wait
from services.campaign.store import entries, journeys
from services.kit.names import new_id
from services.kit.runtime import Runtime
from tests.support.campaign import NOW, World, make_journey, make_template

_BLOCKS = sa.text("""
SELECT sum(pg_stat_get_xact_blocks_fetched(oid)) FROM pg_class
WHERE oid = 'journey_entry'::regclass
    OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = 'journey_entry'::regclass)
""")
_ENROL = sa.text("""
INSERT INTO journey_entry (id, journey_id, contact_id, event_id, event, step, start_time, due_time)
SELECT gen_random_uuid(), 'thanks', gen_random_uuid(), gen_random_uuid(), '{}', 0, :now, :now
FROM generate_series(1, :count)
""")
BATCH = 100
MOST = 4 * BATCH
"""So many blocks: the levels of an index and the table, for each contact."""
ON_IT = 60_000
NEVER: dict[str, Any] = {"reentry_after": None}
REENTRY: Sequence[dict[str, Any]] = (
    NEVER,
    {"reentry_after": timedelta(days=30)},
    {"reentry_after": timedelta(days=30), "after_leaving": True},
)


def blocks(connection: Connection) -> int:
    return int(connection.execute(_BLOCKS).scalar_one())


def cost_of_a_start(runtime: Runtime, item: Journey) -> int:
    newcomers: list[UUID] = [new_id() for _ in range(BATCH)]
    with runtime.db.engine.connect() as connection:
        before = blocks(connection)
        assert entries.may_start(connection, item, newcomers, NOW) == set(newcomers)
        spent = blocks(connection) - before
        connection.rollback()
    return spent


def cost_of_stays(runtime: Runtime) -> int:
    with runtime.db.engine.connect() as connection:
        before = blocks(connection)
        assert entries.stays_before(connection, "thanks", [new_id() for _ in range(BATCH)], NOW) == {}
        spent = blocks(connection) - before
        connection.rollback()
    return spent


@pytest.mark.parametrize("rules", REENTRY, ids=["never", "after days", "after leaving"])
def test_a_start_looks_at_its_contacts_alone_however_many_are_on_the_journey(
    runtime: Runtime, world: World, rules: dict[str, Any]
) -> None:
    make_template(runtime)
    make_journey(runtime, [Wait(timedelta(days=1)), Send("hello", "email.smtp", "marketing")])
    with runtime.db.transaction() as connection:
        found = journeys.get(connection, "thanks")
        assert found is not None
        # Statistics stay those of an empty table, as they are while many start within a minute.
        connection.exec_driver_sql("ALTER TABLE journey_entry SET (autovacuum_enabled = off)")
        connection.execute(_ENROL, {"now": NOW, "count": ON_IT})
        whole = connection.execute(sa.text("SELECT pg_relation_size('journey_entry') / 8192")).scalar_one()
    assert whole > 2 * MOST
    assert 0 < cost_of_a_start(runtime, replace(found, **rules)) <= MOST
    assert 0 < cost_of_stays(runtime) <= MOST
