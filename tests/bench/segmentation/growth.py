"""Growth: what a contact costs, and what memory is needed, when there are ever more of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import psutil

from services.segmentation.rules import CompiledRule
from services.segmentation.usecases.rebuilding import rebuild_one
from tests.bench.machine import cpu_seconds, peaks
from tests.bench.report import Figure
from tests.bench.segmentation import increment
from tests.bench.segmentation.database import filled
from tests.bench.segmentation.many import rules
from tests.bench.segmentation.rebuild import look, put_in_force
from tests.bench.segmentation.rules import SINGLE
from tests.support.segmentation import World

SEGMENTS = 20
ROUNDS, SAMPLES = 5, 3
"""The least of so many measurements counts: what else the machine does only adds to it."""
SESSION_MB = 40.0
"""What a session of the server may take, whatever the number of contacts: some plans have half a dozen steps that sort
or hash, each within `sweeps.MEMORY`. Where there are few contacts they need less, so that is no measure."""
WIDE = next(item for item in SINGLE if item.name == "wide window")


def measure(sizes: Sequence[int], say: Callable[[str], None]) -> list[Figure]:
    """Rebuild one segment, twenty in one pass, and take increments, at each size; compare each with the first."""
    figures: list[Figure] = []
    first: dict[str, float] = {}
    for size in sizes:
        with filled(size, 10 * size, say) as (seg, postmaster):
            seg.define("wide", WIDE.rule)
            many = put_in_force(seg, rules(SEGMENTS))
            _leave_sessions(seg)
            # Looked at apart: to look closely takes time itself.
            with peaks(postmaster) as memory:
                _rebuild(seg)
                _pass(seg, many)
            cost = {
                "rebuild": _cost(seg, postmaster, _rebuild),
                f"{SEGMENTS} in one pass": _cost(seg, postmaster, lambda s, m=many: _pass(s, m)),
            }
            steps = [increment.cost(seg, postmaster, sample).step for sample in range(SAMPLES)]
            cost["increment of a contact"] = min(steps) * size
        now = {f"{name}, us a contact": seconds / size * 1e6 for name, seconds in cost.items()}
        now["memory of the service, MB"] = memory.own / 1e6
        session = memory.session / 1e6
        say(
            f"{size:,} contacts: "
            + "; ".join(f"{name} {value:.2f}" for name, value in now.items())
            + f"; memory of a session, MB {session:.1f}"
        )
        figures.append(Figure(f"{size:,} contacts: memory of a session", session, SESSION_MB, "MB", 1.0))
        for name, value in now.items():
            if first:
                what, _, unit = name.rpartition(", ")
                figures.append(
                    Figure(f"growth from {sizes[0]:,} to {size:,}: {what}", value, first[name], unit, 1.3)
                )
        first = first or now
    return figures


def _leave_sessions(seg: World) -> None:
    """End the sessions that filled the database: what they hold is not what the work needs."""
    clients = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
    sessions = [psutil.Process(pid) for pid in seg.query(clients)]
    seg.db.engine.dispose()
    _, alive = psutil.wait_procs(sessions, timeout=30)
    assert not alive, "a session did not end"


def _cost(seg: World, postmaster: int, work: Callable[[World], None]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        start = cpu_seconds(postmaster)
        work(seg)
        seconds.append(cpu_seconds(postmaster) - start)
    assert min(seconds) > 0, seconds
    return min(seconds)


def _rebuild(seg: World) -> None:
    with seg.db.engine.connect() as connection:
        rebuild_one(seg.service, connection, "wide")
        connection.rollback()


def _pass(seg: World, many: Sequence[tuple[int, CompiledRule]]) -> None:
    with seg.db.engine.connect() as connection:
        look(connection, many)
        connection.rollback()
