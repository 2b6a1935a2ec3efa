"""The batch of events that a handler receives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from rapport.events.v1 import events_pb2
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.kit import arrays
from services.kit.events.payload import event_uuid
from services.kit.tables import KitTables
from services.kit.wire import from_timestamp


@dataclass(frozen=True)
class EventBatch:
    """Hold events of one source in order, on their way to one consumer (`<service>.<method>`)."""

    consumer: str
    events: Sequence[events_pb2.Event]

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[events_pb2.Event]:
        return iter(self.events)

    def claim(self, connection: Connection, kit: KitTables) -> list[events_pb2.Event]:
        """Return the events that had no effect yet, in order, and record them as processed.

        The record is written in the caller's transaction, which must hold the effect too. A second process
        that claims the same events waits for that transaction, and gets none of them when it commits.
        """
        table = kit.processed_event
        # Sorted, so that two processes that claim overlapping batches cannot lock each other out.
        ordered = sorted(self.events, key=lambda event: event.id)
        columns = (
            sa.func.unnest(
                arrays.uuids(event_uuid(event) for event in ordered),
                arrays.integers(event.position for event in ordered),
                arrays.times(from_timestamp(event.record_time) for event in ordered),
            )
            .table_valued("event_id", "position", "record_time")
            .render_derived()
        )
        consumer = sa.literal(self.consumer, sa.Text)
        rows = sa.select(consumer, columns.c.event_id, columns.c.position, columns.c.record_time)
        insert = pg.insert(table).from_select(["consumer", "event_id", "position", "record_time"], rows)
        # As text, as the events have them.
        statement = insert.on_conflict_do_nothing().returning(sa.cast(table.c.event_id, sa.Text))
        fresh = set(connection.execute(statement).scalars())
        claimed = []
        for event in self.events:
            # A batch may hold an event twice; discarding gives it out once.
            if event.id in fresh:
                fresh.discard(event.id)
                claimed.append(event)
        return claimed

    def pass_over(self, connection: Connection, kit: KitTables, event_ids: Sequence[UUID]) -> None:
        """Record events as processed that may not have come yet, so that they have no effect when they do."""
        table = kit.processed_event
        latest = max(from_timestamp(event.record_time) for event in self.events)
        rows = [
            {"consumer": self.consumer, "event_id": key, "position": 0, "record_time": latest}
            for key in sorted(set(event_ids))
        ]
        connection.execute(pg.insert(table).values(rows).on_conflict_do_nothing())
