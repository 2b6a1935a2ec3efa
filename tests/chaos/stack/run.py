"""One chaos run: a load, faults, quiet, and the account."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from rapport_client import connect

from services.kit.supervise.events import Event, EventKind
from tests.chaos.checks import Check, at_least, exactly
from tests.chaos.stack import report, verify
from tests.chaos.stack.faults import Fault
from tests.chaos.stack.load import Load
from tests.chaos.stack.monitor import Monitor
from tests.chaos.stack.scene import Scene, open_scene

SETTLE_SECONDS = 300.0
"""How long at the most until everything is acknowledged, and then until all is level, once the faults are over."""


@dataclass
class Outcome:
    """Hold what a run showed."""

    checks: list[Check] = field(default_factory=list)
    available: list[report.Availability] = field(default_factory=list)
    recovered: list[report.Recovery] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    struck: list[Fault] = field(default_factory=list)
    settled_seconds: float = 0.0


def run(
    folder: Path,
    faults: Sequence[Fault],
    *,
    seed: int,
    seconds: float,
    rate: float,
    replicas: int,
    say: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Run a stack under load for so many seconds while the faults strike, and account for everything."""
    outcome = Outcome()

    def tell(event: Event) -> None:
        if event.kind is EventKind.FAILED:
            outcome.notes.append(f"{event.name} failed: {event.detail}"[:300])

    with open_scene(folder, replicas, tell) as scene:
        assert scene.stack.access is not None
        access = scene.stack.access
        with connect(
            access.address, access.token, events_address=access.events_address, base_port=access.base_port
        ) as rapport:
            verify.prepare(rapport)
            say(f"{len(scene.processes())} processes are up")
            load = Load(rapport, seed, rate)
            with Monitor(scene) as monitor:
                outcome.struck = _strike(scene, load, faults, seconds, say)
                over = time.monotonic()
                every = load.stop(SETTLE_SECONDS)
                level = monitor.await_level(SETTLE_SECONDS)
                outcome.settled_seconds = time.monotonic() - over
                say(f"all is acknowledged and level {outcome.settled_seconds:.1f} s after the last fault")
                outcome.available = report.availability(load.calls)
                outcome.recovered = report.recovery(outcome.struck, load.calls, monitor.level_after)
            missed = [fault for fault in faults if fault not in outcome.struck]
            outcome.notes += [f"found no victim: {fault.line().strip()}" for fault in missed]
            outcome.notes += load.problems
            outcome.checks += [
                at_least("faults that struck", _most(len(faults)), len(outcome.struck)),
                exactly("calls that failed as no fault may make them", 0, len(load.problems)),
                exactly("writers without their last acknowledgement", 0, int(not every)),
                exactly("streams with events that wait", 0, int(not level)),
                exactly("processes that did not come back", 0, _missing(scene)),
            ]
            verifier = verify.Verifier(scene, load.acknowledged)
            verifier.bring_again(SETTLE_SECONDS)
            say("all events were published a second time")
            outcome.checks += verifier.checks(rapport)
            outcome.notes += verifier.notes
        running = scene.processes()
    _, alive = psutil.wait_procs(running, timeout=30)
    outcome.checks.append(exactly("processes left behind", 0, len(alive)))
    return outcome


def _strike(
    scene: Scene, load: Load, faults: Sequence[Fault], seconds: float, say: Callable[[str], None]
) -> list[Fault]:
    """Load the stack and let faults strike at their times, whether or not others last; return when all are over.

    Returns those that found their victims.
    """
    over = threading.Event()
    load.start()
    began = time.monotonic()
    struck = []
    for fault in faults:
        over.wait(max(0.0, began + fault.at - time.monotonic()))
        say(fault.line())
        struck.append(scene.strike(fault, over.wait))
    over.wait(max(0.0, began + seconds - time.monotonic()))
    found = [each.result() for each in struck]
    scene.heal()
    return [fault for fault, hit in zip(faults, found, strict=True) if hit]


def _most(faults: int) -> int:
    # Some come while their victim is away for another.
    return -(-faults * 3 // 4)


def _missing(scene: Scene) -> int:
    supervisor = scene.stack.supervisor
    return sum(not supervisor.wait_ready(name, timeout=120) for name in supervisor.names())
