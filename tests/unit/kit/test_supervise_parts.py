"""The parts of the supervisor that need no process of their own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kit.supervise import PortUse, ProcessSpec, SupervisorError
from services.kit.supervise.child import describe
from services.kit.supervise.identity import is_alive, start_time
from services.kit.supervise.lock import FileLock
from services.kit.supervise.logs import RotatingLog, tail
from services.kit.supervise.plan import check_plan, stop_order, waves
from services.kit.supervise.ports import port_problem
from services.kit.supervise.progress import Progress
from services.kit.supervise.reaper import Reaper


def spec(name: str, *after: str, ports: Sequence[PortUse] = ()) -> ProcessSpec:
    return ProcessSpec(name, ["true"], after=after, ports=ports)


@given(st.lists(st.sets(st.integers(0, 9)), min_size=1, max_size=10), st.randoms(use_true_random=False))
def test_an_order_puts_each_after_all_it_needs(needs: list[set[int]], shuffle: object) -> None:
    specs = [
        spec(f"p{number}", *(f"p{other}" for other in wanted if other < number))
        for number, wanted in enumerate(needs)
    ]
    shuffle.shuffle(specs)  # type: ignore[attr-defined]
    check_plan(specs)
    seen: set[str] = set()
    for group in waves(specs):
        for one in specs:
            if one.name in group:
                assert set(one.after) <= seen
        seen.update(group)
    assert seen == {one.name for one in specs}
    assert [set(group) for group in stop_order(specs)] == [set(group) for group in reversed(waves(specs))]


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ([spec("a"), spec("a")], "two processes are called 'a'"),
        ([spec("a", "b")], "a starts after 'b', which is not there"),
        ([spec("a", "b"), spec("b", "a")], "wait for each other: a, b"),
        ([spec("a", "a")], "wait for each other: a"),
        ([spec("../a")], "cannot name a process"),
        ([spec("supervisor")], "cannot name a process"),
        ([ProcessSpec("a", [])], "a has no command"),
        (
            [spec("a", ports=[PortUse(1, "ONE")]), spec("b", ports=[PortUse(1, "TWO")])],
            "b and a are both to use port 1; change TWO",
        ),
    ],
)
def test_an_impossible_plan_is_refused(specs: list[ProcessSpec], message: str) -> None:
    with pytest.raises(SupervisorError, match=message):
        check_plan(specs)


def test_a_dependency_may_run_already() -> None:
    check_plan([spec("b", "a")], ["a"])


@settings(deadline=None)
@given(st.lists(st.integers(0, 60), max_size=40), st.data())
def test_a_rotated_log_keeps_the_newest_lines_whole(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("log") / "x.log"
    log = RotatingLog(path, max_bytes=100, keep=2)
    lines = [f"{number}:{'x' * length}\n" for number, length in enumerate(lengths)]
    text = "".join(lines).encode()
    while text:  # a pipe cuts anywhere
        cut = data.draw(st.integers(1, len(text)))
        log.write(text[:cut])
        text = text[cut:]
    log.close()
    files = [path.with_name(f"x.log{suffix}") for suffix in (".2", ".1", "")]
    kept = "".join(file.read_text() for file in files if file.exists())
    assert "".join(lines).endswith(kept)
    assert not kept or kept.splitlines(keepends=True)[0] in lines
    assert sorted(file.name for file in path.parent.iterdir()) == sorted(
        file.name for file in files if file.exists()
    )


def test_a_log_is_rotated_and_bounded(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "x.log", max_bytes=1000, keep=2)
    for _ in range(1000):
        log.write(b"a line of some length\n")
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.log", "x.log.1", "x.log.2"]
    assert all(path.stat().st_size < 1100 for path in tmp_path.iterdir())
    assert (tmp_path / "x.log.1").stat().st_mode & 0o077 == 0


def test_output_without_line_ends_is_bounded_too(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "x.log", max_bytes=1000, keep=1)
    for _ in range(1000):
        log.write(b"x" * 100)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 6000


def test_the_tail_of_a_log(tmp_path: Path) -> None:
    path = tmp_path / "x"
    assert tail(path) == ""
    path.write_bytes(b"\xff\n" + b"".join(b"%d\n" % number for number in range(100_000)))
    assert tail(path, 2) == "99998\n99999"


def test_a_lock_excludes_names_its_holder_and_frees(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert second.holder() is None
    assert first.acquire()
    assert first.acquire()  # it has it
    assert not second.acquire()
    assert second.holder() == os.getpid()
    first.release()
    first.release()
    assert second.holder() is None
    assert second.acquire()
    with pytest.raises(ValueError, match="not locked"):
        first.fileno()
    second.release()


def test_a_lock_whose_holder_died_names_nobody(tmp_path: Path) -> None:
    text = f"from services.kit.supervise.lock import FileLock; from pathlib import Path; import os; \
lock = FileLock(Path({str(tmp_path / 'lock')!r})); assert lock.acquire(); os._exit(0)"
    subprocess.run([sys.executable, "-c", text], check=True)
    lock = FileLock(tmp_path / "lock")
    assert (tmp_path / "lock").read_text().strip().isdigit()
    assert lock.holder() is None
    assert lock.acquire()
    lock.release()


def test_a_zombie_is_not_alive() -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    started = start_time(process.pid)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(process.pid)
    process.wait()
    assert not is_alive(process.pid, started)


def test_a_number_used_again_is_another_process() -> None:
    started = start_time(os.getpid())
    assert started is not None
    assert is_alive(os.getpid(), started)
    assert not is_alive(os.getpid(), started - 100)


@pytest.mark.parametrize(
    ("code", "text"), [(0, "status 0"), (3, "status 3"), (-9, "signal SIGKILL"), (-99, "signal 99")]
)
def test_an_exit_status_is_named(code: int, text: str) -> None:
    assert describe(code) == text


def test_ports() -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert port_problem("127.0.0.1", port) == "another program listens there"
        # A connection of a server that has just ended does not make its port taken.
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
    accepted.close()
    client.close()
    assert port_problem("127.0.0.1", port) is None
    assert "not an address of this machine" in str(port_problem("no.such.host.invalid", port))


def test_progress_sees_work_and_its_absence(tmp_path: Path) -> None:
    path = tmp_path / "log"
    idle = subprocess.Popen([sys.executable, "-S", "-c", "import signal; signal.pause()"])
    try:
        progress = Progress(idle.pid, lambda: [path], stall_seconds=0.0)
        progress._looked = float("-inf")
        progress._last = (-1.0, -1.0, -1.0)  # something happened since
        progress._changed = float("-inf")
        assert progress.stalled()  # with a limit of zero any look is too late
        patient = Progress(idle.pid, lambda: [path], stall_seconds=1e9)
        patient._looked = float("-inf")
        assert not patient.stalled()
        before = patient._changed
        path.write_text("more")
        patient._looked = float("-inf")
        assert not patient.stalled()
        assert patient._changed > before
    finally:
        idle.kill()
        idle.wait()


def test_a_closed_reaper_stops_nothing() -> None:
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", "import signal; signal.pause()"], start_new_session=True
    )
    try:
        reaper = Reaper()
        reaper.watch(process.pid)
        reaper.close()
        assert not is_alive(reaper.pid)
        assert is_alive(process.pid)
        reaper.forget(process.pid)  # harmless afterwards
    finally:
        process.kill()
        process.wait()


def test_a_killed_reaper_is_survived() -> None:
    reaper = Reaper()
    os.kill(reaper.pid, 9)
    for _ in range(3):
        reaper.watch(os.getpid())
    reaper.close()
