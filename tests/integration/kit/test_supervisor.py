"""The supervisor starts, watches, restarts and stops real processes, and leaves none behind."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import grpc
import psutil
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.kit.supervise import Event, EventKind, PortUse, ProcessSpec, SupervisorError, probes
from services.kit.supervise.child import BackOff
from services.kit.supervise.identity import is_alive
from services.kit.supervisor import Supervisor
from tests.support.programs import end, read_until, start_program
from tests.support.waiting import PATIENCE_SECONDS, until

QUICK = BackOff(first=0.01, longest=0.04, settled=60.0)

# A child: writes its number, then waits for SIGTERM.
PLAIN = """
import os, pathlib, signal, sys
folder, name = pathlib.Path(sys.argv[1]), sys.argv[2]
def bye(*_):
    with open(folder / "order", "a") as stream:
        stream.write(name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, bye)
(folder / name).write_text(str(os.getpid()))
print("hello from", name, flush=True)
while True:
    signal.pause()
"""

STUBBORN = """
import os, pathlib, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
inner = subprocess.Popen([sys.executable, "-S", "-c", "import signal\\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\\nwhile True: signal.pause()"])
partial = pathlib.Path(sys.argv[1], "." + sys.argv[2])
partial.write_text(f"{os.getpid()} {inner.pid}")
partial.rename(pathlib.Path(sys.argv[1], sys.argv[2]))
while True:
    signal.pause()
"""


class Events:
    """Collects what a supervisor tells."""

    def __init__(self) -> None:
        self.all: list[Event] = []
        self._changed = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._changed:
            self.all.append(event)
            self._changed.notify_all()

    def wait(self, kind: EventKind, name: str, count: int = 1) -> list[Event]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.of(kind, name)) >= count, PATIENCE_SECONDS), (
                self.all
            )
            return self.of(kind, name)

    def of(self, kind: EventKind, name: str | None = None) -> list[Event]:
        return [event for event in self.all if event.kind is kind and name in (None, event.name)]


def family() -> set[int]:
    return {process.pid for process in psutil.Process(os.getpid()).children(recursive=True)}


@pytest.fixture(autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    before = family()
    yield
    until(lambda: family() <= before, "every process that the test started has ended")


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def make(tmp_path: Path, events: Events) -> Iterator[Callable[..., Supervisor]]:
    made: list[Supervisor] = []

    def build(folder: Path = tmp_path / "state", **options: object) -> Supervisor:
        options = {"on_event": events, "back_off": QUICK, **options}
        made.append(Supervisor(folder, **options))  # type: ignore[arg-type]
        return made[-1]

    yield build
    for supervisor in made:
        supervisor.stop()


def plain(folder: Path, name: str, program: str = PLAIN, **options: object) -> ProcessSpec:
    command = [sys.executable, "-S", "-c", program, str(folder), name]
    options = {"ready": (folder / name).exists, **options}
    return ProcessSpec(name, command, **options)  # type: ignore[arg-type]


def python(name: str, text: str, **options: object) -> ProcessSpec:
    return ProcessSpec(name, [sys.executable, "-S", "-c", text], **options)  # type: ignore[arg-type]


def names(events: Sequence[Event]) -> list[str]:
    return [event.name for event in events]


Make = Callable[..., Supervisor]


def test_processes_start_after_what_they_need_and_stop_before_it(
    make: Make, tmp_path: Path, events: Events
) -> None:
    supervisor = make()
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


def test_a_killed_process_comes_back_and_it_is_said(make: Make, tmp_path: Path, events: Events) -> None:
    supervisor = make()
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


def test_pauses_grow_up_to_a_limit(make: Make, events: Events) -> None:
    make().start([python("crash", "raise SystemExit(3)")])
    events.wait(EventKind.RESTARTING, "crash", 4)
    assert [event.seconds for event in events.of(EventKind.RESTARTING)[:4]] == [0.01, 0.02, 0.04, 0.04]
    assert events.of(EventKind.EXITED)[0].detail == "ended with status 3"


def test_what_a_killed_process_left_in_its_group_is_ended(make: Make, tmp_path: Path, events: Events) -> None:
    supervisor = make()
    supervisor.start([plain(tmp_path, "api", STUBBORN)])
    inner = int((tmp_path / "api").read_text().split()[1])
    (tmp_path / "api").unlink()
    supervisor.kill("api")
    events.wait(EventKind.READY, "api", 2)
    assert not is_alive(inner)
    supervisor._hasten.set()


def test_one_that_cannot_start_stops_all_and_shows_its_log(make: Make, tmp_path: Path) -> None:
    supervisor = make()
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


def test_a_command_that_is_not_there_is_named(make: Make) -> None:
    with pytest.raises(SupervisorError, match="nope cannot run /no/such/program: No such file"):
        make().start([ProcessSpec("nope", ["/no/such/program"])])


def test_one_that_does_nothing_is_given_up(make: Make) -> None:
    with pytest.raises(SupervisorError, match=r"idle runs but did nothing for 0\.5 s and is not ready"):
        make(stall_seconds=0.5).start([python("idle", "import signal; signal.pause()", ready=lambda: False)])


def test_a_probe_that_raises_only_means_not_yet(make: Make, tmp_path: Path) -> None:
    asked: list[int] = []

    def ready() -> bool:
        asked.append(1)
        if len(asked) < 3:
            raise ConnectionError
        return True

    make().start([plain(tmp_path, "api", ready=ready)])
    assert len(asked) == 3


def test_a_taken_port_is_named_before_anything_starts(make: Make, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            SupervisorError, match=f"port {port} on 127.0.0.1 of api .*change RAPPORT_BASE_PORT"
        ):
            make().start(
                [plain(tmp_path, "first"), plain(tmp_path, "api", ports=[PortUse(port, "RAPPORT_BASE_PORT")])]
            )
    assert not (tmp_path / "first").exists()


def test_a_stubborn_process_is_killed_with_its_children_after_its_grace(make: Make, tmp_path: Path) -> None:
    supervisor = make()
    supervisor.start([plain(tmp_path, "api", STUBBORN, stop_grace=0.1)])
    pids = [int(word) for word in (tmp_path / "api").read_text().split()]
    assert all(is_alive(pid) for pid in pids)
    supervisor.stop()
    until(lambda: not any(is_alive(pid) for pid in pids), "both are gone")


def test_a_second_request_hastens(make: Make, tmp_path: Path) -> None:
    supervisor = make()
    supervisor.start([plain(tmp_path, "api", STUBBORN, stop_grace=1000)])
    pid = supervisor.pid("api")
    assert pid is not None
    supervisor.request_stop()
    assert supervisor.wait(0)
    supervisor.request_stop()
    supervisor.stop()
    assert not is_alive(pid)


def test_a_pause_before_a_restart_does_not_hold_up_the_stop(make: Make, events: Events) -> None:
    supervisor = make(back_off=BackOff(first=1000, longest=1000))
    supervisor.start([python("crash", "pass")])
    events.wait(EventKind.RESTARTING, "crash")
    supervisor.stop()
    assert events.of(EventKind.STOPPED, "crash")


def test_more_processes_can_be_added(make: Make, tmp_path: Path) -> None:
    supervisor = make()
    supervisor.start([plain(tmp_path, "api")])
    supervisor.start([plain(tmp_path, "worker", after=["api"])])
    with pytest.raises(SupervisorError, match="two processes are called 'api'"):
        supervisor.start([plain(tmp_path, "api")])
    supervisor.stop()
    assert (tmp_path / "order").read_text().split() == ["worker", "api"]


def test_it_can_be_used_again_after_a_stop(make: Make, tmp_path: Path, events: Events) -> None:
    supervisor = make()
    for _ in range(2):
        supervisor.start([plain(tmp_path, "api")])
        supervisor.stop()
    assert len(events.of(EventKind.READY, "api")) == 2


def test_output_that_cannot_be_kept_does_not_stop_a_process(
    make: Make, tmp_path: Path, events: Events
) -> None:
    (tmp_path / "state/logs/api.log").mkdir(parents=True)
    supervisor = make()
    supervisor.start([plain(tmp_path, "api")])
    assert "Is a directory" in events.wait(EventKind.LOG_LOST, "api")[0].detail
    assert supervisor.wait_ready("api", 0)


def test_a_listener_that_fails_does_not_stop_anything(make: Make, tmp_path: Path) -> None:
    def broken(event: Event) -> None:
        raise RuntimeError(event)

    supervisor = make(on_event=broken)
    supervisor.start([plain(tmp_path, "api")])
    assert supervisor.wait_ready("api", 0)


def test_children_learn_of_their_parent_and_settings(make: Make, tmp_path: Path) -> None:
    text = (
        "import os; fd = int(os.environ['RAPPORT_PARENT_FD'])\n"
        "print(os.environ['COLOUR'], os.fstat(fd).st_mode & 0o10000)"
    )
    supervisor = make(back_off=BackOff(first=1000))
    supervisor.start([python("child", text, env={"COLOUR": "red"}, cwd=tmp_path)])
    log = tmp_path / "state/logs/child.log"
    until(lambda: log.exists() and log.read_text().endswith("\n"), "it has spoken")
    assert log.read_text() == f"red {0o10000}\n"


@pytest.mark.parametrize("bad", ["file/state", "file"])
def test_a_folder_that_cannot_be_used_is_named(make: Make, tmp_path: Path, bad: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SupervisorError, match=r"cannot use the folder .*file.* choose another"):
        make(tmp_path / bad).open()


def test_an_unknown_name_is_refused_with_the_known_ones(make: Make, tmp_path: Path) -> None:
    supervisor = make()
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
    make: Make, tmp_path: Path, events: Events
) -> None:
    supervisor, thing = make(), FakeResource()
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


def test_a_resource_that_cannot_start_raises_its_own_error(make: Make) -> None:
    thing = FakeResource()
    thing.broken = 1
    with pytest.raises(RuntimeError, match="not yet"):
        make().own(thing)


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


def test_a_killed_supervisor_leaves_nothing_and_a_successor_can_start(make: Make, tmp_path: Path) -> None:
    keeper = start_program(KEEPER, str(tmp_path))
    try:
        read_until(keeper, "up")
        family = children_of(keeper.pid)
        assert len(family) == 5  # two plain, a deaf one with a child of its own, the reaper
        keeper.kill()
        keeper.wait()
        make().start([plain(tmp_path, "next")])  # at once: it waits for the reaper
        assert not [process for process in family if is_alive(process.pid)]
        assert sorted((tmp_path / "order").read_text().split()) == ["api", "worker"]  # they were asked kindly
    finally:
        end(keeper)


def test_a_second_supervisor_is_refused_by_name(make: Make, tmp_path: Path) -> None:
    keeper = start_program(KEEPER, str(tmp_path))
    try:
        read_until(keeper, "up")
        with pytest.raises(SupervisorError, match=f"already running in .* as process {keeper.pid}"):
            make().start([plain(tmp_path, "next")])
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
        assert not [process for process in family if is_alive(process.pid)]
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
        assert not [process for process in family if is_alive(process.pid)]
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
        assert not [process for process in family if is_alive(process.pid)]
    finally:
        end(keeper)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_probe_for_tcp() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        ready = probes.tcp("127.0.0.1", server.getsockname()[1])
        assert not ready()
        server.listen()
        assert ready()


@pytest.mark.parametrize(("status", "expected"), [(200, True), (503, False)])
def test_the_probe_for_http(status: int, expected: bool) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    assert not probes.http_ok("127.0.0.1", free_port())()
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            assert probes.http_ok("127.0.0.1", server.server_port, "/healthz")() is expected
            assert not probes.http_ok("127.0.0.1", server.server_port, "/other")()
        finally:
            server.shutdown()
            thread.join()


def test_the_probe_for_grpc() -> None:
    assert not probes.grpc_health("127.0.0.1", free_port())()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        ready = probes.grpc_health("127.0.0.1", port)
        servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        assert not ready()
        servicer.set("", health_pb2.HealthCheckResponse.SERVING)
        assert ready()
        assert probes.all_of(ready, probes.tcp("127.0.0.1", port))()
        assert not probes.all_of(ready, probes.grpc_health("127.0.0.1", port, "unknown.Service"))()
    finally:
        server.stop(None)


PARENT_WATCHER = """
import os, signal, sys
from services.kit.parent import watch_parent
def bye(*_):
    print("terminated", flush=True)
    if "stubborn" not in sys.argv:
        sys.exit(7)
signal.signal(signal.SIGTERM, bye)
if "eventlet" in sys.argv:
    import eventlet
    eventlet.monkey_patch(thread=False)
print("watching", watch_parent(grace_seconds=0.2), "RAPPORT_PARENT_FD" in os.environ, flush=True)
while True:
    signal.pause()
"""


@pytest.mark.parametrize(("mode", "status"), [("polite", 7), ("stubborn", 1), ("eventlet", 7)])
def test_a_child_ends_itself_when_its_parent_is_gone(
    mode: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # stdin is a pipe from us, which serves as the supervisor's.
    monkeypatch.setenv("RAPPORT_PARENT_FD", "0")
    child = start_program(PARENT_WATCHER, mode)
    try:
        assert read_until(child, "watching")[-1] == "watching True False"
        assert child.stdin is not None
        child.stdin.close()
        read_until(child, "terminated")
        assert child.wait() == status
    finally:
        child.stdin = None
        end(child)


@pytest.mark.parametrize("value", ["", "nonsense", "999"])
def test_without_a_parent_nothing_is_watched(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPPORT_PARENT_FD", value)
    child = start_program(PARENT_WATCHER)
    try:
        assert read_until(child, "watching")[-1] == "watching False False"
    finally:
        end(child)
