"""Journeys paused, resumed and cancelled for all who are on them, and contacts taken out of one.

Workers and senders look at the state each time they take something in hand, and senders once more before it leaves.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import Connection

from services.campaign.domain.campaigns import StateError
from services.campaign.domain.journey_states import CANCELLED, after
from services.campaign.domain.journeys import Journey
from services.campaign.domain.ledger import Counts
from services.campaign.store import journey_control as store
from services.campaign.store import journeys, ledger
from services.kit.errors import FailedPrecondition, InvalidArgument, NotFound
from services.kit.names import format_name
from services.kit.runtime import Runtime

AT_ONCE = 5_000
"""So many entries and messages are ended in one transaction; the rest is the worker's."""


def change_state(runtime: Runtime, action: str, key: str, reason: str = "") -> tuple[Journey, Counts]:
    """Pause, resume or cancel a journey; raises NotFound, FailedPrecondition (JOURNEY_STATE)."""
    with runtime.db.transaction() as connection:
        journey = locked(connection, key)
        state = plan(action, journey)
        if state != journey.state:
            store.set_state(connection, key, state, runtime.clock.now(), reason)
            if state == CANCELLED:
                _end_some(runtime, connection, key, reason)
            ledger.notify(connection)
        changed = journeys.get(connection, key)
        assert changed is not None
        return changed, ledger.counts(connection, [changed.origin])[changed.origin]


def cancel_rest(runtime: Runtime) -> int:
    """End what is left of cancelled journeys, some thousand at a time; returns how much.

    Any number of processes may do it at once.
    """
    total = 0
    with runtime.db.read() as connection:
        left = store.cancelled_with_rest(connection)
    for key in left:
        with runtime.db.transaction() as connection:
            journey = journeys.get(connection, key)
            total += _end_some(runtime, connection, key, journey.cancel_reason if journey else "")
    return total


def remove_contacts(runtime: Runtime, key: str, contacts: Collection[UUID], reason: str) -> tuple[int, int]:
    """Take contacts out of a journey; returns how many entries ended and how many messages were cancelled.

    Raises NotFound, InvalidArgument when no contact is given.
    """
    if not contacts:
        raise InvalidArgument.field("contacts", "must name at least one contact")
    with runtime.db.transaction() as connection:
        if journeys.get(connection, key) is None:
            raise NotFound.resource(format_name("journeys", key))
        return store.remove(connection, key, set(contacts), reason, runtime.clock.now())


def _end_some(runtime: Runtime, connection: Connection, key: str, reason: str) -> int:
    ended = store.end_some(connection, key, reason, runtime.clock.now(), AT_ONCE)
    return ended + ledger.cancel_planned(connection, format_name("journeys", key), AT_ONCE)


def locked(connection: Connection, key: str) -> Journey:
    """Return a journey, locked until the transaction ends; raises NotFound."""
    found = journeys.lock(connection, key)
    if found is None:
        raise NotFound.resource(format_name("journeys", key))
    return found


def plan(action: str, journey: Journey) -> str:
    """Return the state after an action; raises FailedPrecondition (JOURNEY_STATE)."""
    try:
        return after(action, journey.origin, journey.state)
    except StateError as error:
        raise FailedPrecondition(
            str(error), reason="JOURNEY_STATE", metadata={"state": journey.state}
        ) from error
