"""Makes a database cluster, whole or not at all, and writes its configuration."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from services.kit.postgres.account import Account
from services.kit.postgres.binaries import Binaries
from services.kit.postgres.errors import NO_SPACE, PostgresError, disk_full, folder_error
from services.kit.postgres.home import Home
from services.kit.supervise.reaper import Reaper

SUPERUSER = "postgres"
_MEGABYTE = 1 << 20
_SPACE_NEEDED = 120 * _MEGABYTE
_SMALL_SHM = 512 * _MEGABYTE

# For a laptop that runs a browser too. ALTER SYSTEM still wins over these.
DEFAULTS: dict[str, str] = {
    "max_connections": "200",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "wal_level": "replica",
    "min_wal_size": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    # The bundled server has only PGLZ for it: 150 µs of CPU for each page that is first changed after a checkpoint,
    # which was two fifths of what it takes to keep the memberships of a million contacts up to date.
    "wal_compression": "off",
    "random_page_cost": "1.1",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "datestyle": "ISO, YMD",
    "password_encryption": "scram-sha-256",
    "lc_messages": "C",
    "logging_collector": "on",
    "log_filename": "postgresql-%Y%m%d_%H%M%S.log",
    "log_rotation_age": "1d",
    "log_rotation_size": "10MB",
    "log_line_prefix": "%m [%p] %q%u@%d %a ",
    "log_checkpoints": "off",
    "log_lock_waits": "on",
    "log_min_duration_statement": "5s",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "unix_socket_permissions": "0700",
}

_HBA = """\
# Written at every start. A password is asked for everywhere; nothing is trusted.
local all all scram-sha-256
host  all all 127.0.0.1/32 scram-sha-256
host  all all ::1/128 scram-sha-256
"""


def read_password(home: Home) -> str | None:
    """Return the superuser's password, None when it was never written or its file is lost."""
    try:
        return home.password_file.read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise folder_error(home.path, error) from error


def new_password() -> str:
    """Make up a password of letters, digits, - and _."""
    return secrets.token_urlsafe(24)


def write_password(home: Home, account: Account, password: str) -> None:
    """Keep the superuser's password."""
    write_private(home.password_file, password + "\n", account)


def write_private(path: Path, text: str, account: Account | None = None) -> None:
    """Write a file of mode 0600 so that it has its old content or the new one, also after a power loss."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        if account is not None:
            account.own(partial)
        partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise folder_error(path.parent, error) from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power loss."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def create_cluster(
    home: Home, binaries: Binaries, account: Account, reaper: Reaper, *, durable: bool = True
) -> None:
    """Run initdb beside the final place and move the result there: a killed one leaves nothing to trip on.

    The reaper ends initdb when we are killed. PostgresError when the disk is full, or with what initdb said.
    """
    partial = home.path / "data.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        if home.data.exists():
            raise PostgresError(
                f"{home.data} is there but holds no database; move it away, or choose another data folder "
                "(RAPPORT_DATA_DIR)"
            )
        if shutil.disk_usage(home.path).free < _SPACE_NEEDED:
            raise PostgresError(
                f"the disk that holds {home.path} has less than {_SPACE_NEEDED // _MEGABYTE} MB free, "
                "which a new database needs; free some space or choose another data folder (RAPPORT_DATA_DIR)"
            )
        _run_initdb(home, partial, binaries, account, reaper, durable=durable)
        with (partial / "postgresql.conf").open("a", encoding="utf-8") as stream:
            stream.write("\ninclude 'rapport.conf'\n")
        write_configuration(partial, home, {}, account)
        partial.rename(home.data)
        sync_folder(home.path)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise folder_error(home.path, error) from error
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def write_configuration(data: Path, home: Home, settings: Mapping[str, str], account: Account) -> None:
    """Write rapport.conf and pg_hba.conf of a cluster; `settings` win over the defaults."""
    merged = {**DEFAULTS, "log_directory": str(home.log), **_shared_memory(), **settings}
    lines = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'" for name, value in merged.items()]
    text = (
        "# Written at every start; use ALTER SYSTEM to change a setting for good.\n" + "\n".join(lines) + "\n"
    )
    write_private(data / "rapport.conf", text, account)
    write_private(data / "pg_hba.conf", _HBA, account)


def reset_password(home: Home, binaries: Binaries, account: Account, reaper: Reaper, password: str) -> None:
    """Set the superuser's password without the old one, in single-user mode; the server must be stopped."""
    command = [binaries.program("postgres"), "--single", "-D", str(home.data), "-c", "logging_collector=off"]
    statement = f"ALTER ROLE {SUPERUSER} PASSWORD '{password}';\n"  # token_urlsafe has no quote
    code, said = _run([*command, "postgres"], home, account, reaper, statement)
    if code != 0 or "ERROR" in said or "FATAL" in said:
        raise PostgresError(f"cannot set a new superuser password in {home.data}: {said[-2000:]}")


def _run(command: list[str], home: Home, account: Account, reaper: Reaper, text: str = "") -> tuple[int, str]:
    """Run a program as the account and under the reaper; return its status and what it said on stderr."""
    options = account.popen_options() | {"stdin": subprocess.PIPE, "start_new_session": True}
    process = subprocess.Popen(
        account.command(*command),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=home.path,
        **options,
    )
    try:
        reaper.watch(process.pid, stop=signal.SIGKILL)
        _, said = process.communicate(text)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        reaper.forget(process.pid)
    return process.returncode, (said or "").strip()


def _run_initdb(
    home: Home, target: Path, binaries: Binaries, account: Account, reaper: Reaper, *, durable: bool
) -> None:
    command = [
        binaries.program("initdb"),
        "-D",
        str(target),
        "-U",
        SUPERUSER,
        "--encoding=UTF8",
        "--data-checksums",
    ]
    command += ["--auth=scram-sha-256", f"--pwfile={home.password_file}", "--no-instructions"]
    command += ["--text-search-config=simple", *([] if durable else ["--no-sync"])]
    problem = ""
    for locale in _locales(binaries.major):
        code, problem = _run([*command, *locale], home, account, reaper)
        if code == 0:
            return
        shutil.rmtree(target, ignore_errors=True)
        if NO_SPACE in problem:
            raise disk_full(home.path)
        if "locale" not in problem:
            break
    raise PostgresError(
        f"initdb could not create a database in {home.path}: {problem[-2000:] or 'it said nothing'}"
    )


def _locales(major: int) -> list[list[str]]:
    """Return the locales to try: code point order and Unicode letters, alike on every machine if possible."""
    builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if major >= 17 else []
    return [[*builtin, "--locale=C.UTF-8"], [*builtin, "--locale=C"]]


def _shared_memory() -> dict[str, str]:
    """Avoid /dev/shm where it is small, as in containers: parallel queries would run out of it."""
    try:
        info = os.statvfs("/dev/shm")
    except OSError:
        return {}
    return {} if info.f_frsize * info.f_blocks >= _SMALL_SHM else {"dynamic_shared_memory_type": "sysv"}
