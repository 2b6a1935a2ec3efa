"""The lock files of the image, which are parts of `requirements.lock`: what runs, and what builds our own wheels.

`python -m deploy.tools.locks` writes them, `--check` says whether they are up to date. Who needs whom is told by the
packages installed here, as the lock does not say it.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
OWN = {"rapport-client", "rapport-sdk", "rapport-builtin"}
SOURCES_NEED = ["setuptools"]
"""What makes wheels of the packages that come as source alone; deploy/Dockerfile names these."""
LEFT_OUT: set[str] = set()
"""Packages that are not in the image though something names them."""


def entries() -> dict[str, str]:
    """Return the entries of requirements.lock, by name; each has its hashes and ends with a new line."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for entry in re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE):
        if name := re.match(r"[A-Za-z0-9._-]+", entry):
            key = canonicalize_name(name.group())
            # A package may stand there twice, with versions for different machines.
            found[key] = found.get(key, "") + entry
    return found


def needed(wanted: Iterable[str]) -> set[str]:
    """Return the names of packages and of all that they need, but for our own and LEFT_OUT."""
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(text) for text in wanted]
    names: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        key = (name, frozenset(requirement.extras))
        if key in seen or name in LEFT_OUT:
            continue
        seen.add(key)
        if name not in OWN:
            names.add(name)
        try:
            requires = distribution(name).requires or []
        except PackageNotFoundError:  # for other machines than this
            continue
        for text in requires:
            below = Requirement(text)
            extras = ["", *requirement.extras]
            if below.marker is None or any(below.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(below)
    return names


def lock(wanted: Iterable[str]) -> str:
    """Return the part of requirements.lock for some packages; raises KeyError for one that is not locked."""
    known = entries()
    return "".join(known[name] for name in sorted(needed(wanted)))


def written() -> dict[Path, str]:
    """Return the lock files with their content."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {
        DEPLOY / "image.lock": lock(project["project"]["dependencies"]),
        DEPLOY / "build.lock": lock([*project["build-system"]["requires"], *SOURCES_NEED]),
    }


def main() -> int:
    """Write the lock files, or check them."""
    parser = argparse.ArgumentParser(prog="python -m deploy.tools.locks", description=main.__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; status 1 when one is out of date"
    )
    options = parser.parse_args()
    for path, text in written().items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if options.check:
            sys.stderr.write(
                f"{path.relative_to(ROOT)} does not follow requirements.lock: run `make chart`\n"
            )
            return 1
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(ROOT)} written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
