"""Processes forked from a server: as those that are started, but quicker."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.cli.processes import fork_servers
from services.kit.supervise import EventKind, ProcessSpec
from services.kit.supervise.forking import Forked, ForkError, ForkServer
from tests.support.programs import REPOSITORY, end, read_until, start_program
from tests.support.supervised import Events, MakeSupervisor, family
from tests.support.waiting import until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only"),
    pytest.mark.usefixtures("nothing_is_left_running"),
]

PROGRAM = "tests.support.forked"


@pytest.fixture
def server() -> Iterator[ForkServer]:
    made = ForkServer(f"{PROGRAM}:preload", [PROGRAM], cwd=REPOSITORY)
    made.await_ready(lambda: False)
    yield made
    made.close()


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", PROGRAM, *arguments]


def told(process: Forked) -> dict[str, Any]:
    """Read what the process tells first, and leave the rest."""
    line = b""
    assert process.stdout is not None
    while not line.endswith(b"\n"):
        line += os.read(process.stdout.fileno(), 1)
    found: dict[str, Any] = json.loads(line)
    return found


def ended(process: Forked) -> int:
    """Read what is left of its output, and return its status."""
    if process.stdout is not None:
        process.stdout.readall()
        process.stdout.close()
    return process.wait()


def test_it_is_our_child_with_a_session_and_an_environment_of_its_own(server: ForkServer):
    process = server.fork(command("end", "0"), {"ONLY": "this"})
    found = told(process)
    assert found == {
        "pid": process.pid,
        "parent": os.getpid(),
        "session": process.pid,
        "loaded_by": server.pid,
        "environment": {"ONLY": "this"},
        "input": "",
        "descriptors": 3,
    }
    assert ended(process) == 0


def test_its_status_is_that_of_its_main_or_its_signal(server: ForkServer):
    assert ended(server.fork(command("end", "3"), {})) == 3
    waiting = server.fork(command("wait"), {})
    told(waiting)
    assert waiting.poll() is None
    os.kill(waiting.pid, signal.SIGKILL)
    assert ended(waiting) == -signal.SIGKILL
    assert waiting.poll() == -signal.SIGKILL  # and again, though it is collected


def test_what_it_leaves_to_its_end_is_done(server: ForkServer):
    process = server.fork(command("leave"), {})
    told(process)
    assert process.stdout is not None
    left = process.stdout.readall()
    assert process.wait() == 0
    assert left == b"by a thread\nat the exit\n"


@pytest.mark.parametrize(
    ("how", "words"), [("refuse", "not like this\n"), ("fail", "LookupError: nothing there\n")]
)
def test_how_it_fails_is_said(server: ForkServer, how: str, words: str):
    process = server.fork(command(how), {})
    told(process)
    assert process.stdout is not None
    said = process.stdout.readall().decode()
    assert said.endswith(words)
    assert ("Traceback" in said) == (how == "fail")
    assert process.wait() == 1


def test_its_output_is_all_that_it_writes_and_its_descriptor_is_passed(server: ForkServer):
    reader, writer = os.pipe()
    process = server.fork(command("read"), {}, descriptor=reader, variable="PASSED")
    os.close(reader)
    assert told(process)["descriptors"] == 4
    os.write(writer, b"over the pipe")
    os.close(writer)
    assert process.stdout is not None
    assert process.stdout.readall() == b"over the pipe\n"
    assert ended(process) == 0


def test_its_output_goes_where_it_should(server: ForkServer, tmp_path: Path):
    with (tmp_path / "log").open("wb") as log:
        process = server.fork(command("end", "0"), {}, output=log.fileno())
    assert process.stdout is None
    assert process.wait() == 0
    assert json.loads((tmp_path / "log").read_text())["pid"] == process.pid


def test_its_command_line_is_the_one_asked_for(server: ForkServer):
    process = server.fork(command("wait", "a word"), {})
    told(process)
    words = psutil.Process(process.pid).cmdline()
    assert [word for word in words if word] == command("wait", "a word")
    os.kill(process.pid, signal.SIGTERM)
    assert ended(process) == -signal.SIGTERM


def test_an_environment_is_known_to_its_own_process_only(server: ForkServer):
    secret = os.urandom(16).hex()
    first = server.fork(command("wait"), {"SECRET": secret})
    told(first)
    second = server.fork(command("wait"), {})
    told(second)
    assert server.pid is not None
    if os.access(f"/proc/{server.pid}/mem", os.R_OK):
        assert secret.encode() in memory(first.pid)
        assert secret.encode() not in memory(server.pid)
        assert secret.encode() not in memory(second.pid)
    for process in (first, second):
        os.kill(process.pid, signal.SIGKILL)
        ended(process)


def memory(pid: int) -> bytes:
    """Return what a process has written into its memory."""
    content = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as stream:
        for line in maps:
            span, rights = line.split()[:2]
            if "w" not in rights or "[v" in line:
                continue
            start, stop = (int(number, 16) for number in span.split("-"))
            stream.seek(start)
            content.append(stream.read(stop - start))
    return b"".join(content)


def test_many_at_once(server: ForkServer):
    found: list[int] = []

    def one(number: int) -> None:
        process = server.fork(command("end", str(number)), {"NUMBER": str(number)})
        assert told(process)["environment"] == {"NUMBER": str(number)}
        found.append(ended(process))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(8))


def test_a_server_that_died_is_replaced(server: ForkServer):
    assert server.pid is not None
    old = server.pid
    os.kill(old, signal.SIGKILL)
    with pytest.raises(ForkError, match="the fork server failed"):
        server.fork(command("end", "0"), {})
    server.await_ready(lambda: False)
    process = server.fork(command("end", "0"), {})
    assert told(process)["loaded_by"] == server.pid != old
    assert ended(process) == 0


def test_what_was_forked_goes_on_when_the_server_is_closed(server: ForkServer):
    process = server.fork(command("wait"), {})
    told(process)
    server.close()
    assert process.poll() is None
    with pytest.raises(ForkError, match="not ready"):
        server.fork(command("end", "0"), {})
    os.kill(process.pid, signal.SIGKILL)
    ended(process)


def test_a_server_ends_with_its_keeper():
    keeper = start_program(
        f"""
        import signal
        from services.kit.supervise.forking import ForkServer
        server = ForkServer("{PROGRAM}:preload", ["{PROGRAM}"])
        server.await_ready(lambda: False)
        print("up", server.pid)
        signal.pause()
        """
    )
    pid = int(read_until(keeper, "up")[-1].split()[1])
    assert psutil.pid_exists(pid)
    end(keeper)
    until(lambda: not psutil.pid_exists(pid), "the server has ended")


def test_a_process_is_started_where_nothing_can_be_forked(make_supervisor: MakeSupervisor, tmp_path: Path):
    tries = tmp_path / "tries"
    server = ForkServer(f"{PROGRAM}:refuse", ["no_such_library"], env={"TRIES": str(tries)}, cwd=REPOSITORY)
    supervisor = make_supervisor()
    command = [sys.executable, "-m", "http.server", "0"]
    supervisor.start([ProcessSpec(name, command, fork_server=server) for name in ("one", "two")])
    assert supervisor.pid("one") is not None
    assert supervisor.pid("two") is not None
    assert server.pid is None
    assert tries.read_text() == "tried\n"  # not again for each process
    supervisor.stop()


def test_it_is_forked_where_its_server_works_and_started_elsewhere(
    make_supervisor: MakeSupervisor, server: ForkServer, tmp_path: Path
):
    supervisor = make_supervisor()
    environment = {"PYTHONPATH": str(REPOSITORY)}
    supervisor.start(
        [
            ProcessSpec(name, command("wait"), env=environment, cwd=folder, fork_server=server)
            for name, folder in (("here", REPOSITORY), ("there", tmp_path))
        ]
    )
    found = {}
    for name, folder in (("here", REPOSITORY), ("there", tmp_path)):
        log = supervisor.logs / f"{name}.log"
        until(lambda log=log: log.exists() and log.read_text().endswith("\n"), "it has told what it is")
        assert Path(f"/proc/{supervisor.pid(name)}/cwd").resolve() == folder.resolve()
        found[name] = json.loads(log.read_text())["loaded_by"]
    assert found["here"] == server.pid
    assert found["there"] == supervisor.pid("there")
    supervisor.stop()


def test_a_supervisor_forks_again_what_was_killed_and_ends_its_server(
    make_supervisor: MakeSupervisor, events: Events, server: ForkServer
):
    supervisor = make_supervisor()
    supervisor.start([ProcessSpec("one", command("wait"), fork_server=server)])
    events.wait(EventKind.READY, "one")
    log = supervisor.logs / "one.log"
    # It counts as ready from its start on.
    until(lambda: log.exists() and log.read_text().endswith("\n"), "the first has told what it is")
    first = supervisor.pid("one")
    supervisor.kill("one")
    events.wait(EventKind.READY, "one", 2)
    second = supervisor.pid("one")
    assert first != second
    assert second is not None
    assert psutil.Process(second).ppid() == os.getpid()
    assert "SIGKILL" in events.of(EventKind.EXITED, "one")[0].detail
    until(lambda: len(log.read_text().splitlines()) == 2, "both have told what they are")
    assert {json.loads(line)["loaded_by"] for line in log.read_text().splitlines()} == {server.pid}
    supervisor.stop()
    assert server.pid is None
    assert second not in family()


@pytest.mark.parametrize("kind", ["worker", "other"])
def test_a_server_has_one_thread_and_nothing_open(kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """What is forked inherits it: a thread would be missing, and a connection shared."""
    monkeypatch.chdir(REPOSITORY)
    server = fork_servers({})[kind]
    try:
        server.await_ready(lambda: False)
        assert server.pid is not None
        assert len(os.listdir(f"/proc/{server.pid}/task")) == 1
        names = [os.readlink(f"/proc/{server.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{server.pid}/fd")]
        opened = [name for name in names if name != "/dev/null"]
        # One socket to its keeper; eventlet's hub has an epoll, which each process makes anew.
        assert sum(name.startswith("socket:") for name in opened) == 1
        assert {name for name in opened if not name.startswith("socket:")} <= {"anon_inode:[eventpoll]"}
    finally:
        server.close()
