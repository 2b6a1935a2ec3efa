"""Where the server's files live.

For an ordinary user that is the data folder itself. As root the server runs as another user, who may be
unable to reach the data folder (below /root, say), and opening a parent folder for it would be wrong; so the
files then live in `/var/lib/rapport/<hash>`, and the data folder is a link to them.

    data/            PGDATA             log/              the server's own log, rotated
    sockets/         the Unix socket    admin.password    the superuser's password, mode 0600
    lock             who uses it now    origin            the data folder that links here (root only)
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from services.kit.postgres.account import Account
from services.kit.postgres.errors import PostgresError, folder_error
from services.kit.supervise.lock import FileLock

SYSTEM_ROOT = Path("/var/lib/rapport")
_SOCKET_LIMIT = 107 if sys.platform == "linux" else 103
_SOCKET_NAME = "/.s.PGSQL.65535"
THROWAWAY = "throwaway"


@dataclass(frozen=True)
class Home:
    """The folder of one server, and the names in it."""

    path: Path

    @property
    def data(self) -> Path:
        """PGDATA."""
        return self.path / "data"

    @property
    def log(self) -> Path:
        """The folder of log files."""
        return self.path / "log"

    @property
    def startup_log(self) -> Path:
        """What the server said before its own log was open."""
        return self.log / "startup.log"

    @property
    def password_file(self) -> Path:
        """The superuser's password."""
        return self.path / "admin.password"

    @property
    def lock_file(self) -> Path:
        """The lock of the process that keeps the server."""
        return self.path / "lock"

    @property
    def origin_file(self) -> Path:
        """The data folder that links here."""
        return self.path / "origin"

    @property
    def sockets(self) -> Path:
        """The folder of the Unix socket: inside, unless its path were too long or one libpq cannot take."""
        inside = self.path / "sockets"
        # libpq splits its host at commas, and a socket's whole path has a limit set by the kernel.
        if len(os.fsencode(inside)) + len(_SOCKET_NAME) <= _SOCKET_LIMIT and re.fullmatch(
            r"[\w./+@ -]+", str(inside)
        ):
            return inside
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        return Path("/tmp") / f"rapport-{digest}"

    def initialised(self) -> bool:
        """Say whether a database cluster is here, complete."""
        return (self.data / "PG_VERSION").is_file()

    def prepare(self, account: Account) -> None:
        """Create the folders, private to the account; PostgresError when that is impossible."""
        try:
            for folder in (self.path, self.log, self.sockets):
                folder.mkdir(mode=0o700, exist_ok=True)
                info = folder.lstat()
                # A folder below /tmp could have been put there by somebody else.
                if not stat.S_ISDIR(info.st_mode) or info.st_uid not in (account.uid, os.geteuid()):
                    raise PostgresError(
                        f"{folder} belongs to user {info.st_uid}, but the server runs as {account.name}; "
                        "run as that user, or choose another data folder (RAPPORT_DATA_DIR)"
                    )
                folder.chmod(0o700)
                account.own(folder)
        except OSError as error:
            raise folder_error(self.path, error) from error


def locate(data_dir: Path) -> Home | None:
    """Return the home that a data folder has now, None when there is none yet. Changes nothing."""
    if data_dir.is_symlink():
        return Home(data_dir.resolve()) if data_dir.exists() else None
    return Home(data_dir) if data_dir.is_dir() else None


def settle(
    data_dir: Path,
    account: Account,
    *,
    root: Path = SYSTEM_ROOT,
    throwaway: bool = False,
    reattach: bool = False,
) -> Home:
    """Find or make the home of a data folder, and prepare it for the account.

    `throwaway` marks a home made for tests, which `prune` may remove once nobody uses it. `reattach`: the data
    folder had a database before, so one whose link is gone is linked again; PostgresError when several could be it.
    """
    data_dir = Path(os.path.abspath(data_dir))
    try:
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        home = (
            _settle_as_root(data_dir, account, root, reattach)
            if account.drops
            else _settle_in_place(data_dir)
        )
        home.prepare(account)
        if throwaway:
            (home.path / THROWAWAY).touch(mode=0o600)
    except OSError as error:
        raise folder_error(data_dir, error) from error
    return home


def remove(home: Home, data_dir: Path) -> None:
    """Delete a home with everything in it, and the link to it."""
    sockets = home.sockets
    shutil.rmtree(home.path, ignore_errors=True)
    shutil.rmtree(sockets, ignore_errors=True)
    if data_dir.is_symlink() and not data_dir.exists():
        data_dir.unlink()


def prune(root: Path = SYSTEM_ROOT) -> list[Path]:
    """Delete and return the homes of killed test runs, whose folders are gone and which nobody uses."""
    removed = []
    for mark in root.glob(f"*/{THROWAWAY}"):
        home = Home(mark.parent)
        lock = FileLock(home.lock_file)
        try:
            if not lock.acquire():
                continue
        except OSError:
            continue
        try:
            if not _links_to(_origin(home), home.path) and not (home.data / "postmaster.pid").exists():
                remove(home, home.path)
                removed.append(home.path)
        finally:
            lock.release()
    return removed


def _settle_in_place(data_dir: Path) -> Home:
    if data_dir.is_symlink():
        target = data_dir.resolve()
        if not os.access(target, os.W_OK | os.X_OK):
            raise PostgresError(
                f"the database of {data_dir} lives in {target}, which belongs to another user because "
                "it was first started as root; start it as root again, or choose another data folder "
                "(RAPPORT_DATA_DIR)"
            )
        return Home(target)
    if data_dir.is_dir() and data_dir.stat().st_uid != os.geteuid():
        raise PostgresError(
            f"{data_dir} belongs to user {data_dir.stat().st_uid} and you are user {os.geteuid()}; "
            "run as that user, or choose another data folder (RAPPORT_DATA_DIR)"
        )
    return Home(data_dir)


def _settle_as_root(data_dir: Path, account: Account, root: Path, reattach: bool) -> Home:
    root.mkdir(parents=True, exist_ok=True, mode=0o755)
    if data_dir.is_symlink():
        target = Path(os.readlink(data_dir))
        if not target.is_dir():
            raise PostgresError(
                f"{data_dir} points to {target}, which is gone. Restore it; or, if the data may be lost, "
                f"remove the link {data_dir} and start again with an empty database"
            )
        home = Home(target)
        origin = _origin(home)
        if origin in (None, data_dir) or not _links_to(origin, target):
            # The folder was moved together with its link: it stays the one owner.
            _write_origin(home, data_dir, account)
            return home
        # The folder was copied, link and all. Two servers on the same files would be one server too many.
        data_dir.unlink()
    elif data_dir.is_dir():
        owner = data_dir.stat().st_uid
        if any(data_dir.iterdir()):
            raise PostgresError(
                f"{data_dir} was made by user {owner}, and you are root; run as that user, "
                "or choose another data folder (RAPPORT_DATA_DIR)"
            )
        data_dir.rmdir()
    elif reattach and (found := _unlinked(data_dir, root)):
        _link(data_dir, found)
        return found
    name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    for number in range(1, 1000):
        home = Home(root / (name if number == 1 else f"{name}-{number}"))
        try:
            home.path.mkdir(mode=0o700)
        except FileExistsError:
            # An earlier data folder of this path, whose link was removed. Its data may be wanted yet: leave
            # it alone.
            # Without data in it, it is only ours from a start that was killed between the lines below.
            if home.initialised() or _origin(home) not in (None, data_dir):
                continue
        _write_origin(home, data_dir, account)
        _link(data_dir, home)
        return home
    raise PostgresError(f"{root} holds 999 abandoned databases of {data_dir}; remove those that nobody needs")


def _unlinked(data_dir: Path, root: Path) -> Home | None:
    """Return the home that was made for a data folder whose link is gone; None when there is none."""
    found = [
        home for mark in sorted(root.glob("*/origin")) if _was_made_for(home := Home(mark.parent), data_dir)
    ]
    if len(found) > 1:
        listed = ", ".join(str(home.path) for home in found)
        raise PostgresError(
            f"the link {data_dir} is gone, and these databases were made for it: {listed}. "
            f"Link the one that is wanted: ln -s {found[0].path} {data_dir}"
        )
    return found[0] if found else None


def _was_made_for(home: Home, data_dir: Path) -> bool:
    return home.initialised() and _origin(home) == data_dir and not (home.path / THROWAWAY).exists()


def _link(data_dir: Path, home: Home) -> None:
    try:
        data_dir.symlink_to(home.path)
    except FileExistsError:
        # Else somebody starts the same at this moment; the lock decides.
        if not _links_to(data_dir, home.path):
            raise


def _origin(home: Home) -> Path | None:
    try:
        return Path(home.origin_file.read_text(encoding="utf-8").strip())
    except OSError:
        return None


def _write_origin(home: Home, data_dir: Path, account: Account) -> None:
    home.origin_file.write_text(f"{data_dir}\n", encoding="utf-8")
    home.origin_file.chmod(0o600)
    account.own(home.origin_file)


def _links_to(link: Path | None, target: Path) -> bool:
    return link is not None and link.is_symlink() and Path(os.readlink(link)) == target
