"""The supervisor starts, watches and restarts real processes."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from services.kit.supervise import Event, EventKind, PortUse, ProcessSpec, StopRequested, SupervisorError
from services.kit.supervise.child import BackOff
from services.kit.supervise.identity import is_alive
from tests.support.supervised import STUBBORN, Events, MakeSupervisor, names, plain, python
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("nothing_is_left_running")


def test_processes_start_after_what_they_need_and_stop_before_it(
    make_supervisor: MakeSupervisor, tmp_path: Path, events: Events
) -> None:
    supervisor = make_supervisor()
    supervisor.start(
        [
            plain(tmp_path, "worker", after=["api"]),
            plain(tmp_path, "api", after=["base"]),
            plain(tmp_path, "base"),
        ]
    )
    assert names(events.of(EventKind.READY)) == ["base", "api", "worker"]
    pids = {name: supervisor.pid(name) for name in ("base", "api", "worker")}
    assert pids == {name: int((tmp_path / name).read_text()) for name in pids}
    supervisor.stop()
    assert (tmp_path / "order").read_text().split() == ["worker", "api", "base"]
    assert not any(is_alive(pid) for pid in pids.values() if pid)
    assert (tmp_path / "state/logs/api.log").read_text() == "hello from api\n"


def test_a_killed_process_comes_back_and_it_is_said(
    make_supervisor: MakeSupervisor, tmp_path: Path, events: Events
) -> None:
    supervisor = make_supervisor()
    supervisor.start([plain(tmp_path, "api"), plain(tmp_path, "other")])
    first, other = supervisor.pid("api"), supervisor.pid("other")
    supervisor.kill("api")
    events.wait(EventKind.READY, "api", 2)
    assert supervisor.wait_ready("api", 0)
    assert supervisor.pid("api") not in (None, first)
    assert supervisor.pid("other") == other
    assert [event.detail for event in events.of(EventKind.EXITED)] == ["ended with signal SIGKILL"]
    assert events.of(EventKind.RESTARTING, "api")[0].detail == "starting it again in 0.01 s"
    diary = (tmp_path / "state/logs/supervisor.log").read_text()
    assert "api exited ended with signal SIGKILL" in diary


def test_pauses_grow_up_to_a_limit(make_supervisor: MakeSupervisor, events: Events) -> None:
    make_supervisor().start([python("crash", "raise SystemExit(3)")])
    events.wait(EventKind.RESTARTING, "crash", 4)
    assert [event.seconds for event in events.of(EventKind.RESTARTING)[:4]] == [0.01, 0.02, 0.04, 0.04]
    assert events.of(EventKind.EXITED)[0].detail == "ended with status 3"


def test_what_a_killed_process_left_in_its_group_is_ended(
    make_supervisor: MakeSupervisor, tmp_path: Path, events: Events
) -> None:
    supervisor = make_supervisor()
    supervisor.start([plain(tmp_path, "api", STUBBORN)])
    inner = int((tmp_path / "api").read_text().split()[1])
    (tmp_path / "api").unlink()
    supervisor.kill("api")
    events.wait(EventKind.READY, "api", 2)
    assert not is_alive(inner)
    supervisor._hasten.set()


def test_one_that_cannot_start_stops_all_and_shows_its_log(
    make_supervisor: MakeSupervisor, tmp_path: Path
) -> None:
    supervisor = make_supervisor()
    with pytest.raises(SupervisorError, match="broken ended with status 4 before it was ready") as caught:
        supervisor.start(
            [
                plain(tmp_path, "api"),
                python(
                    "broken", "print('the reason'); raise SystemExit(4)", ready=lambda: False, after=["api"]
                ),
                plain(tmp_path, "never", after=["broken"]),
            ]
        )
    assert "the reason" in str(caught.value)
    assert not is_alive(int((tmp_path / "api").read_text()))
    assert not (tmp_path / "never").exists()


def test_a_command_that_is_not_there_is_named(make_supervisor: MakeSupervisor) -> None:
    with pytest.raises(SupervisorError, match="nope cannot run /no/such/program: No such file"):
        make_supervisor().start([ProcessSpec("nope", ["/no/such/program"])])


def test_one_that_does_nothing_is_given_up(make_supervisor: MakeSupervisor) -> None:
    with pytest.raises(SupervisorError, match=r"idle runs but did nothing for 0\.5 s and is not ready"):
        make_supervisor(stall_seconds=0.5).start(
            [python("idle", "import signal; signal.pause()", ready=lambda: False)]
        )


def test_a_probe_that_raises_only_means_not_yet(make_supervisor: MakeSupervisor, tmp_path: Path) -> None:
    asked: list[int] = []

    def ready() -> bool:
        asked.append(1)
        if len(asked) < 3:
            raise ConnectionError
        return True

    make_supervisor().start([plain(tmp_path, "api", ready=ready)])
    assert len(asked) == 3


def test_a_taken_port_is_named_before_anything_starts(
    make_supervisor: MakeSupervisor, tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            SupervisorError, match=f"port {port} on 127.0.0.1 of api .*change RAPPORT_BASE_PORT"
        ):
            make_supervisor().start(
                [plain(tmp_path, "first"), plain(tmp_path, "api", ports=[PortUse(port, "RAPPORT_BASE_PORT")])]
            )
    assert not (tmp_path / "first").exists()


def test_a_stubborn_process_is_killed_with_its_children_after_its_grace(
    make_supervisor: MakeSupervisor, tmp_path: Path
) -> None:
    supervisor = make_supervisor()
    supervisor.start([plain(tmp_path, "api", STUBBORN, stop_grace=0.1)])
    pids = [int(word) for word in (tmp_path / "api").read_text().split()]
    assert all(is_alive(pid) for pid in pids)
    supervisor.stop()
    until(lambda: not any(is_alive(pid) for pid in pids), "both are gone")


def test_a_second_request_hastens(make_supervisor: MakeSupervisor, tmp_path: Path) -> None:
    supervisor = make_supervisor()
    supervisor.start([plain(tmp_path, "api", STUBBORN, stop_grace=1000)])
    pid = supervisor.pid("api")
    assert pid is not None
    supervisor.request_stop()
    assert supervisor.wait(0)
    supervisor.request_stop()
    supervisor.stop()
    assert not is_alive(pid)


def test_a_pause_before_a_restart_does_not_hold_up_the_stop(
    make_supervisor: MakeSupervisor, events: Events
) -> None:
    supervisor = make_supervisor(back_off=BackOff(first=1000, longest=1000))
    supervisor.start([python("crash", "pass")])
    events.wait(EventKind.RESTARTING, "crash")
    supervisor.stop()
    assert events.of(EventKind.STOPPED, "crash")


def test_more_processes_can_be_added(make_supervisor: MakeSupervisor, tmp_path: Path) -> None:
    supervisor = make_supervisor()
    supervisor.start([plain(tmp_path, "api")])
    supervisor.start([plain(tmp_path, "worker", after=["api"])])
    with pytest.raises(SupervisorError, match="two processes are called 'api'"):
        supervisor.start([plain(tmp_path, "api")])
    supervisor.stop()
    assert (tmp_path / "order").read_text().split() == ["worker", "api"]


def test_it_can_be_used_again_after_a_stop(
    make_supervisor: MakeSupervisor, tmp_path: Path, events: Events
) -> None:
    supervisor = make_supervisor()
    for _ in range(2):
        supervisor.start([plain(tmp_path, "api")])
        supervisor.stop()
    assert len(events.of(EventKind.READY, "api")) == 2


def test_output_that_cannot_be_kept_does_not_stop_a_process(
    make_supervisor: MakeSupervisor, tmp_path: Path, events: Events
) -> None:
    (tmp_path / "state/logs/api.log").mkdir(parents=True)
    supervisor = make_supervisor()
    supervisor.start([plain(tmp_path, "api")])
    assert "Is a directory" in events.wait(EventKind.LOG_LOST, "api")[0].detail
    assert supervisor.wait_ready("api", 0)


def test_a_listener_that_fails_does_not_stop_anything(
    make_supervisor: MakeSupervisor, tmp_path: Path
) -> None:
    def broken(event: Event) -> None:
        raise RuntimeError(event)

    supervisor = make_supervisor(on_event=broken)
    supervisor.start([plain(tmp_path, "api")])
    assert supervisor.wait_ready("api", 0)


def test_children_learn_of_their_parent_and_settings(make_supervisor: MakeSupervisor, tmp_path: Path) -> None:
    text = (
        "import os; fd = int(os.environ['RAPPORT_PARENT_FD'])\n"
        "print(os.environ['COLOUR'], os.fstat(fd).st_mode & 0o10000)"
    )
    supervisor = make_supervisor(back_off=BackOff(first=1000))
    supervisor.start([python("child", text, env={"COLOUR": "red"}, cwd=tmp_path)])
    log = tmp_path / "state/logs/child.log"
    until(lambda: log.exists() and log.read_text().endswith("\n"), "it has spoken")
    assert log.read_text() == f"red {0o10000}\n"


@pytest.mark.parametrize("bad", ["file/state", "file"])
def test_a_folder_that_cannot_be_used_is_named(
    make_supervisor: MakeSupervisor, tmp_path: Path, bad: str
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SupervisorError, match=r"cannot use the folder .*file.* choose another"):
        make_supervisor(tmp_path / bad).open()


def test_an_unknown_name_is_refused_with_the_known_ones(
    make_supervisor: MakeSupervisor, tmp_path: Path
) -> None:
    supervisor = make_supervisor()
    supervisor.start([plain(tmp_path, "api")])
    with pytest.raises(SupervisorError, match="no process is called 'app'; there are: api"):
        supervisor.pid("app")


class FakeResource:
    """A resource that can be made to die."""

    name = "thing"

    def __init__(self) -> None:
        self.running = False
        self.history: list[str] = []
        self.broken = 0

    def start(self, cancel: threading.Event | None = None) -> None:
        if self.broken:
            self.broken -= 1
            raise RuntimeError("not yet")
        self.running = True
        self.history.append("start")

    def stop(self, hasten: threading.Event | None = None) -> None:
        self.running = False
        self.history.append("stop")

    def alive(self) -> bool:
        return self.running


def test_a_resource_outlives_the_processes_and_is_started_again(
    make_supervisor: MakeSupervisor, tmp_path: Path, events: Events
) -> None:
    supervisor, thing = make_supervisor(), FakeResource()
    supervisor.own(thing)
    supervisor.start([plain(tmp_path, "api")])
    thing.broken = 1
    thing.running = False
    events.wait(EventKind.READY, "thing", 2)
    assert events.of(EventKind.FAILED, "thing")[0].detail == "not yet"
    supervisor.stop()
    assert thing.history == ["start", "start", "stop"]
    stopped = names(events.of(EventKind.STOPPED))
    assert stopped.index("api") < stopped.index("thing")


def test_a_resource_that_cannot_start_raises_its_own_error(make_supervisor: MakeSupervisor) -> None:
    thing = FakeResource()
    thing.broken = 1
    with pytest.raises(RuntimeError, match="not yet"):
        make_supervisor().own(thing)


def test_a_resource_whose_start_is_cut_short_is_a_stop_and_no_failure(
    make_supervisor: MakeSupervisor,
) -> None:
    thing = FakeResource()
    thing.broken = 1
    supervisor = make_supervisor()
    supervisor.request_stop()
    with pytest.raises(StopRequested):
        supervisor.own(thing)
