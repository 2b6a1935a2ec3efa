"""What a simulation found, counted."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from google.protobuf.json_format import MessageToDict
from rapport.campaign.v1 import journeys_pb2
from rapport.campaign.v1 import simulation_pb2 as pb
from rapport.type.v1.money_pb2 import Money
from sqlalchemy import Connection

from services.campaign.domain.experiments import HELD_OUT, HELD_OUT_GLOBAL
from services.campaign.domain.journeys import Journey
from services.campaign.domain.money import EXACT
from services.campaign.domain.simulations import REFUSE, SEND, WAIT, Simulation
from services.campaign.domain.steps import numbered
from services.campaign.store import money
from services.campaign.store import simulation_figures as store
from services.campaign.usecases.simulated_journeys import Flow
from services.kit.money import to_money
from services.kit.wire import to_duration, to_timestamp

_MOST_HOURS = 2_000


def summarize(
    connection: Connection,
    simulation: Simulation,
    assumptions: list[str],
    *,
    experiment: bool = False,
    journey: Journey | None = None,
    flow: Flow | None = None,
) -> dict[str, Any]:
    """Count what was decided, and return the SimulationSummary as JSON."""
    key = simulation.id
    counts: Counter[str] = Counter()
    reasons: dict[str, Counter[str]] = {REFUSE: Counter(), WAIT: Counter(), SEND: Counter()}
    for decision, word, count in store.decisions(connection, key):
        counts[decision] += count
        reasons[decision][word] += count
    held_out = reasons[REFUSE][HELD_OUT] + reasons[REFUSE][HELD_OUT_GLOBAL]
    summary = pb.SimulationSummary(
        message_count=counts.total(),
        send_count=counts[SEND],
        refuse_count=counts[REFUSE],
        wait_count=counts[WAIT],
        refused_by_reason=reasons[REFUSE],
        waiting_by_reason=reasons[WAIT],
        deferred_by_reason=store.deferrals(connection, key),
        hours=[
            pb.SimulationSummary.Hour(start_time=to_timestamp(hour), send_count=count)
            for hour, count in store.hours(connection, key, _MOST_HOURS)
        ],
        held_out_count=held_out,
        held_out_share=held_out / counts.total() if counts.total() else 0.0,
        assumptions=assumptions,
    )
    first, last = store.bounds(connection, key)
    if first is not None and last is not None:
        summary.first_send_time.CopyFrom(to_timestamp(first))
        summary.last_send_time.CopyFrom(to_timestamp(last))
    _add_channels(connection, simulation, summary)
    if experiment:
        for variant, out, number, sent in store.groups(connection, key):
            summary.groups.add(variant=variant, held_out=out, message_count=number, send_count=sent)
    if journey is not None and flow is not None:
        _add_flow(summary, journey, flow)
    found: dict[str, Any] = MessageToDict(summary, preserving_proto_field_name=True)
    return found


def _add_channels(connection: Connection, simulation: Simulation, summary: pb.SimulationSummary) -> None:
    known = money.channel_costs(connection, simulation.start_time)
    totals: dict[str, Decimal] = {}
    for item in store.channels(connection, simulation.id):
        cost: Money | None = None
        if item.channel in known:
            amount, currency = known[item.channel]
            spent = EXACT.multiply(amount, Decimal(item.sent))
            totals[currency] = EXACT.add(totals.get(currency, Decimal(0)), spent)
            cost = to_money(spent, currency)
        summary.channels.add(
            channel=item.channel,
            message_count=item.messages,
            send_count=item.sent,
            rate_limited_count=item.limited,
            longest_rate_wait=to_duration(item.longest_wait),
            drain_time=to_duration(item.drain),
            cost=cost,
        )
    summary.costs.extend(to_money(amount, currency) for currency, amount in sorted(totals.items()))


def _add_flow(summary: pb.SimulationSummary, journey: Journey, flow: Flow) -> None:
    summary.start_count = flow.started
    summary.outcomes.update(flow.outcomes)
    summary.actions.update(flow.actions)
    for node in numbered(journey.steps):
        exits = {(edge, after): count for (step, edge, after), count in flow.moves.items() if step == node.id}
        summary.steps.append(
            journeys_pb2.JourneyStepFlow(
                step=node.id,
                entered_count=sum(exits.values()) + flow.waiting[node.id] + flow.dropped[node.id],
                waiting_count=flow.waiting[node.id],
                dropped_count=flow.dropped[node.id],
                exits=[
                    journeys_pb2.JourneyStepFlow.Exit(edge=edge, next=after, count=count)
                    for (edge, after), count in sorted(exits.items())
                ],
            )
        )
