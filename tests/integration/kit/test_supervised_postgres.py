"""The database server under a supervisor: the two together survive what each survives alone."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import psycopg

from services.kit.postgres import EmbeddedPostgres, libpq_url
from services.kit.supervise import Event, EventKind
from services.kit.supervise.identity import is_alive
from services.kit.supervisor import Supervisor
from tests.support.programs import end, read_until, start_program
from tests.support.waiting import PATIENCE_SECONDS, until

SMALL = {"shared_buffers": "16MB", "max_connections": "20"}

STACK = """
import signal, sys
from pathlib import Path
from services.kit.postgres import EmbeddedPostgres
from services.kit.supervise import ProcessSpec
from services.kit.supervisor import Supervisor
folder = Path(sys.argv[1])
def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\\n")
with Supervisor(folder, on_event=lambda event: say(event.kind.value, event.name)) as supervisor, supervisor.signals():
    server = EmbeddedPostgres(folder / "postgres", settings=dict(shared_buffers="16MB", max_connections="20"),
                              throwaway=True)
    supervisor.own(server)
    supervisor.start([ProcessSpec("api", [sys.executable, "-S", "-c", "import signal; signal.pause()"])])
    say("up", server.pid, supervisor.pid("api"))
    supervisor.wait()
say("done")
"""


def test_a_killed_server_comes_back_at_the_same_url(tmp_path: Path) -> None:
    ready = threading.Semaphore(0)

    def show(event: Event) -> None:
        if event.kind is EventKind.READY:
            ready.release()

    server = EmbeddedPostgres(tmp_path / "postgres", settings=SMALL, throwaway=True)
    try:
        with Supervisor(tmp_path, on_event=show) as supervisor:
            supervisor.own(server)
            assert ready.acquire(timeout=PATIENCE_SECONDS)
            url, first = server.admin_url, server.pid
            assert first is not None
            with psycopg.connect(libpq_url(url), autocommit=True) as connection:
                connection.execute("CREATE TABLE kept AS SELECT 1 AS x")
            os.kill(first, signal.SIGKILL)
            assert ready.acquire(timeout=PATIENCE_SECONDS)
            assert server.admin_url == url
            assert server.pid != first
            with psycopg.connect(libpq_url(url)) as connection:
                assert connection.execute("SELECT x FROM kept").fetchone() == (1,)
        assert not server.alive()
    finally:
        server.destroy()


def test_a_signal_stops_the_server_last(tmp_path: Path) -> None:
    stack = start_program(STACK, str(tmp_path))
    try:
        pids = [int(word) for word in read_until(stack, "up")[-1].split()[1:]]
        stack.send_signal(signal.SIGTERM)
        said = read_until(stack, "done")
        assert said.index("stopped api") < said.index("stopping postgres") < said.index("stopped postgres")
        assert stack.wait() == 0
        assert not any(is_alive(pid) for pid in pids)
    finally:
        end(stack)
        EmbeddedPostgres(tmp_path / "postgres").destroy()


def test_a_killed_stack_leaves_nothing_and_starts_again(tmp_path: Path) -> None:
    for _ in range(2):
        stack = start_program(STACK, str(tmp_path))
        try:
            pids = [int(word) for word in read_until(stack, "up")[-1].split()[1:]]
            stack.kill()
            stack.wait()
        finally:
            end(stack)
    until(lambda: not any(is_alive(pid) for pid in pids), "the server and the process are gone")
    EmbeddedPostgres(tmp_path / "postgres").destroy()
