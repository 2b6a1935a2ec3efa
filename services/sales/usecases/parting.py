"""Contacts that are no more: merged into another one, or erased."""

from __future__ import annotations

from services.kit import gone
from services.kit.bus.batch import EventBatch
from services.kit.runtime import Runtime
from services.sales.models import contact_gone, kit
from services.sales.store import gone as store


def let_go(runtime: Runtime, batch: EventBatch) -> None:
    """Make the sales of merged contacts those of the contacts that remain, and the sales of erased ones nobody's."""
    with runtime.db.transaction() as connection:
        events = batch.claim(connection, kit)
        if not events:
            return
        parted = gone.let_go(connection, contact_gone, events, runtime.clock.now())
        if parted.heirs:
            store.hand_over(connection, parted.heirs)
        if parted.erased:
            store.forget(connection, parted.erased)
