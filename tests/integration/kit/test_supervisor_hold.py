"""Processes that are kept down on request, and processes that no longer answer."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from services.kit.supervise import EventKind, SupervisorError
from services.kit.supervise.child import BackOff
from services.kit.supervise.identity import is_alive
from services.kit.supervise.progress import activity
from tests.support.supervised import STUBBORN, Events, MakeSupervisor, plain, python
from tests.support.waiting import PATIENCE_SECONDS, until

pytestmark = pytest.mark.usefixtures("nothing_is_left_running")


def test_a_held_process_stays_down_until_it_is_released(
    make_supervisor: MakeSupervisor, tmp_path: Path, events: Events
) -> None:
    # The pause before a restart is so short that one which is not held would be back.
    supervisor = make_supervisor(back_off=BackOff(first=0.0, longest=0.0))
    supervisor.start([plain(tmp_path, name, STUBBORN, stop_grace=0.1) for name in ("api", "worker", "other")])
    gone = [int(word) for name in ("api", "worker") for word in (tmp_path / name).read_text().split()]
    other = supervisor.pid("other")
    supervisor.hold("api", "worker")
    # What a leader leaves behind was killed with it, and ends a moment later.
    until(lambda: not any(is_alive(pid) for pid in gone), "both have ended with what they started")
    for name in ("api", "worker"):
        (tmp_path / name).unlink()
        assert supervisor.pid(name) is None
        assert not supervisor.wait_ready(name, timeout=0.2)
        assert len(events.of(EventKind.STARTING, name)) == 1
    assert supervisor.pid("other") == other
    supervisor.hold("api")  # again: nothing changes
    assert len(events.of(EventKind.HELD)) == 2
    assert not events.of(EventKind.EXITED)

    supervisor.release("worker")
    assert supervisor.wait_ready("worker", PATIENCE_SECONDS)
    assert supervisor.pid("api") is None
    supervisor.release("api")
    assert supervisor.wait_ready("api", PATIENCE_SECONDS)
    assert supervisor.pid("api") not in (None, gone[0])
    assert not events.of(EventKind.RESTARTING)
    supervisor.release("other")  # it is not held: nothing happens
    assert supervisor.pid("other") == other


def test_a_process_can_be_held_while_it_waits_for_its_restart(
    make_supervisor: MakeSupervisor, tmp_path: Path, events: Events
) -> None:
    supervisor = make_supervisor(back_off=BackOff(first=1000, longest=1000))
    supervisor.start([plain(tmp_path, "api")])
    supervisor.kill("api")
    events.wait(EventKind.RESTARTING, "api")
    supervisor.hold("api")
    supervisor.release("api")
    # At once, that is without what was left of the pause.
    assert supervisor.wait_ready("api", PATIENCE_SECONDS)


def test_a_process_can_be_held_while_it_starts(
    make_supervisor: MakeSupervisor, tmp_path: Path, events: Events
) -> None:
    ready = [True]
    supervisor = make_supervisor()
    supervisor.start([plain(tmp_path, "api", ready=lambda: ready[0])])
    ready[0] = False
    supervisor.kill("api")
    events.wait(EventKind.STARTING, "api", 2)
    supervisor.hold("api")
    assert supervisor.pid("api") is None
    ready[0] = True
    assert not supervisor.wait_ready("api", timeout=0)
    supervisor.release("api")
    assert supervisor.wait_ready("api", PATIENCE_SECONDS)


def test_a_stop_ends_a_hold(make_supervisor: MakeSupervisor, tmp_path: Path, events: Events) -> None:
    supervisor = make_supervisor()
    supervisor.start([plain(tmp_path, "api")])
    supervisor.hold("api")
    supervisor.stop()
    assert len(events.of(EventKind.STOPPED, "api")) == 1
    assert len(events.of(EventKind.STARTING, "api")) == 1


def test_nothing_is_held_when_one_name_is_unknown(make_supervisor: MakeSupervisor, tmp_path: Path) -> None:
    supervisor = make_supervisor()
    supervisor.start([plain(tmp_path, "api")])
    before = supervisor.pid("api")
    for ask in (supervisor.hold, supervisor.release):
        with pytest.raises(SupervisorError, match="no process is called 'app'; there are: api"):
            ask("api", "app")
    assert supervisor.pid("api") == before


def test_a_process_that_hangs_is_started_again(
    make_supervisor: MakeSupervisor, tmp_path: Path, events: Events
) -> None:
    supervisor = make_supervisor(look_seconds=0.01)
    hung: list[int] = []
    supervisor.start(
        [
            plain(tmp_path, "api", alive=lambda: supervisor.pid("api") not in hung),
            plain(tmp_path, "other", alive=lambda: True),
            plain(tmp_path, "unasked"),
        ]
    )
    first = {name: supervisor.pid(name) for name in ("api", "other", "unasked")}
    pid = first["api"]
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    hung.append(pid)
    exited = events.wait(EventKind.EXITED, "api")
    assert exited[0].detail == "did not answer 3 times in a row and did nothing meanwhile"
    events.wait(EventKind.READY, "api", 2)
    assert not is_alive(pid)
    assert [supervisor.pid(name) for name in ("other", "unasked")] == [first["other"], first["unasked"]]
    # What ends it later is told as it is.
    supervisor.kill("api")
    assert events.wait(EventKind.EXITED, "api", 2)[1].detail == "ended with signal SIGKILL"


def test_a_process_that_works_is_given_longer_to_answer(
    make_supervisor: MakeSupervisor, events: Events
) -> None:
    supervisor = make_supervisor(look_seconds=0.01)
    seen: list[object] = [None]

    def silent() -> bool:
        # Each look finds that the process has used the processor since the last.
        pid = supervisor.pid("busy") or 0
        until(lambda: activity(pid) != seen[-1], "the process works")
        seen.append(activity(pid))
        raise ConnectionError

    supervisor.start([python("busy", "while True: pass", alive=silent)])
    assert events.wait(EventKind.EXITED, "busy")[0].detail == "did not answer 30 times in a row"
