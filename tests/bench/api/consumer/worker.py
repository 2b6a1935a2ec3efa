"""The consumer's worker."""

from __future__ import annotations

import time

import sqlalchemy as sa
from google.protobuf.wrappers_pb2 import DoubleValue

from services.kit.bus import EventBatch, RuntimeProvider, subscribe
from tests.bench.api.consumer.models import arrival, kit


class Worker:
    """Note when events come."""

    name = "contacts"
    runtime = RuntimeProvider()

    @subscribe("sales", "bench.happened", batch_size=500)
    def note(self, batch: EventBatch) -> None:
        """Claim events and note their delays, all in one transaction."""
        with self.runtime.db.transaction() as connection:
            sent = []
            for event in batch.claim(connection, kit):
                value = DoubleValue()
                event.data.Unpack(value)
                sent.append(value.value)
            now = time.monotonic()
            rows = [{"delay": now - one, "at": now} for one in sent]
            if rows:
                connection.execute(sa.insert(arrival), rows)
