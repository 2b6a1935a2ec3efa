"""The last release's code, as its commit holds it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from deploy.tools.release import ROOT, last_release

REQUIRED = "RAPPORT_TEST_REQUIRE_RELEASE"
PATHS = ("services", "protos", "plugins")


def extract(folder: Path) -> Path:
    """Write the tree of the last release into a folder; fail where the commit cannot be had.

    Skips where there is no repository at all, such as in an unpacked archive, unless RAPPORT_TEST_REQUIRE_RELEASE is 1.
    """
    release = last_release()
    if not (ROOT / ".git").exists() and os.environ.get(REQUIRED) != "1":
        pytest.skip(f"this is no git repository, which would have the code of {release.version}")
    archive = folder / "release.tar"
    ran = subprocess.run(
        ["git", "archive", f"--output={archive}", release.commit, *PATHS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        pytest.fail(
            f"the code of {release.version}, commit {release.commit[:12]}, is not in this repository "
            f"({ran.stderr.strip()}); a shallow clone gets it by `git fetch --unshallow`",
            pytrace=False,
        )
    subprocess.run(["tar", "-xf", str(archive), "-C", str(folder)], check=True)
    archive.unlink()
    return folder
