"""What is special about a segment: distributions, retention of cohorts, the RFM grid."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from difflib import get_close_matches
from itertools import pairwise
from typing import Any, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Select

from services.kit.errors import FailedPrecondition, InvalidArgument
from services.segmentation.context import Service
from services.segmentation.rules import Registry
from services.segmentation.rules.fields import field_of, field_types
from services.segmentation.statistics import Share, compare
from services.segmentation.store import insight
from services.segmentation.usecases.answers import fill_for_all
from services.segmentation.usecases.defining import compile_new, load
from services.segmentation.usecases.previewing import LONGEST_SECONDS, snapshot
from services.segmentation.vocabulary import load_names, make_registry

RFM_TRAITS = ("rfm_recency", "rfm_frequency")
SCORES = (5, 4, 3, 2, 1)
Period = Literal["week", "month", "year"]
_LONGER = (
    "the figures take longer than {:g} s: ask for a stored segment in place of a rule, or for one with fewer members "
    "in place of all contacts"
)


@dataclass(frozen=True)
class Target:
    """Say who is looked at: the contacts of a rule, the members of the segment of an id, or with neither everybody."""

    rule: str | None = None
    segment: str | None = None


@contextmanager
def _looking(
    service: Service, target: Target, now: datetime
) -> Iterator[tuple[Connection, Select[Any], Registry]]:
    """Lend a bounded connection with the SELECT of those who are looked at, and the registry."""
    with snapshot(service, _LONGER) as connection:
        registry = make_registry(
            load_names(connection), service.catalog(), service.time_zone, known_traits=True
        )
        if target.rule is not None:
            compiled = compile_new(service, connection, target.rule, "rule")
            if compiled.plugin_calls:
                fill_for_all(service, connection, compiled, now, timeout=LONGEST_SECONDS)
            who = compiled.rebuild_select
        elif target.segment is not None:
            who = insight.members_of(load(connection, target.segment).number)
        else:
            who = insight.everybody()
        yield connection, who, registry


@dataclass(frozen=True)
class DistributionGroup:
    """Hold a group: a value, a bin (its bounds, None for none), or neither when missing; other: of what is left out."""

    value: str | None
    bin: tuple[Decimal | None, Decimal | None] | None
    other: bool
    members: int
    contacts: int
    share: Share


@dataclass(frozen=True)
class Distribution:
    """Hold a segment by an attribute."""

    attribute: str
    type: str
    members: int
    contacts: int
    groups: list[DistributionGroup]
    omitted: int
    as_of: datetime


def distribution(
    service: Service,
    target: Target,
    attribute: str,
    *,
    limits: Sequence[float] = (),
    bins: int = 10,
    values: int = 20,
    period: Period = "month",
) -> Distribution:
    """Count contacts by an attribute; raises InvalidArgument (UNKNOWN_ATTRIBUTE, INVALID_BINS, INVALID_RULE)."""
    now = service.clock.now()
    name = attribute.removeprefix("contact.")
    with _looking(service, target, now) as (connection, who, registry):
        types = field_types(registry)
        if name not in types:
            raise _unknown("attribute", name, "UNKNOWN_ATTRIBUTE", types)
        field = field_of(registry, name)
        _check_limits(limits, field.type, name)
        match field.type:
            case "int" | "double":
                exact = [Decimal(repr(float(limit))) for limit in limits]
                counted = insight.count_numbers(connection, who, field.column, now, limits=exact, bins=bins)
            case "timestamp":
                counted = insight.count_days(
                    connection, who, field.column, now, unit=period, zone=service.time_zone, most=values
                )
            case "strings":
                counted = insight.count_elements(connection, who, field.column, now, values)
            case _:
                counted = insight.count_values(connection, who, field.column, now, values)
    groups = [_group(group, counted) for group in counted.groups]
    return Distribution(name, field.type, counted.members, counted.contacts, groups, counted.omitted, now)


def _check_limits(limits: Sequence[float], kind: str, name: str) -> None:
    problem = ""
    if limits and kind not in ("int", "double"):
        problem = f"{name} is no number, so there are no bins: leave them out"
    elif not all(math.isfinite(limit) for limit in limits):
        problem = "must be finite numbers"
    elif any(low >= high for low, high in pairwise(limits)):
        problem = f"must ascend, got {list(limits)}"
    if problem:
        raise InvalidArgument.field("bin_limits", problem, reason="INVALID_BINS")


def _unknown(field: str, name: str, reason: str, known: Any) -> InvalidArgument:
    close = get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known))}"
    return InvalidArgument.field(field, f"{name[:100]!r} is not known; {hint}", reason=reason)


def _group(group: insight.Group, counted: insight.Counted) -> DistributionGroup:
    share = compare(group.members, counted.members, group.contacts, counted.contacts)
    value, bounds = None, None
    if not group.last and group.value is not None:
        if counted.limits is not None:
            at = int(group.value)
            low = counted.limits[at - 1] if at > 0 else None
            bounds = (low, counted.limits[at] if at < len(counted.limits) else None)
        else:
            value = _shown(group.value)
    return DistributionGroup(value, bounds, group.last, group.members, group.contacts, share)


def _shown(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case Decimal():
            return decimal_text(value)
        case date():
            return value.isoformat()
    return str(value)


def decimal_text(value: Decimal) -> str:
    """Return a decimal in digits, without an exponent and without zeros that say nothing."""
    text = format(value, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


@dataclass(frozen=True)
class CohortPeriod:
    """Hold a cohort's activity in a period."""

    start: date
    active: int
    share: float
    amount: Decimal
    complete: bool


@dataclass(frozen=True)
class Cohort:
    """Hold contacts whose first event lies in the same period."""

    start: date
    contacts: int
    periods: list[CohortPeriod]


def cohorts(
    service: Service,
    target: Target,
    *,
    first: str = "",
    active: str = "",
    period: Period = "month",
    count: int = 12,
) -> tuple[list[Cohort], datetime]:
    """Return the newest cohorts and the time of the count; raises InvalidArgument (UNKNOWN_EVENT_TYPE)."""
    now = service.clock.now()
    with _looking(service, target, now) as (connection, who, registry):
        first_type = _event_type(registry, first or "order.placed", "first_event_type")
        active_type = _event_type(registry, active, "active_event_type") if active else first_type
        today = now.astimezone(ZoneInfo(service.time_zone)).date()
        starts = [_start(today, period)]
        while len(starts) < count:
            starts.append(_start(starts[-1] - timedelta(days=1), period))
        starts.reverse()
        found = insight.cohorts(
            connection,
            who,
            first=first_type,
            active=active_type,
            unit=period,
            zone=service.time_zone,
            since=starts[0],
            now=now,
        )
    sizes = {item.cohort: item.contacts for item in found if item.period is None}
    cells = {(item.cohort, item.period): item for item in found if item.period is not None}
    made = []
    for cohort, size in sizes.items():
        periods = []
        for start in starts:
            if start >= cohort:
                cell = cells.get((cohort, start))
                number, amount = (cell.contacts, cell.amount) if cell else (0, Decimal(0))
                periods.append(CohortPeriod(start, number, number / size, amount, start != starts[-1]))
        made.append(Cohort(cohort, size, periods))
    return made, now


def _start(day: date, period: Period) -> date:
    if period == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1)


def _event_type(registry: Registry, name: str, field: str) -> str:
    found = registry.events_by_name.get(name) or registry.events_by_cel_name.get(name)
    if found is None:
        raise _unknown(field, name, "UNKNOWN_EVENT_TYPE", registry.events_by_name)
    return found.name


@dataclass(frozen=True)
class RfmGrid:
    """Hold the cells, best first, those without scores, and when the scores were computed."""

    cells: list[insight.Cell]
    unscored: int
    scored_at: datetime | None
    as_of: datetime


def rfm_grid(service: Service, target: Target) -> RfmGrid:
    """Count contacts by recency and frequency; raises FailedPrecondition (TRAITS_MISSING)."""
    now = service.clock.now()
    with _looking(service, target, now) as (connection, who, registry):
        types = field_types(registry)
        offered = {column for record in service.catalog().traits.values() for column in record.columns}
        missing = [name for name in RFM_TRAITS if name not in offered or types[f"traits.{name}"] != "int"]
        if missing:
            raise FailedPrecondition(
                f"no loaded plugin offers the trait {missing[0]}: load the plugin rfm, which comes with Rapport",
                reason="TRAITS_MISSING",
                metadata={"trait": missing[0]},
            )
        columns = [field_of(registry, f"traits.{name}").column for name in RFM_TRAITS]
        found = insight.rfm(connection, who, columns[0], columns[1], now)
        times = insight.refresh_times(connection, RFM_TRAITS)
    by_score = {(cell.recency, cell.frequency): cell for cell in found}
    cells = [by_score.get((r, f)) or insight.Cell(r, f, 0, Decimal(0)) for r in SCORES for f in SCORES]
    unscored = by_score.get((None, None))
    known = [time for time in times if time is not None]
    return RfmGrid(
        cells,
        unscored.contacts if unscored else 0,
        min(known) if known and len(known) == len(times) else None,
        now,
    )
