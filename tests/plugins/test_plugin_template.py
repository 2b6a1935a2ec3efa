"""The template works as it is: copied, its tests run, its wheel builds, installs and loads."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy under another name, as its author would make it."""
    folder = tmp_path / "mine"
    copytree(ROOT / "plugins/template", folder, ignore=ignore_patterns("__pycache__", "dist", ".*"))
    (folder / "src/rapport_template").rename(folder / "src/rapport_mine")
    for path in folder.rglob("*"):
        if path.is_file():
            text = path.read_text().replace("rapport_template", "rapport_mine")
            path.write_text(text.replace("rapport-template", "rapport-mine").replace("template", "mine"))
    return folder


def run(*command: str, cwd: Path, path: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([path, str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_copy_passes_its_own_tests(copy: Path) -> None:
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", "tests")
    assert "6 passed" in run(*command, cwd=copy, path=str(copy / "src"))


def test_its_wheel_builds_installs_and_loads(copy: Path, tmp_path: Path) -> None:
    run("-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path), cwd=copy, path="")
    (wheel,) = tmp_path.glob("*.whl")
    target = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:  # a pure wheel is installed by unpacking it
        archive.extractall(target)
    script = """
from services.kit.plugins import PluginError, PluginHost
with PluginHost(["rapport-mine"], ["mine"]) as host:
    record = host.catalog().plugin("mine")
    print(record.state, record.distribution, record.version, *(item.name for item in record.objects))
    print(host.compile_sql("mine.bought_lately", [30]).object)
    try:
        host.compile_sql("mine.bought_lately", [2**62])
    except PluginError as error:
        print(error.problem.partition(" (")[0])
"""
    printed = run("-c", script, cwd=tmp_path, path=str(target))
    assert printed.splitlines() == [
        "ok rapport-mine 0.1.0 mine.bought_lately",
        "mine.bought_lately",
        f"ValueError: days must be from 1 to 36500, not {2**62}",
    ]
