"""Simulations in tests: started and done in this process, and what the ledger says of the same beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from rapport.campaign.v1 import simulation_pb2 as pb

from services.campaign import channels
from services.campaign.models import (
    kit,
    metadata,
    simulated_entry,
    simulated_event,
    simulated_message,
    simulation,
)
from services.campaign.usecases import simulating
from services.kit.names import parse_name
from services.kit.plugins import PluginError, PluginManager
from services.kit.runtime import Runtime
from tests.support.campaign import claim_operation

OWN = {simulation, simulated_message, simulated_entry, simulated_event, kit.operation}
"""The tables that a simulation writes."""


class KnownPlugins:
    """Stand where the API looks for channels, with the plugins that a sender of the same process has."""

    def __init__(self, manager: PluginManager) -> None:
        self._manager = manager

    def catalog(self) -> Any:
        """Return what the plugins offer."""
        return self._manager.catalog

    def channel_problem(self, name: str) -> str:
        """Return why a channel cannot be opened, "" when it can."""
        try:
            self._manager.open_channel(name).close()
        except PluginError as error:
            return error.message
        return ""

    def close(self) -> None:
        """There is nothing to end."""


def know_channels(runtime: Runtime, manager: PluginManager) -> None:
    """Let campaigns be made for the channels of a sender's plugins."""
    channels.provide(runtime, KnownPlugins(manager))  # type: ignore[arg-type]


def simulate_campaign(runtime: Runtime, key: str = "spring", **fields: Any) -> UUID:
    """Simulate a stored campaign and return the simulation's id."""
    request = pb.SimulateCampaignRequest(name=f"campaigns/{key}")
    return _campaign(runtime, request, fields)


def _campaign(runtime: Runtime, request: pb.SimulateCampaignRequest, fields: Mapping[str, Any]) -> UUID:
    _fill(request, fields)
    made = simulating.start_campaign(runtime, request, "")
    found = parse_name(made.name, "operations")
    simulating.simulate_campaign(runtime, claim_operation(runtime, found))
    return found


def simulate_journey(runtime: Runtime, key: str = "thanks", **fields: Any) -> UUID:
    """Simulate a stored journey and return the simulation's id."""
    request = pb.SimulateJourneyRequest(name=f"journeys/{key}")
    _fill(request, fields)
    made = simulating.start_journey(runtime, request, "")
    found = parse_name(made.name, "operations")
    simulating.simulate_journey(runtime, claim_operation(runtime, found))
    return found


def _fill(request: Any, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        if isinstance(value, datetime):
            getattr(request, name).FromDatetime(value)
        else:
            setattr(request, name, value)


def messages(runtime: Runtime, key: UUID) -> list[Any]:
    """Return the messages of a simulation."""
    return list(
        simulating.list_messages(
            runtime, key, contact_id=None, decision="", word="", after=None, count=10_000
        )
    )


def summary(runtime: Runtime, key: UUID) -> dict[str, Any]:
    """Return what a simulation found."""
    found = simulating.get(runtime, key).summary
    assert found is not None
    return found


def others(runtime: Runtime) -> dict[str, list[tuple[Any, ...]]]:
    """Return all that is in the tables that no simulation may write."""
    with runtime.db.read() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(sa.select(table))), key=repr)
            for table in _foreign()
        }


def _foreign() -> Iterator[sa.Table]:
    for table in metadata.sorted_tables:
        if table not in OWN:
            yield table
