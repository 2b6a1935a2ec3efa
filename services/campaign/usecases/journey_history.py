"""Where people went on journeys, and why: an entry explains itself, and a flow counts all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from services.campaign.store import journey_actions, journeys
from services.campaign.store import journey_history as store
from services.campaign.store.journey_history import Standing, Taken
from services.kit.errors import InvalidArgument, NotFound
from services.kit.names import format_name
from services.kit.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Told:
    """Hold an entry with its path; messages and deeds by the number of their step."""

    standing: Standing
    path: list[Taken]
    messages: Mapping[int, tuple[UUID, str, str]]
    deeds: Mapping[int, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class StepFlow:
    """Count what happened at a step; exits: (edge, next, count)."""

    step_id: str
    entered: int
    waiting: int
    held: int
    dropped: int
    exits: list[tuple[str, str, int]]


def list_entries(
    runtime: Runtime,
    *,
    journey_id: str,
    contact_id: UUID | None,
    only_open: bool,
    step_id: str,
    before: UUID | None,
    count: int,
) -> list[Standing]:
    """Return the next entries, newest first; raises InvalidArgument without a journey or a contact."""
    if not journey_id and contact_id is None:
        raise InvalidArgument.field("journey", "or `contact` must be given")
    with runtime.db.read() as connection:
        return store.page(
            connection,
            journey_id=journey_id,
            contact_id=contact_id,
            only_open=only_open,
            step_id=step_id,
            before=before,
            count=count,
        )


def get_entry(runtime: Runtime, key: UUID) -> Told:
    """Return an entry with its path; raises NotFound."""
    with runtime.db.transaction() as connection:
        standing = store.get(connection, key)
        if standing is None:
            raise NotFound.resource(format_name("journeyEntries", key))
        path = store.path(connection, key)
        messages = store.messages_of(connection, standing, [taken.step for taken in path])
        return Told(standing, path, messages, journey_actions.of_entry(connection, key))


def get_flow(runtime: Runtime, key: str, version: int) -> tuple[int, list[StepFlow]]:
    """Return a version, 0 for the newest, and the counts of its steps in order; raises NotFound."""
    with runtime.db.transaction() as connection:
        journey = journeys.get(connection, key)
        if journey is None:
            raise NotFound.resource(format_name("journeys", key))
        number = version or journey.version
        graph = journeys.graphs(connection, {(key, number)}).get((key, number))
        if graph is None:
            raise NotFound(
                f"journeys/{key} has no version {number}", metadata={"resource": f"journeys/{key}"}
            )
        taken = store.flow(connection, key, number)
        standing = store.standing_counts(connection, key, number)
    flows = []
    for step in graph.order:
        waiting, held, dropped = standing.get(step, (0, 0, 0))
        ways = dict.fromkeys(graph.nodes[step].exits(), 0)
        for (at, edge, after), count in taken.items():
            if at == step:
                ways[edge, after] = count
        exits = [(edge, after, count) for (edge, after), count in ways.items()]
        entered = waiting + dropped + sum(ways.values())
        flows.append(StepFlow(step, entered, waiting, held, dropped, exits))
    return number, flows
