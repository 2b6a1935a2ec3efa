"""However a supervisor ends, it leaves nothing behind."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from services.kit.supervise import SupervisorError
from tests.support.programs import end, read_until, start_program
from tests.support.supervised import PLAIN, STUBBORN, MakeSupervisor, plain
from tests.support.waiting import all_end

pytestmark = pytest.mark.usefixtures("nothing_is_left_running")


KEEPER = f"""
import os, sys
from pathlib import Path
from services.kit.supervise import ProcessSpec
from services.kit.supervisor import Supervisor
folder = Path(sys.argv[1])
plain, stubborn = {PLAIN!r}, {STUBBORN!r}
def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\\n")  # at once, because several threads speak
def show(event):
    say(event.kind.value, event.name)
def spec(name, program, **options):
    return ProcessSpec(name, [sys.executable, "-S", "-c", program, str(folder), name], stop_grace=0.2,
                       ready=(folder / name).exists, **options)
with Supervisor(folder / "state", on_event=show) as supervisor, supervisor.signals():
    specs = [spec("api", plain), spec("deaf", stubborn), spec("worker", plain, after=["api"])]
    if "slow" in sys.argv:
        never = [sys.executable, "-S", "-c", plain, str(folder), "slow"]
        specs = [spec("api", plain), ProcessSpec("slow", never, ready=lambda: False)]
    supervisor.start(specs)
    say("up")
    if "busy" in sys.argv:
        while True:
            pass
    supervisor.wait()
say("done", supervisor.stop_requested.is_set())
"""


def children_of(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def test_a_killed_supervisor_leaves_nothing_and_a_successor_can_start(
    make_supervisor: MakeSupervisor, tmp_path: Path
) -> None:
    keeper = start_program(KEEPER, str(tmp_path))
    try:
        read_until(keeper, "up")
        family = children_of(keeper.pid)
        assert len(family) == 5  # two plain, a deaf one with a child of its own, the reaper
        keeper.kill()
        keeper.wait()
        make_supervisor().start([plain(tmp_path, "next")])  # at once: it waits for the reaper
        all_end(family)
        assert sorted((tmp_path / "order").read_text().split()) == ["api", "worker"]  # they were asked kindly
    finally:
        end(keeper)


def test_a_second_supervisor_is_refused_by_name(make_supervisor: MakeSupervisor, tmp_path: Path) -> None:
    keeper = start_program(KEEPER, str(tmp_path))
    try:
        read_until(keeper, "up")
        with pytest.raises(SupervisorError, match=f"already running in .* as process {keeper.pid}"):
            make_supervisor().start([plain(tmp_path, "next")])
        assert not (tmp_path / "next").exists()
    finally:
        keeper.terminate()
        read_until(keeper, "done")
        end(keeper)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("mode", ["idle", "busy"])
def test_a_signal_stops_everything_in_order(tmp_path: Path, number: signal.Signals, mode: str) -> None:
    keeper = start_program(KEEPER, str(tmp_path), mode)
    try:
        read_until(keeper, "up")
        family = children_of(keeper.pid)
        keeper.send_signal(number)
        said = read_until(keeper, "done")
        assert said[-1] == "done True"
        assert keeper.wait() == 0
        assert (tmp_path / "order").read_text().split() == ["worker", "api"]
        assert said.index("stopped worker") < said.index("stopping api")
        all_end(family)
    finally:
        end(keeper)


def test_a_signal_while_starting_stops_everything(tmp_path: Path) -> None:
    keeper = start_program(KEEPER, str(tmp_path), "slow")
    try:
        read_until(keeper, "ready api")
        family = children_of(keeper.pid)
        keeper.send_signal(signal.SIGINT)
        read_until(keeper, "done True")
        assert keeper.wait() == 0
        all_end(family)
    finally:
        end(keeper)


def test_many_signals_end_cleanly_too(tmp_path: Path) -> None:
    keeper = start_program(KEEPER, str(tmp_path))
    try:
        read_until(keeper, "up")
        family = children_of(keeper.pid)
        for _ in range(3):
            keeper.send_signal(signal.SIGINT)
        read_until(keeper, "done True")
        assert keeper.wait() == 0
        all_end(family)
    finally:
        end(keeper)
