"""The last release's code, as its commit holds it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.tools.release import ROOT, last_release

REQUIRED = "RAPPORT_TEST_REQUIRE_RELEASE"
PATHS = ("services", "protos", "plugins")


def extract(folder: Path) -> Path:
    """Write the tree of the last release into a folder.

    Where its commit cannot be had, as in an unpacked archive or a shallow clone, this skips the test, or fails it where
    RAPPORT_TEST_REQUIRE_RELEASE is 1.
    """
    release = last_release()
    archive = folder / "release.tar"
    ran = subprocess.run(
        ["git", "archive", f"--output={archive}", release.commit, *PATHS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        missing = (
            f"the code of {release.version}, commit {release.commit[:12]}, is not in this repository "
            f"({ran.stderr.strip()}); a shallow clone gets it by `git fetch --unshallow`"
        )
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    subprocess.run(["tar", "-xf", str(archive), "-C", str(folder)], check=True)
    archive.unlink()
    # Once, and not by each of the processes that start at the same moment.
    subprocess.run([sys.executable, "-m", "compileall", "-q", *PATHS], cwd=folder, check=True)
    return folder
