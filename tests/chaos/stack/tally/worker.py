"""The worker of the tally: it runs under the name of a service, with a database of its own."""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa

from services.kit.bus import EventBatch, RuntimeProvider, subscribe
from tests.chaos.stack.tally.models import delivery, effect, kit

SOURCES = ("contacts", "sales", "segmentation")


class Worker:
    """Note each event of those services that the load makes tell most."""

    name = "contacts"
    runtime = RuntimeProvider()

    @subscribe("contacts")
    def tally_contacts(self, batch: EventBatch) -> None:
        """Note events of contacts."""
        self._note("contacts", batch)

    @subscribe("sales")
    def tally_sales(self, batch: EventBatch) -> None:
        """Note events of sales."""
        self._note("sales", batch)

    @subscribe("segmentation")
    def tally_segmentation(self, batch: EventBatch) -> None:
        """Note events of segmentation."""
        self._note("segmentation", batch)

    def _note(self, source: str, batch: EventBatch) -> None:
        with self.runtime.db.transaction() as connection:
            came = [{"source": source, "event_id": UUID(event.id)} for event in batch.events]
            connection.execute(sa.insert(delivery), came)
        with self.runtime.db.transaction() as connection:
            claimed = batch.claim(connection, kit)
            rows = [{"source": source, "event_id": UUID(event.id)} for event in claimed]
            if rows:
                connection.execute(sa.insert(effect), rows)
