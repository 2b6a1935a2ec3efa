"""RabbitMQ nodes of the tests' own: private ports, data and name, ended with what started them."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.support import with_parent
from tests.support.memory import memory_folder

URL_VARIABLE = "RAPPORT_AMQP_URL"
PREFIX_VARIABLE = "RAPPORT_AMQP_PREFIX"
REQUIRED_VARIABLE = "RAPPORT_TEST_REQUIRE_RABBITMQ"
START_SECONDS = 300.0
_PROGRAMS = "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"
_names = itertools.count(1)

# Taken out of the environment: tests that use no RabbitMQ must not see it.
GIVEN = os.environ.pop(URL_VARIABLE, "")


class NoRabbit(Exception):
    """Say that this machine has no RabbitMQ server."""


@dataclass
class Node:
    """A server that can be killed and started again on the same data and port."""

    folder: Path
    port: int = 0
    tls: Mapping[str, Path] | None = None
    """The files `certfile` and `keyfile` of a second listener, by TLS at `tls_port`."""
    tls_port: int = 0
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Return the URL of its default virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    @property
    def pid(self) -> int | None:
        """Return the server's process number, None when it does not run."""
        return self._processes[-1].pid if self._processes else None

    def start(self) -> Node:
        """Start it and wait until it takes connections."""
        program = find_server()
        if not self.port:
            self.port, self._distribution, self._epmd, self.tls_port = free_ports(4)
            self.folder.mkdir(parents=True, exist_ok=True)
            lines = [_CONFIGURATION.format(port=self.port)]
            if self.tls is not None:
                lines.append(f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}\n")
                lines += [f"ssl_options.{name} = {path}\n" for name, path in self.tls.items()]
            (self.folder / "rabbit.conf").write_text("".join(lines), encoding="utf-8")
            (self.folder / "plugins").write_text("[].\n", encoding="utf-8")
        epmd = shutil.which("epmd")
        if epmd is None:
            raise NoRabbit("RabbitMQ needs epmd, which comes with Erlang; it is not on the PATH")
        self._run([epmd, "-port", str(self._epmd), "-address", "127.0.0.1"])
        server = self._run([str(program)])
        until = time.monotonic() + START_SECONDS
        while not _answers(self.port):
            assert server.poll() is None, f"RabbitMQ ended with {server.returncode}:\n{self.said()}"
            assert time.monotonic() < until, f"RabbitMQ does not answer:\n{self.said()}"
            time.sleep(0.1)
        return self

    def kill(self) -> None:
        """End it with SIGKILL, as a machine that loses its power does."""
        for process in reversed(self._processes):
            _kill_tree(process.pid)
            process.wait()
        self._processes.clear()

    def said(self) -> str:
        """Return the end of what it wrote."""
        path = self.folder / "output"
        return path.read_text(encoding="utf-8", errors="replace")[-3000:] if path.exists() else ""

    def _run(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "output").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", with_parent.__file__, *command],
                env=self._environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C goes to the tests, which end it; and should they be killed, the kernel does.
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def _environment(self) -> dict[str, str]:
        foreign = ("RABBITMQ_", "RAPPORT_", "ERL_")
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith(foreign)},
            "HOME": str(self.folder),  # of the cookie
            "ERL_EPMD_PORT": str(self._epmd),
            "ERL_CRASH_DUMP_BYTES": "0",
            # Then its start script gives way to the server, which so is our child itself.
            "RUNNING_UNDER_SYSTEMD": "yes",
            "RABBITMQ_NODENAME": f"rapport{self.port}@localhost",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbit.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_DIST_PORT": str(self._distribution),
            # One scheduler that never spins: the machine has other work.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none +A 4",
        }


_CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{port}
log.console = false
log.file = rabbit.log
log.file.level = warning
raft.wal_max_size_bytes = 64000000
vm_memory_high_watermark.absolute = 2GB
disk_free_limit.absolute = 50MB
"""


def find_server() -> Path:
    """Return the newest installed server's start script; raises NoRabbit."""
    # Not the one on the PATH: run as root it changes the user, and its folders with it.
    found = sorted(Path("/").glob(_PROGRAMS.removeprefix("/")))
    if found:
        return found[-1]
    other = shutil.which("rabbitmq-server")
    if other is not None and os.geteuid() != 0:
        return Path(other)
    raise NoRabbit("rabbitmq-server is not installed (Debian: apt install rabbitmq-server)")


@contextmanager
def shared_node(folder: Path) -> Iterator[str]:
    """Give the URL of the run's server; the first process that asks starts it, and stops it when all are done."""
    users = os.open(folder / "rabbit.users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    gate = os.open(folder / "rabbit.gate", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    url_file = folder / "rabbit.json"
    node: Node | None = None
    memory = ExitStack()
    try:
        fcntl.flock(users, fcntl.LOCK_SH)  # first: one that comes while the server is stopped starts another
        fcntl.flock(gate, fcntl.LOCK_EX)
        if url_file.exists():
            url = str(json.loads(url_file.read_text(encoding="utf-8"))["url"])
        else:
            node = memory.enter_context(own_node())
            url = node.url
            url_file.write_text(json.dumps({"url": url}), encoding="utf-8")
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield url
    finally:
        os.close(gate)
        if node is not None:
            try:
                fcntl.flock(users, fcntl.LOCK_EX)
            finally:
                url_file.unlink(missing_ok=True)
                memory.close()
        os.close(users)


@contextmanager
def own_node(tls: Mapping[str, Path] | None = None) -> Iterator[Node]:
    """Give a server of the test's own, to kill; its files are in memory where there is room.

    tls: as of Node.
    """
    with memory_folder() as memory, tempfile.TemporaryDirectory(prefix="rapport-rabbit-") as disk:
        node = Node((memory or Path(disk)) / "rabbit", tls=tls)
        try:
            yield node.start()
        finally:
            node.kill()


def variables(url: str) -> Mapping[str, str]:
    """Return the settings of processes that share a broker with others: names of their own on it."""
    return {URL_VARIABLE: url, PREFIX_VARIABLE: new_prefix()}


def new_prefix() -> str:
    """Return a prefix for names on the broker that nobody else has."""
    return f"t{os.getpid()}-{next(_names)}-{secrets.token_hex(3)}"


def clean_environment() -> dict[str, str]:
    """Return the environment without settings, but for those of the transport that the test has chosen."""
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("RAPPORT_") or key in (URL_VARIABLE, PREFIX_VARIABLE)
    }


def is_there() -> bool:
    """Tell whether this machine has a server, or the environment named one."""
    if GIVEN:
        return True
    try:
        find_server()
    except NoRabbit:
        return False
    return True


def is_required() -> bool:
    """Tell whether tests must fail where there is no server, rather than be skipped."""
    return os.environ.get(REQUIRED_VARIABLE) == "1" or bool(os.environ.get("CI"))


def free_ports(count: int) -> list[int]:
    """Return ports that are free now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return bool(connection.recv(1))
    except OSError:
        return False


def _kill_tree(pid: int) -> None:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        family = [*process.children(recursive=True), process]
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.kill()


def stack_url(request: pytest.FixtureRequest) -> str:
    """Return the broker of a whole stack, as `--transport` says; nothing for the event streams."""
    match request.config.getoption("--transport"):
        case "stream":
            return ""
        case "auto" if not is_there() and not is_required():
            return ""
    return str(request.getfixturevalue("rabbit_url"))
