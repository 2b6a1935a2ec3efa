"""The operating system user that the server runs as."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.kit.postgres import become
from services.kit.postgres.errors import PostgresError

_PREFERRED = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """A user and its group; `drops` says that we are root and must become that user in each child."""

    name: str
    uid: int
    gid: int
    drops: bool

    def command(self, *words: str) -> list[str]:
        """Return the command that runs a program, given by its path, as this user."""
        if not self.drops:
            return [*words]
        return [sys.executable, "-I", "-S", become.__file__, str(self.uid), str(self.gid), *words]

    def popen_options(self) -> dict[str, Any]:
        """Return what gives a child of `subprocess` a clean environment and umask."""
        return {"env": clean_environment(), "umask": 0o077, "stdin": subprocess.DEVNULL}

    def own(self, path: Path) -> None:
        """Give a file or folder, not what is in it, to the user."""
        if self.drops:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def choose_account(name: str | None = None) -> Account:
    """Return ourselves or, as root, the ordinary user to become: `name`, else postgres, else nobody.

    PostgreSQL refuses to run as root.
    """
    if os.geteuid() != 0:
        me = os.geteuid()
        try:
            return Account(pwd.getpwuid(me).pw_name, me, os.getegid(), drops=False)
        except KeyError:  # a container may run under a number that has no name
            return Account(str(me), me, os.getegid(), drops=False)
    for candidate in [name] if name else _PREFERRED:
        try:
            entry = pwd.getpwnam(candidate)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(candidate, entry.pw_uid, entry.pw_gid, drops=True)
    raise PostgresError(
        f"PostgreSQL does not run as root, and there is no user {name or ' or '.join(_PREFERRED)} to run "
        "it as; create one (useradd --system postgres), run as an ordinary user, or set RAPPORT_DATABASE_URL"
    )


def clean_environment() -> dict[str, str]:
    """Return our environment without what redirects PostgreSQL's programs, with untranslated messages."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    return environment | {"LC_ALL": "C", "LANG": "C", "TZ": "UTC"}
