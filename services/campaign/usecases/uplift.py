"""What hold-outs and the splits of journeys bring about: groups that chance made, compared and put into words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from services.campaign.domain.experiments import DEFAULT_ALPHA, DEFAULT_DURATION, HoldOut
from services.campaign.domain.journeys import Graph, definition_from_json, make_graph
from services.campaign.domain.statistics import Compared, compare_rates, detectable
from services.campaign.domain.steps import Split
from services.campaign.domain.verdicts import ALL, Arm, Verdict, conversion_of, revenue_of, told
from services.campaign.store import experiments, journeys
from services.campaign.store import uplift as store
from services.campaign.store.purchases import Bought
from services.campaign.store.uplift import Group
from services.kit.errors import FailedPrecondition, InvalidArgument, NotFound
from services.kit.names import format_name
from services.kit.runtime import Runtime

_USUAL = timedelta(days=30)
_SHORTEST, _LONGEST = timedelta(hours=1), timedelta(days=90)
_POWER = 0.8
_NOBODY = "those held out"
PEEKING = (
    "Whoever looks again and again until a difference shows finds one by chance: say beforehand when to look, "
    "and decide then"
)


@dataclass(frozen=True, slots=True)
class HoldOutResults:
    """Hold what the global hold-out tells of a period."""

    hold_out: HoldOut
    start_time: datetime
    end_time: datetime
    reached: Verdict
    held_out: Verdict
    summary: Sequence[str]


@dataclass(frozen=True, slots=True)
class Divided:
    """Hold the groups of a split, or of a hold-out (step ""), with those of their goals and how these differ."""

    step: str
    since: datetime
    verdicts: Sequence[Verdict]
    goals: Sequence[tuple[int, Compared | None]]
    pending: int
    planned: int
    compared: bool


@dataclass(frozen=True, slots=True)
class JourneyResults:
    """Hold what a journey does; hold_out: None without one."""

    hold_out: Divided | None
    splits: Sequence[Divided]
    summary: Sequence[str]
    as_of_time: datetime


def hold_out_results(runtime: Runtime, start: datetime | None, end: datetime | None) -> HoldOutResults:
    """Compare those of the global hold-out with all others; raises InvalidArgument, FailedPrecondition."""
    now = runtime.clock.now()
    until = min(end or now, now)
    since = start or until - _USUAL
    if since >= until:
        raise InvalidArgument.field("start_time", "must lie before end_time, and in the past")
    with runtime.db.snapshot() as connection:
        found = experiments.get_hold_out(connection)
        if found is None or not found.percent:
            raise FailedPrecondition("nobody is held out: SetHoldOut sets a share", reason="NO_HOLD_OUT")
        changed = found.change_time or found.start_time
        if changed >= until:
            raise FailedPrecondition(
                f"the share held out is {found.percent:g} % since {changed.isoformat()}, after the period",
                reason="NO_HOLD_OUT",
            )
        since = max(since, changed)
        held: list[UUID] = []
        counts = {"": [0, 0], ALL: [0, 0]}
        for contact, first, sent in store.reached(connection, since, until):
            group = ALL
            if found.holds(contact, first):
                group = ""
                held.append(contact)
            counts[group][0] += 1
            counts[group][1] += sent
        bought = store.bought_by_reached(connection, since, until, held)
    arms = {key: bought.get(key, Bought()).arm(key, *counts[key]) for key in counts}
    verdict = _against(arms[ALL], arms[""], DEFAULT_ALPHA)
    name = "those who may be written to"
    lines = told(name, _NOBODY, arms[ALL], verdict.conversion, verdict.revenue, many=True)
    lines += [_reach([arms[ALL], arms[""]], DEFAULT_ALPHA), PEEKING]
    return HoldOutResults(found, since, until, verdict, Verdict(arms[""], None, None, {}), lines)


def journey_results(runtime: Runtime, key: str, window: timedelta | None) -> JourneyResults:
    """Compare the groups of a journey; raises NotFound, InvalidArgument."""
    window = DEFAULT_DURATION if window is None else window
    if not _SHORTEST <= window <= _LONGEST:
        raise InvalidArgument.field("window", "must be from an hour to 90 days")
    now = runtime.clock.now()
    with runtime.db.snapshot() as connection:
        if journeys.get(connection, key) is None:
            raise NotFound.resource(format_name("journeys", key))
        made = [(definition_from_json(fields), time) for fields, time in store.definitions(connection, key)]
        newest = made[0][0]
        has_goals = bool(newest["goals"])
        lines: list[str] = []
        hold_out = None
        if newest["hold_out_percent"]:
            since = _since(made, lambda fields: fields["hold_out_percent"])
            hold_out = _hold_out(connection, key, since, now, window, lines)
        splits = []
        for step_id, node in _graph(newest).nodes.items():
            if isinstance(node.action, Split):
                since = _since(made, partial(_shares, step_id))
                ways = [edge for edge, _ in node.exits()]
                splits.append(
                    _split(
                        connection,
                        key,
                        step_id,
                        ways,
                        node.action.planned,
                        since,
                        now,
                        window,
                        has_goals,
                        lines,
                    )
                )
    return JourneyResults(hold_out, splits, lines, now)


def _graph(fields: dict[str, Any]) -> Graph:
    return make_graph(fields["steps"])


def _shares(step_id: str, fields: dict[str, Any]) -> list[float] | None:
    node = _graph(fields).nodes.get(step_id)
    return [part.percent for part in node.action.parts] if node and isinstance(node.action, Split) else None


def _since(
    made: Sequence[tuple[dict[str, Any], datetime]], share: Callable[[dict[str, Any]], object]
) -> datetime:
    """Return since when, without a break, versions divide contacts as the newest one does."""
    since = made[0][1]
    for fields, time in made:
        if share(fields) != share(made[0][0]):
            break
        since = time
    return since


def _hold_out(
    connection: Connection, key: str, since: datetime, now: datetime, window: timedelta, lines: list[str]
) -> Divided:
    found = store.groups(connection, key, since, now, window)
    on_it, held = (found.get(name, Group(Arm(name), 0, 0)) for name in (ALL, ""))
    verdict = _against(on_it.arm, held.arm, DEFAULT_ALPHA)
    lines += told("those on the journey", _NOBODY, on_it.arm, verdict.conversion, verdict.revenue, many=True)
    lines += [_reach([on_it.arm, held.arm], DEFAULT_ALPHA), PEEKING]
    return Divided(
        "",
        since,
        [verdict, Verdict(held.arm, None, None, {})],
        [(0, None), (0, None)],
        on_it.pending + held.pending,
        0,
        True,
    )


def _split(
    connection: Connection,
    key: str,
    step: str,
    ways: Sequence[str],
    planned: int,
    since: datetime,
    now: datetime,
    window: timedelta,
    has_goals: bool,
    lines: list[str],
) -> Divided:
    known = store.groups(connection, key, since, now, window, step=step, planned=planned)
    found = [known.get(way, Group(Arm(way), 0, 0)) for way in ways]
    arms = [item.arm for item in found]
    least = min(arms, key=lambda arm: arm.assigned)
    compared = not planned or least.assigned >= planned
    first, alpha = found[0], DEFAULT_ALPHA / max(1, len(ways) - 1)
    verdicts = [Verdict(first.arm, None, None, {})]
    results: list[tuple[int, Compared | None]] = [(first.goals, None)]
    for item in found[1:]:
        if not compared:
            verdicts.append(Verdict(item.arm, None, None, {}))
            results.append((item.goals, None))
            continue
        verdict = _against(item.arm, first.arm, alpha)
        reached = compare_rates(item.goals, item.arm.assigned, first.goals, first.arm.assigned, alpha)
        verdicts.append(verdict)
        results.append((item.goals, reached if has_goals else None))
        name, other = _name(step, item.arm.variant), _name(step, first.arm.variant)
        lines += told(name, other, item.arm, verdict.conversion, verdict.revenue)
        if has_goals:
            lines.append(_goals(name, other, reached))
    if not planned:
        lines += [f"{step}: no size was planned. {_reach(arms, alpha)}", PEEKING]
    elif compared:
        lines.append(f"{step}: the {planned} contacts that were planned for each way are reached, and count")
    else:
        lines.append(
            f"{step}: {_name(step, least.variant)} has {least.assigned} of {planned} planned contacts; until each way "
            "has as many, nothing is compared"
        )
    return Divided(step, since, verdicts, results, sum(item.pending for item in found), planned, compared)


def _name(step: str, way: str) -> str:
    return f"{step} {way}" if way else f"{step} (no part)"


def _goals(name: str, other: str, compared: Compared) -> str:
    low, high = compared.interval.low * 100, compared.interval.high * 100
    span = f"({(1 - compared.alpha) * 100:.4g} %: {low:+.2f} to {high:+.2f} points)"
    if not compared.significant:
        return f"{name} and {other} do not differ in goals beyond chance {span}"
    way = "more" if compared.difference > 0 else "less"
    return (
        f"{name} reaches a goal {abs(compared.difference) * 100:.2f} points {way} often than {other} {span}"
    )


def _against(arm: Arm, other: Arm, alpha: float) -> Verdict:
    conversion, revenue = conversion_of(arm, other, alpha), revenue_of(arm, other, alpha)
    if other.variant:
        return Verdict(arm, other.variant, conversion, revenue)
    return Verdict(arm, "", conversion, revenue, conversion, revenue)


def _reach(arms: Sequence[Arm], alpha: float) -> str:
    """Return what groups of their size find at all."""
    least = min(arms, key=lambda arm: arm.assigned)
    seen = detectable(arms[-1].rate, least.assigned, _POWER, alpha)
    if not seen:
        return f"The smallest group has {least.assigned} contacts: too few for any difference to be found"
    return (
        f"The smallest group has {least.assigned} contacts, with which differences from {seen * 100:.2f} points on are "
        f"found with a power of {_POWER:.0%}"
    )
