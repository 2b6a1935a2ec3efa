"""`rapport up` as a newcomer meets it: real processes, signals, kills, and what may be wrong with the machine."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from rapport_client.errors import RapportError

from services.cli.demo import free_base_port
from services.cli.run import EXTRA_ROLES
from services.kit.config import SERVICES
from services.kit.postgres import EmbeddedPostgres, drop, libpq_url
from services.kit.postgres.account import choose_account
from services.kit.postgres.urls import rewrite
from tests.support.cli import Ran, run_cli
from tests.support.laptop import Laptop
from tests.support.rabbit import clean_environment
from tests.support.waiting import all_end, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(290)]

API, WORKER = "services.kit.process", "services.kit.bus.launcher"
COMMANDS = {
    **{f"{service}-api": (API, service) for service in SERVICES},
    **{f"{service}-worker": (WORKER, service) for service in SERVICES},
    **{
        f"{service}-{role}": (f"services.{service}.{role}",)
        for service in EXTRA_ROLES
        for role in EXTRA_ROLES[service]
    },
}


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    made = Laptop(tmp_path / ".rapport", free_base_port("127.0.0.1"))
    yield made
    made.destroy()


def add_contact(laptop: Laptop, number: int) -> None:
    with laptop.client() as rapport:
        identity = {"type": "TYPE_EXTERNAL", "source": "e2e", "value": str(number)}
        rapport.contacts.upsert_contact(
            contact={"display_name": "x", "identities": [identity]}, _wait_for_ready=True
        )


def count(laptop: Laptop) -> int:
    with laptop.client() as rapport:
        return int(rapport.contacts.count_contacts(_wait_for_ready=True).contact_count)


def nothing_is_left(laptop: Laptop) -> None:
    all_end(laptop.processes())


def test_the_life_of_a_stack(laptop: Laptop, tmp_path: Path):
    # The first run creates everything and says how to use it.
    up = laptop.up()
    said = up.wait_until_up()
    access: dict[str, Any] = json.loads((laptop.folder / "client.json").read_text())
    assert access["token"] in said
    base = int(laptop.environment["RAPPORT_BASE_PORT"])
    for number, service in enumerate(SERVICES, start=1):
        assert re.search(
            rf"{service}\s+127\.0\.0\.1:{base + number}\s+127\.0\.0\.1:{base + number + 10}", said
        )
    assert f"(base port {base})" in said
    secret = ("client.json", "database.json", "secret.key", "tokens.json")
    assert {stat.S_IMODE((laptop.folder / name).stat().st_mode) for name in secret} == {0o600}
    assert stat.S_IMODE(laptop.folder.stat().st_mode) == 0o700
    assert {name for name, words in COMMANDS.items() if laptop.process(*words)} == set(COMMANDS)

    # What it recommends works as it stands.
    recommended = said.partition("Next, in another terminal")[2].partition("Ctrl-C")[0].splitlines()[1:]
    lines = [line.strip() for line in recommended if line.strip()]
    assert len(lines) >= 4
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(lines)],
        cwd=tmp_path,
        env={key: value for key, value in laptop.environment.items() if not key.startswith("RAPPORT_")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "0 of 0 contacts" in done.stdout
    add_contact(laptop, 1)

    # A second one in the same folder is refused, and so is a migration, and they disturb nothing.
    for command in ("up", "migrate"):
        second = laptop.run(command)
        assert second.returncode == 1
        assert f"as process {up.process.pid}" in second.stderr
    assert count(laptop) == 1

    # Any process may be killed, the database server too: each comes back.
    old = {name: laptop.process(*words).pid for name, words in COMMANDS.items()}
    for pid in old.values():
        os.kill(pid, signal.SIGKILL)
    for name in COMMANDS:
        up.wait_for(f"{name}: ready again")
    new = {name: laptop.process(*words).pid for name, words in COMMANDS.items()}
    assert not set(old.values()) & set(new.values())
    add_contact(laptop, 2)
    postmaster(laptop).kill()
    up.wait_for("postgres: ready again")
    until(lambda: answers(laptop), "contacts has its database again")
    assert count(laptop) == 2
    assert up.process.poll() is None

    # When `rapport up` itself is killed, all that it had started goes; the next run has the data and the token.
    up.process.kill()
    up.wait()
    up = laptop.up()
    up.wait_until_up()
    assert json.loads((laptop.folder / "client.json").read_text())["token"] == access["token"]
    assert count(laptop) == 2
    add_contact(laptop, 3)

    # Ctrl-C in a terminal reaches the whole group; what `rapport up` has started is not in it, and stops in order.
    os.killpg(up.process.pid, signal.SIGINT)
    assert up.wait() == 0
    assert "stopping …" in up.said
    assert "Traceback" not in up.said
    nothing_is_left(laptop)
    refused = laptop.run("segments", "list")
    assert refused.returncode == 1
    assert "rapport up" in refused.stderr
    assert stored_contacts(laptop) == 3


def stored_contacts(laptop: Laptop) -> int:
    """Count in the database alone, with no service running."""
    server = EmbeddedPostgres(laptop.folder / "postgres")
    server.start()
    try:
        url = rewrite(server.admin_url, database="rapport_contacts")
        with psycopg.connect(libpq_url(url)) as connection:
            row = connection.execute("SELECT count(*) FROM contact").fetchone()
        return int(row[0]) if row else 0
    finally:
        server.stop()


def postmaster(laptop: Laptop) -> psutil.Process:
    """Return the database server's first process."""
    pid = int((laptop.folder / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    return psutil.Process(pid)


def answers(laptop: Laptop) -> bool:
    try:
        return count(laptop) >= 0
    except RapportError:
        return False


@pytest.fixture(scope="module")
def given_server(admin_url: str) -> Iterator[dict[str, str]]:
    """The settings for a database server that is there already; the first stack makes the databases on it."""
    yield {"RAPPORT_DATABASE_URL": admin_url}
    drop(admin_url, SERVICES)


def test_a_signal_during_the_start_stops_what_has_started(laptop: Laptop, given_server: dict[str, str]):
    up = laptop.up(**given_server)
    until(lambda: any(API in words for words in commands(laptop)), "services start", timeout=120)
    assert up.stop(signal.SIGINT) == 130
    assert "Traceback" not in up.said
    nothing_is_left(laptop)
    assert not (laptop.folder / "postgres").exists()


def commands(laptop: Laptop) -> list[list[str]]:
    found = []
    for process in laptop.processes():
        try:
            found.append(process.cmdline())
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize(
    ("offset", "user"), [(0, "the stack"), (1, "contacts-api"), (34, "campaign-worker"), (45, "care-api")]
)
def test_a_port_in_use_is_named_with_its_setting_and_nothing_runs(laptop: Laptop, offset: int, user: str):
    port = int(laptop.environment["RAPPORT_BASE_PORT"]) + offset
    with socket.create_server(("127.0.0.1", port)):
        ran = quickly(laptop.folder, RAPPORT_BASE_PORT=laptop.environment["RAPPORT_BASE_PORT"])
    assert f"port {port} on 127.0.0.1 of {user} cannot be used" in ran.err
    assert "RAPPORT_BASE_PORT" in ran.err
    nothing_is_left(laptop)
    assert not (laptop.folder / "postgres").exists()


def quickly(folder: Path, **settings: str) -> Ran:
    """Run `rapport up`, which is to fail before it starts anything, in this process."""
    ran = run_cli("up", environment={"RAPPORT_DATA_DIR": str(folder), **settings})
    assert ran.code == 1
    assert ran.err.startswith("rapport: ")
    return ran


def test_a_service_that_cannot_start_ends_the_start_with_its_log(
    laptop: Laptop, given_server: dict[str, str]
):
    # A plugin that the configuration requires is missing.
    ran = laptop.run("up", RAPPORT_PLUGINS_REQUIRED="zalo", **given_server)
    assert ran.returncode == 1
    assert "zalo" in ran.stderr
    assert "Traceback" not in ran.stderr
    nothing_is_left(laptop)


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_data_folder_that_is_a_file_is_refused(tmp_path: Path, below: str):
    file = tmp_path / ".rapport"
    file.write_text("mine")
    folder = file / below
    assert f"cannot use the data folder {folder}" in quickly(folder).err
    assert file.read_text() == "mine"


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder that the ordinary user of `as_ordinary` may not write to."""
    # Not tmp_path, which nobody else may enter.
    with tempfile.TemporaryDirectory(prefix="rapport-test-") as name:
        folder = Path(name) / "closed"
        folder.parent.chmod(0o755)
        folder.mkdir(mode=0o500)
        choose_account().own(folder)
        yield folder


AS_ORDINARY = """
import os, sys
from services.cli import up
from services.cli.app import main
# All is imported: whoever we become need not be able to read the checkout.
uid, gid = map(int, sys.argv[1:3])
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
main(["up"])
"""


def as_ordinary(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `rapport up` in a process of an ordinary user, also where we are root, who may write everywhere."""
    account = choose_account()
    return subprocess.run(
        [sys.executable, "-c", AS_ORDINARY, str(account.uid), str(account.gid)],
        env={**clean_environment(), "RAPPORT_DATA_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_data_folder_without_permission_is_named(closed: Path):
    for folder in (closed, closed / "below"):
        ran = as_ordinary(folder)
        assert ran.returncode == 1
        assert ran.stderr.startswith("rapport: ")
        assert str(folder) in ran.stderr
        assert "permission denied" in ran.stderr.lower()
        assert "RAPPORT_DATA_DIR" in ran.stderr
    assert list(closed.iterdir()) == []


def mounted(folder: Path, *options: str) -> None:
    """Mount a small file system of memory, or skip."""
    folder.mkdir(exist_ok=True)
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {done.stderr.decode().strip()}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    mounted(folder, "size=256k")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("ever_started", [False, True], ids=["new", "used before"])
def test_a_full_disk_is_named_and_nothing_runs(
    small_disk: Path, given_server: dict[str, str], ever_started: bool
):
    laptop = Laptop(small_disk / ".rapport", free_base_port("127.0.0.1"))
    if ever_started:
        assert laptop.run("migrate", **given_server).returncode == 0
    fill(small_disk)
    ran = laptop.run("up", **given_server)
    assert ran.returncode == 1
    assert str(small_disk) in ran.stderr
    assert re.search("full|No space left", ran.stderr)
    assert "RAPPORT_DATA_DIR" in ran.stderr
    assert "Traceback" not in ran.stderr
    nothing_is_left(laptop)
    assert not list(laptop.folder.glob("*.new")) + list(laptop.folder.glob(".*"))


def fill(folder: Path) -> None:
    """Write until nothing more fits."""
    with (folder / "rest").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 512)
        except OSError:
            return


def test_a_read_only_disk_is_named(tmp_path: Path):
    folder = tmp_path / "disk"
    mounted(folder, "size=256k", "ro")
    try:
        ran = quickly(folder / ".rapport")
        assert str(folder) in ran.err
        assert "read-only" in ran.err.lower()
    finally:
        subprocess.run(["umount", str(folder)], check=True)
