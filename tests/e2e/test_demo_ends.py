"""`rapport demo` that does not come to its end: stopped, killed, or asked for twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from services.demo.retail import COLUMNS
from services.kit.postgres import EmbeddedPostgres
from services.kit.postgres.home import SYSTEM_ROOT
from tests.support.laptop import Laptop
from tests.support.waiting import all_end, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(280)]


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    made = Laptop(tmp_path / ".rapport", 7400)
    yield made
    made.destroy()
    Laptop(made.folder / "demo", 7400).destroy()


def services_run(laptop: Laptop) -> bool:
    """Say whether the demo has come to the start of its services."""
    for process in Laptop(laptop.folder / "demo", 7400).processes():
        try:
            if "services.kit.process" in process.cmdline():
                return True
        except psutil.Error:
            continue
    return False


def nothing_is_left(laptop: Laptop) -> None:
    all_end(Laptop(laptop.folder / "demo", 7400).processes())


def test_a_second_demo_is_refused_and_a_killed_one_is_cleared_away_by_the_next(laptop: Laptop):
    demo = laptop.start("demo", "--customers", "200")
    until(lambda: services_run(laptop), "the services start", timeout=150)
    second = laptop.run("demo", "--customers", "200")
    assert second.returncode == 1
    assert f"as process {demo.process.pid}" in second.stderr
    assert services_run(laptop)
    demo.process.kill()
    demo.wait()
    old = (laptop.folder / "demo" / "postgres").resolve()
    again = laptop.start("demo", "--customers", "200")
    until(lambda: keeps_a_database(laptop, again.process.pid), "the next one has its database", timeout=150)
    assert again.stop(signal.SIGTERM) == 130
    nothing_is_left(laptop)
    assert list(laptop.folder.iterdir()) == []
    assert not old.exists()


def test_ctrl_c_leaves_nothing(laptop: Laptop):
    demo = laptop.start("demo", "--customers", "200")
    until(lambda: keeps_a_database(laptop, demo.process.pid), "it has its database", timeout=150)
    assert demo.stop(signal.SIGINT) == 130, demo.said
    assert "Traceback" not in demo.said
    nothing_is_left(laptop)
    assert list(laptop.folder.iterdir()) == []


def test_a_demo_that_fails_leaves_its_logs_and_says_where(laptop: Laptop):
    failed = laptop.run("demo", "--customers", "200", RAPPORT_PLUGINS_REQUIRED="no-such-plugin")
    assert failed.returncode == 1
    assert "no-such-plugin" in failed.stderr
    assert "Traceback" not in failed.stderr
    logs = laptop.folder / "demo" / "logs"
    assert f"rapport demo: the logs are in {logs}" in failed.stderr
    nothing_is_left(laptop)
    assert any("no-such-plugin" in path.read_text() for path in logs.glob("*.log"))
    left = {path.name for path in (laptop.folder / "demo").iterdir()}
    assert left <= {"logs", "supervisor.lock"}
    if os.geteuid() == 0:
        # As root the database lives elsewhere; it must be gone from there too.
        demo = str(laptop.folder / "demo")
        assert not [path for path in SYSTEM_ROOT.glob("*/origin") if path.read_text().startswith(demo)]


def test_a_file_that_is_refused_starts_nothing(laptop: Laptop, tmp_path: Path):
    path = tmp_path / "retail.csv"
    path.write_text(f"{','.join(COLUMNS)}\n1,A,a,1,2051-01-01 10:00:00,1.00,5,Spain\n")
    refused = laptop.run("demo", "--data", str(path))
    assert refused.returncode == 1
    assert f"{path}, line 2, column InvoiceDate: " in refused.stderr
    assert not (laptop.folder / "demo").exists()


def keeps_a_database(laptop: Laptop, pid: int) -> bool:
    """Say whether a process keeps the demo's database server."""
    status = EmbeddedPostgres(laptop.folder / "demo" / "postgres").status()
    return status.running and status.keeper == pid
