"""Simulations: what a campaign or journey would do, found out without doing anything of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from google.protobuf.message import Message
from rapport.campaign.v1 import simulation_pb2 as pb
from rapport.operations.v1.operations_pb2 import Operation

from services.campaign import codec, journey_codec, simulation_codec
from services.campaign.channels import known_channels
from services.campaign.domain.campaigns import Campaign
from services.campaign.domain.experiments import Experiment
from services.campaign.domain.journeys import Journey
from services.campaign.domain.simulations import (
    DEFAULT_PERIOD,
    KEPT,
    LONGEST_PERIOD,
    Found,
    FoundEntry,
    Simulation,
)
from services.campaign.domain.steps import Send, Webhook, numbered
from services.campaign.models import kit
from services.campaign.store import campaigns as campaign_store
from services.campaign.store import dates, experiments
from services.campaign.store import journeys as journey_store
from services.campaign.store import simulations as store
from services.campaign.usecases import campaigns, channel_checks, journey_checks, journeys
from services.campaign.usecases.campaign_checks import check_given
from services.campaign.usecases.experiments import uses
from services.campaign.usecases.simulated_journeys import replay
from services.campaign.usecases.simulated_past import Past, step_of
from services.campaign.usecases.simulated_planning import plan
from services.campaign.usecases.simulated_sending import SimulatedSender
from services.campaign.usecases.simulation_summary import summarize
from services.kit import operations
from services.kit.errors import FailedPrecondition, InvalidArgument, NotFound, RapportError
from services.kit.names import format_name, parse_key, parse_name
from services.kit.operations import OperationContext
from services.kit.runtime import Runtime
from services.kit.transient import is_transient
from services.kit.wire import get_timestamp

SIMULATE_CAMPAIGN, SIMULATE_JOURNEY = "simulate_campaign", "simulate_journey"

_ALWAYS = (
    "templates are not rendered and plugins not asked for vetoes, so RENDER_FAILED and VETOED are not foretold",
    "each message reaches its channel at once: channels are as fast as their rate limits allow, and always there",
    "nothing else is sent meanwhile, and nobody changes a rule, consent, address or policy",
)


def start_campaign(runtime: Runtime, request: pb.SimulateCampaignRequest, request_id: str) -> Operation:
    """Begin to simulate a campaign; the same request id returns the first operation.

    Raises NotFound, InvalidArgument, FailedPrecondition (UNKNOWN_CHANNEL), Unavailable.
    """
    campaign, experiment = _campaign(runtime, request)
    if request.WhichOneof("source") == "campaign":
        with runtime.db.read() as connection:
            check_given(runtime, connection, campaign)
    else:
        campaigns.check_channels(runtime, campaign, uses(experiment, campaign))
    now = runtime.clock.now()
    start = get_timestamp(request, "start_time") or now
    end = get_timestamp(request, "end_time")
    if end is not None and end <= start:
        raise InvalidArgument.field("end_time", "must be after the start")
    origin = campaign.origin if request.WhichOneof("source") == "name" else ""
    return _start(runtime, SIMULATE_CAMPAIGN, request, request_id, origin, start, end)


def start_journey(runtime: Runtime, request: pb.SimulateJourneyRequest, request_id: str) -> Operation:
    """Begin to simulate a journey; the same request id returns the first operation.

    Raises NotFound, InvalidArgument (INVALID_JOURNEY), FailedPrecondition (DATES_UNKNOWN), Unavailable.
    """
    journey = _journey(runtime, request)
    if problems := journeys.validate_journey(runtime, journey):
        raise journey_checks.refuse(problems)
    if journey.date is not None:
        with runtime.db.read() as connection:
            known = journey.date.attribute in dates.wanted(connection)
        if not known:
            raise FailedPrecondition(
                f"campaign does not know {journey.date.attribute!r} of contacts yet: it reads them once a journey that "
                "starts by it is activated",
                reason="DATES_UNKNOWN",
                metadata={"attribute": journey.date.attribute},
            )
    now = runtime.clock.now()
    end = get_timestamp(request, "end_time") or now
    start = get_timestamp(request, "start_time") or end - DEFAULT_PERIOD
    if end > now:
        raise InvalidArgument.field(
            "end_time", "must not be in the future: what is replayed must have happened"
        )
    if not start < end <= start + LONGEST_PERIOD:
        raise InvalidArgument.field("start_time", "must be before the end, at most 366 days")
    origin = journey.origin if request.WhichOneof("source") == "name" else ""
    return _start(runtime, SIMULATE_JOURNEY, request, request_id, origin, start, end)


def _start(
    runtime: Runtime,
    kind: str,
    request: Message,
    request_id: str,
    origin: str,
    start: datetime,
    end: datetime | None,
) -> Operation:
    with runtime.db.transaction() as connection:
        operation = operations.create(
            connection, kit, kind, request, runtime.clock, request_id=request_id, unit="messages"
        )
        made = Simulation(
            id=parse_name(operation.name, "operations"),
            origin=origin,
            start_time=start,
            end_time=end,
            create_time=runtime.clock.now(),
            kinds={name: item.address_kind for name, item in known_channels(runtime).items()},
        )
        store.insert(connection, made)
    return operation


def simulate_campaign(runtime: Runtime, op: OperationContext) -> Simulation:
    """Plan the messages of a campaign and decide on them, and return what came of it; begins anew when interrupted."""
    request = op.request
    assert isinstance(request, pb.SimulateCampaignRequest)
    simulation = _begin(runtime, op)
    try:
        campaign, experiment = _campaign(runtime, request)
        past = Past(runtime, simulation.create_time)
        channels = {item.channel for item in uses(experiment, campaign)}
        for text in (*_assumptions(simulation, experiment), *_closed(runtime, channels)):
            past.assume(text)
        plan(runtime, op, simulation, campaign, experiment)
        SimulatedSender(runtime, op, simulation, past).run()
        return _finish(runtime, op, simulation, past, experiment=experiment is not None)
    except RapportError as error:
        _give_up(runtime, simulation, error)
        raise


def simulate_journey(runtime: Runtime, op: OperationContext) -> Simulation:
    """Replay a period to a journey, decide on its messages, and return what came of it; begins anew if interrupted."""
    request = op.request
    assert isinstance(request, pb.SimulateJourneyRequest)
    simulation = _begin(runtime, op)
    assert simulation.end_time is not None
    try:
        journey = _journey(runtime, request)
        step = step_of(simulation.start_time, simulation.create_time)
        past = Past(runtime, simulation.create_time, step)
        channels = {
            node.action.channel for node in numbered(journey.steps) if isinstance(node.action, Send | Webhook)
        }
        for text in (*_assumptions(simulation, None), *_closed(runtime, channels)):
            past.assume(text)
        past.assume(
            f"rules of branches, and consents, are those at most {step.total_seconds() / 60:.0f} min after the moment"
        )
        past.assume(
            "what people would have done because of these messages is not known: only what they did is replayed"
        )
        flow = replay(runtime, op, simulation, journey, past)
        # All of its messages count, also those beyond the period.
        SimulatedSender(runtime, op, replace(simulation, end_time=None), past).run()
        return _finish(runtime, op, simulation, past, journey=journey, flow=flow)
    except RapportError as error:
        _give_up(runtime, simulation, error)
        raise


def get(runtime: Runtime, key: UUID) -> Simulation:
    """Return a simulation; raises NotFound."""
    with runtime.db.read() as connection:
        found = store.get(connection, key)
    if found is None:
        raise NotFound.resource(format_name("simulations", key))
    return found


def list_messages(
    runtime: Runtime,
    key: UUID,
    *,
    contact_id: UUID | None,
    decision: str,
    word: str,
    after: tuple[datetime, int] | None,
    count: int,
) -> Sequence[Found]:
    """Return the next messages of a simulation that has ended; raises NotFound, FailedPrecondition."""
    _ended(runtime, key)
    with runtime.db.read() as connection:
        return store.messages(
            connection, key, contact_id=contact_id, decision=decision, word=word, after=after, count=count
        )


def list_entries(runtime: Runtime, key: UUID, *, after: int, count: int) -> Sequence[FoundEntry]:
    """Return the next entries of a simulation that has ended; raises NotFound, FailedPrecondition."""
    _ended(runtime, key)
    with runtime.db.read() as connection:
        return store.entries(connection, key, after=after, count=count)


def forget_old(runtime: Runtime) -> int:
    """Delete simulations that are older than is promised; returns how many. Any number of processes may do it."""
    before = runtime.clock.now() - KEPT
    count = 0
    while True:
        with runtime.db.transaction() as connection:
            if not store.forget(connection, before):
                return count
        count += 1


def _ended(runtime: Runtime, key: UUID) -> None:
    if get(runtime, key).summary is None:
        name = format_name("simulations", key)
        raise FailedPrecondition(
            f"{name} has found nothing yet: see how far its operation is",
            reason="SIMULATION_RUNNING",
            metadata={"resource": name},
        )


def _campaign(runtime: Runtime, request: pb.SimulateCampaignRequest) -> tuple[Campaign, Experiment | None]:
    local = simulation_codec.decode_local(request.recipient_local_time)
    with runtime.db.read() as connection:
        match request.WhichOneof("source"):
            case "name":
                key = parse_key(request.name, "campaigns")
                found = campaign_store.get(connection, key)
                if found is None:
                    raise NotFound.resource(format_name("campaigns", key))
                experiment = experiments.get(connection, key)
                return replace(found, recipient_local=local or found.recipient_local), experiment
            case "campaign":
                given = codec.decode_campaign("", request.campaign)
                campaigns.check_parts(runtime, connection, given)
                return replace(given, recipient_local=local), None
    raise InvalidArgument.field("source", "must be given: the name of a campaign, or a campaign")


def _journey(runtime: Runtime, request: pb.SimulateJourneyRequest) -> Journey:
    match request.WhichOneof("source"):
        case "name":
            key = parse_key(request.name, "journeys")
            with runtime.db.read() as connection:
                found = journey_store.get(connection, key)
            if found is None:
                raise NotFound.resource(format_name("journeys", key))
            return found
        case "journey":
            given = journey_checks.with_channels(runtime, journey_codec.decode_journey("", request.journey))
            return replace(given, steps=numbered(given.steps))
    raise InvalidArgument.field("source", "must be given: the name of a journey, or a journey")


def _begin(runtime: Runtime, op: OperationContext) -> Simulation:
    key = parse_name(op.name, "operations")
    with runtime.db.transaction() as connection:
        found = store.get(connection, key)
        if found is None:
            raise NotFound.resource(format_name("simulations", key))
        store.clear(connection, key)
        op.checkpoint(connection, completed=0, stage="beginning")
    return found


def _finish(
    runtime: Runtime, op: OperationContext, simulation: Simulation, past: Past, **parts: object
) -> Simulation:
    with runtime.db.transaction() as connection:
        summary = summarize(connection, simulation, list(past.assumptions), **parts)  # type: ignore[arg-type]
        store.finish(connection, simulation.id, summary)
        op.checkpoint(connection, stage="done")
    return replace(simulation, summary=summary)


def _give_up(runtime: Runtime, simulation: Simulation, error: RapportError) -> None:
    """Leave nothing of a simulation that was cancelled or cannot be done."""
    if not is_transient(error):
        with runtime.db.transaction() as connection:
            store.clear(connection, simulation.id)


def _assumptions(simulation: Simulation, experiment: Experiment | None) -> list[str]:
    found = list(_ALWAYS)
    if simulation.start_time < simulation.create_time:
        found.append("policies, rate limits, hold-outs, templates, addresses and time zones are those of now")
        found.append(
            "caps count what the ledger says was sent by then, without this campaign or journey itself"
        )
        found.append(
            "addresses that were taken off the suppression list since are not known to have been on it"
        )
    elif simulation.start_time > simulation.create_time:
        found.append("members, consents and addresses are those of now")
    if experiment is not None:
        found.append(
            "nobody knows which variant wins: those who wait for the winner wait until the experiment ends"
        )
    return found


def _closed(runtime: Runtime, channels: Collection[str]) -> list[str]:
    """Say of channels that would not take a message now that it is simulated as if they did."""
    told = channel_checks.problems(runtime, channels)
    return [f"{item}; messages would wait, and are simulated as if that was put right" for item in told]
