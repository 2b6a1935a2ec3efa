"""Archives of single databases: pg_dump writes them, pg_restore and psql bring them back in one transaction."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from services.kit.backup.programs import Programs, access
from services.kit.postgres.errors import PostgresError
from services.kit.postgres.provision import database_name
from services.kit.postgres.urls import redacted

LOOK_SECONDS = 0.2
_LINES = 40
_NEWER_SETTING = b"SET transaction_timeout = 0;\n"
"""What every pg_restore from version 17 on writes first, and servers before 17 refuse."""

_NOT_OURS = re.compile(r"^\d+; \d+ \d+ (EXTENSION -|SCHEMA - public|COMMENT - (EXTENSION|SCHEMA public)) ?")
"""Entries of an archive that only an administrator may make, and which are there in every database of ours."""


def dump(
    programs: Programs,
    url: str,
    snapshot: str,
    target: Path,
    on_bytes: Callable[[int], None] = lambda size: None,
) -> None:
    """Write the database at a URL, as a snapshot shows it, to a new file; on_bytes: told its size now and then.

    Raises PostgresError.
    """
    address, environment = access(url)
    command = programs.command(
        "pg_dump",
        "--format=custom",
        f"--snapshot={snapshot}",
        "--no-password",
        "--lock-wait-timeout=60s",
        f"--file={target}",
        f"--dbname={address}",
    )
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            umask=0o077,
        )
        try:
            while True:
                try:
                    process.wait(LOOK_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    on_bytes(target.stat().st_size if target.exists() else 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        if process.returncode != 0:
            raise PostgresError(f"pg_dump of {redacted(url)} failed: {_tail(complaints)}")
    on_bytes(target.stat().st_size)


def restore(
    programs: Programs,
    url: str,
    archive: Path,
    *,
    server_major: int,
    before: str = "",
    after: str = "",
    on_bytes: Callable[[int], None] = lambda size: None,
) -> None:
    """Bring an archive into the database at a URL, all or nothing, as the URL's user.

    before, after: statements for the same transaction. Roles, rights and extensions are not restored: they belong to
    the server. on_bytes: told how much of the archive's statements were handed over. Raises PostgresError; the
    database is then as it was.
    """
    address, environment = access(url)
    name = database_name(url)
    with (
        tempfile.TemporaryDirectory(prefix="rapport-restore-") as folder,
        tempfile.TemporaryFile() as complaints,
    ):
        wanted = Path(folder) / "entries"
        wanted.write_text(_entries(programs, archive), encoding="utf-8")
        unpack = programs.command(
            "pg_restore", "--file=-", "--no-owner", "--no-privileges", f"--use-list={wanted}", str(archive)
        )
        load = programs.command(
            "psql", "--no-psqlrc", "--quiet", "--no-password",
            "--set=ON_ERROR_STOP=1", f"--dbname={address}", "--file=-",
        )  # fmt: skip
        reader = subprocess.Popen(
            unpack, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints
        )
        writer = subprocess.Popen(
            load, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=complaints
        )
        assert reader.stdout is not None
        assert writer.stdin is not None
        try:
            # Not psql's own transaction, which it commits at the end of what it reads, although that is the end of us.
            writer.stdin.write(b"BEGIN;\n")
            writer.stdin.write(before.encode())
            _copy(reader.stdout, writer.stdin, skip_setting=server_major < 17, on_bytes=on_bytes)
            if reader.wait() != 0:
                # Whatever came so far must not be committed.
                writer.kill()
                writer.wait()
                raise PostgresError(f"pg_restore of {archive.name} failed: {_tail(complaints)}")
            writer.stdin.write(after.encode())
            writer.stdin.write(b"COMMIT;\n")
            writer.stdin.close()
        except BrokenPipeError:
            pass  # psql has ended, and says why
        except BaseException:
            for process in (writer, reader):
                process.kill()
                process.wait()
            raise
        reader.stdout.close()
        status = writer.wait()
        reader.kill()
        reader.wait()
        if status != 0:
            raise PostgresError(f"restoring {archive.name} into {name} failed: {_tail(complaints)}")


def entries_of(programs: Programs, archive: Path) -> list[str]:
    """Return the table of contents of an archive, line by line; raises PostgresError when it cannot be read."""
    command = programs.command("pg_restore", "--list", str(archive))
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise PostgresError(f"{archive.name} is no archive that pg_restore reads: {ran.stderr.strip()}")
    return ran.stdout.splitlines()


def _entries(programs: Programs, archive: Path) -> str:
    return "".join(f"{line}\n" for line in entries_of(programs, archive) if not _NOT_OURS.match(line))


def _copy(
    source: IO[bytes], target: IO[bytes], *, skip_setting: bool, on_bytes: Callable[[int], None]
) -> None:
    """Copy statements; skip_setting: leave the one out that old servers refuse, which is among the first."""
    if skip_setting:
        for _ in range(_LINES):
            line = source.readline()
            if line != _NEWER_SETTING:
                target.write(line)
    passed = 0
    while block := source.read(1 << 20):
        target.write(block)
        passed += len(block)
        on_bytes(passed)


def _tail(complaints: IO[bytes]) -> str:
    """Return the first error that a program wrote, or the end of what it wrote, without values of rows."""
    complaints.seek(0)
    lines = complaints.read().decode(errors="replace").splitlines()
    told = [line for line in lines if "error" in line.lower()] or lines[-3:]
    return " ".join(" ".join(told[:2]).split()) or "it said nothing"
