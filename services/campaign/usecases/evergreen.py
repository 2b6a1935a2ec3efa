"""Evergreen campaigns: who enters the segment after the launch gets the message too, once."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from services.campaign.domain.triggers import Trigger
from services.campaign.store import campaigns as store
from services.campaign.store import experiments as experiment_store
from services.campaign.store import ledger
from services.campaign.usecases import experiments
from services.campaign.usecases.launching import model_of
from services.kit.names import new_id
from services.kit.runtime import Runtime

ENTERED = "segment.entered"


def add_members(runtime: Runtime, connection: Connection, triggers: Sequence[Trigger]) -> int:
    """Plan messages of evergreen campaigns for those who entered their segments; returns how many are new."""
    entered = [item for item in triggers if ENTERED in item.types]
    if not entered:
        return 0
    total = 0
    now = runtime.clock.now()
    for campaign in store.evergreen(connection, {item.segment for item in entered}):
        since = campaign.launch_time
        contacts = list(
            dict.fromkeys(
                item.contact_id
                for item in entered
                if item.segment == campaign.segment and (since is None or item.record_time >= since)
            )
        )
        keys = [new_id() for _ in contacts]
        tried = experiment_store.get(connection, campaign.id, lock=True)
        if tried is None:
            total += ledger.plan_campaign(connection, model_of(campaign), keys, contacts, now)
        else:
            total += experiments.plan_page(connection, campaign, tried, keys, contacts, now)
    if total:
        ledger.notify(connection)
    return total
