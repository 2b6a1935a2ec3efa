"""What was last released: `deploy/release.toml`, which says what the next release must get along with.

`python -m deploy.tools.release` records the last commit as the release that pyproject.toml names: its version, the
newest revision of each service, and its API in `protos/released.binpb`.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.kit import revisions
from services.kit.config import SERVICES

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "deploy" / "release.toml"
API = ROOT / "protos" / "released.binpb"


@dataclass(frozen=True, slots=True)
class Release:
    """Hold what is recorded of a release.

    commit: 40 hex digits; schema: the newest revision of each service; api: SHA-256 of protos/released.binpb.
    """

    version: str
    commit: str
    schema: Mapping[str, str]
    api: str

    @property
    def tag(self) -> str:
        """The tag that the commit has."""
        return f"v{self.version}"


def last_release(path: Path = RECORD) -> Release:
    """Read the record."""
    found = tomllib.loads(path.read_text(encoding="utf-8"))
    return Release(found["version"], found["commit"], found["schema"], found["api"]["sha256"])


def render(release: Release) -> str:
    """Write a record as the file has it."""
    lines = [
        "# The last release, which this tree must get along with. Written by `make release`; see deploy/README.md.",
        f'version = "{release.version}"',
        f'commit = "{release.commit}"',
        "",
        "[schema] # the newest revision of each service: those after it are judged by `make migrations-check`",
        *(f'{service} = "{revision}"' for service, revision in release.schema.items()),
        "",
        "[api]",
        f'sha256 = "{release.api}" # of protos/released.binpb',
    ]
    return "\n".join(lines) + "\n"


def git(*arguments: str) -> str:
    """Return what git prints, without white space around it; exits with its message when it fails."""
    ran = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if ran.returncode:
        sys.exit(f"git {' '.join(arguments)}: {ran.stderr.strip()}")
    return ran.stdout.strip()


def main() -> int:
    """Record the last commit as a release; nothing may be changed in the tree since.

    One that has no tag yet may be recorded anew.
    """
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    if git("tag", "--list", f"v{version}"):
        sys.exit(f"{version} is released already: set the next version in pyproject.toml and commit it first")
    if git("status", "--porcelain"):
        sys.exit("there are changes that are not committed: a release is a commit")
    commit = git("rev-parse", "HEAD")
    subprocess.run([sys.executable, str(ROOT / "protos" / "generate.py"), "--release"], check=True)
    schema = {service: revisions.head(service) or "" for service in SERVICES}
    release = Release(version, commit, schema, hashlib.sha256(API.read_bytes()).hexdigest())
    RECORD.write_text(render(release), encoding="utf-8")
    sys.stdout.write(
        f"{version} is recorded in {RECORD.relative_to(ROOT)} and {API.relative_to(ROOT)}: commit both, then\n"
        f"  git tag -a {release.tag} {commit} -m 'Rapport {version}'\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
