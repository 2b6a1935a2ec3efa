"""Files that share what takes long to start go to one process of the run."""

from __future__ import annotations

from pathlib import Path

from tests.support.scheduling import TOGETHER, share_of

ROOT = Path(__file__).parents[3]


def test_the_files_that_share_something_are_there() -> None:
    for what, patterns in TOGETHER.items():
        shared = [path.relative_to(ROOT).as_posix() for pattern in patterns for path in ROOT.glob(pattern)]
        tests = [file for file in shared if Path(file).name.startswith("test_")]
        assert len(tests) >= max(2, len(patterns)), f"{what}: only {tests}"
        assert {share_of(f"{file}::test_it") for file in tests} == {what}


def test_any_other_file_stands_alone() -> None:
    assert share_of("tests/e2e/test_up.py::test_it[a::b]") == "tests/e2e/test_up.py"
