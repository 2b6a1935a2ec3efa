"""Availability and recovery of a chaos run: what callers saw."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from tests.chaos.stack.faults import Fault
from tests.chaos.stack.load import Call


@dataclass(frozen=True, slots=True)
class Availability:
    """Hold how calls of a kind went: shares that succeeded at the first attempt and in time, and seconds."""

    kind: str
    calls: int
    first_attempt: float
    within_deadline: float
    p50: float
    p99: float
    longest: float


@dataclass(frozen=True, slots=True)
class Recovery:
    """Hold how long after faults of a kind something was so again, in seconds; None where that was never seen."""

    kind: str
    faults: int
    read_p50: float | None
    read_max: float | None
    write_p50: float | None
    write_max: float | None
    level_p50: float | None
    level_max: float | None


def availability(calls: Sequence[Call]) -> list[Availability]:
    """Return how the reads and the writes went."""
    found = []
    for kind in ("read", "write"):
        mine = [call for call in calls if call.kind == kind]
        if not mine:
            continue
        took = sorted(call.seconds for call in mine if call.attempts)
        found.append(
            Availability(
                kind,
                len(mine),
                sum(call.attempts == 1 for call in mine) / len(mine),
                sum(call.attempts > 0 for call in mine) / len(mine),
                _share(took, 0.5) or math.nan,
                _share(took, 0.99) or math.nan,
                took[-1] if took else math.nan,
            )
        )
    return found


def recovery(
    faults: Sequence[Fault], calls: Sequence[Call], level_after: Callable[[float], float | None]
) -> list[Recovery]:
    """Return for each kind of fault how long it took until a read and a write begun after it succeeded, and until all
    events committed before it had their effect.

    Of a fault that strikes one service, only calls of that service count; of another, the last service to answer.
    """
    found = []
    for kind in sorted({fault.kind for fault in faults}):
        mine = [fault for fault in faults if fault.kind == kind]
        reads = _known(_first_success(calls, "read", fault) for fault in mine)
        writes = _known(_first_success(calls, "write", fault) for fault in mine)
        levels = _known(level_after(fault.at) for fault in mine)
        found.append(
            Recovery(
                kind,
                len(mine),
                *(
                    value
                    for some in (reads, writes, levels)
                    for value in (_share(some, 0.5), _share(some, 1.0))
                ),
            )
        )
    return found


def _first_success(calls: Sequence[Call], kind: str, fault: Fault) -> float | None:
    services = {call.service for call in calls if call.kind == kind and fault.service in ("", call.service)}
    firsts = [
        min(
            (
                call.began + call.seconds - fault.at
                for call in calls
                if (call.kind, call.service) == (kind, service) and call.attempts and call.began >= fault.at
            ),
            default=None,
        )
        for service in services
    ]
    return None if None in firsts else max(_known(firsts), default=None)


def _known(values: Iterable[float | None]) -> list[float]:
    return sorted(value for value in values if value is not None)


def _share(ascending: Sequence[float], share: float) -> float | None:
    return ascending[min(len(ascending) - 1, int(len(ascending) * share))] if ascending else None


def show(available: Sequence[Availability], recovered: Sequence[Recovery]) -> None:
    """Print both as tables."""
    table = Table(
        "calls", "made", "ok at the first attempt", "ok within the deadline", "p50", "p99", "longest"
    )
    for one in available:
        table.add_row(
            f"{one.kind}s",
            f"{one.calls:,}",
            f"{one.first_attempt:.2%}",
            f"{one.within_deadline:.2%}",
            *(_seconds(value) for value in (one.p50, one.p99, one.longest)),
        )
    Console(emoji=False).print(table)
    table = Table("after", "times", "a read is ok", "a write is ok", "consumers are level")
    for item in recovered:
        table.add_row(
            item.kind,
            str(item.faults),
            _pair(item.read_p50, item.read_max),
            _pair(item.write_p50, item.write_max),
            _pair(item.level_p50, item.level_max),
        )
    table.caption = (
        "median / longest; of calls of the service that was struck, or of the last one where all were"
    )
    Console(emoji=False).print(table)


def _pair(middle: float | None, longest: float | None) -> str:
    return f"{_seconds(middle)} / {_seconds(longest)}"


def _seconds(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.2f} s"
