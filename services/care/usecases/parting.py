"""Contacts that are no more: merged into another one, or erased."""

from __future__ import annotations

from services.care.models import contact_gone, kit
from services.care.store import gone as store
from services.care.store import tasks as task_store
from services.care.usecases.tasks import tell_dropped
from services.kit import gone
from services.kit.bus.batch import EventBatch
from services.kit.runtime import Runtime


def let_go(runtime: Runtime, batch: EventBatch) -> None:
    """Give the cases and tasks of merged contacts to those that remain, and empty those of erased ones."""
    with runtime.db.transaction() as connection:
        events = batch.claim(connection, kit)
        if not events:
            return
        now = runtime.clock.now()
        parted = gone.let_go(connection, contact_gone, events, now)
        if parted.erased:
            tell_dropped(connection, task_store.empty(connection, parted.erased, now), now)
            store.empty(connection, parted.erased)
        if parted.heirs:
            store.hand_over(connection, parted.heirs)
            task_store.hand_over(connection, parted.heirs)
