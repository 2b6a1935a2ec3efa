"""`rapport segments test`: in a running service, and without one on a database of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest

from services.kit.postgres import EmbeddedPostgres
from tests.integration.cli.conftest import Office
from tests.support.cli import Ran, run_cli
from tests.support.programs import REPOSITORY

EXAMPLE = Path(__file__).resolve().parents[3] / "services/segmentation/examples/demo.cases.yaml"
Run = Callable[..., Ran]


def run_alone(*arguments: str) -> Ran:
    """Run a command in a process and the folder of its own, where no stack is."""
    path = os.pathsep.join([str(REPOSITORY), *filter(None, sys.path)])
    clean = {key: value for key, value in os.environ.items() if not key.startswith("RAPPORT_")}
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        env={**clean, "PYTHONPATH": path, "COLUMNS": "200"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(params=["in a stack", "alone"])
def rapport(request: pytest.FixtureRequest, folder: Path) -> Run:
    """The command line, with a stack and without."""
    if request.param == "in a stack":
        return request.getfixturevalue("segmentation").rapport  # type: ignore[no-any-return]
    return run_alone


def test_the_example_passes(rapport: Run) -> None:
    ran = rapport("segments", "test", str(EXAMPLE))
    assert (ran.code, ran.err) == (0, "")
    assert "16 cases" in ran.out
    assert "16 ok, 0 failed" in ran.out
    assert "did you mean order_placed?" in ran.out


def test_failures_end_with_status_1_and_json_is_all_there_is(rapport: Run, folder: Path) -> None:
    file = folder / "cases.yaml"
    file.write_text(
        """
attributes: {country: string}
cases:
  - {name: Đà Nẵng, rule: contact.country == "NO", contact: {country: NO}, expect: member}
  - {name: wrong, rule: contact.age > 3, expect: not_member}
  - {name: typo, rule: contact.agee > 3, expect: invalid}
""",
        encoding="utf-8",
    )
    ran = rapport("segments", "test", "cases.yaml", "--json")
    assert (ran.code, ran.err) == (1, "")
    assert json.loads(ran.out) == [
        {"name": "Đà Nẵng", "sql": "member", "cel": "member", "expected": "member", "ok": True},
        {"name": "wrong", "sql": "unknown", "cel": "unknown", "expected": "not_member", "ok": False},
        {"name": "typo", "sql": "invalid", "cel": "invalid", "expected": "invalid", "ok": True},
    ]
    shown = rapport("segments", "test", "cases.yaml")
    assert shown.code == 1
    assert "wrong (line 5): expected not_member, it is unknown" in shown.out
    assert "typo (line 6): line 1, column 8" in shown.out
    assert "3 cases" in shown.out
    assert "2 ok, 1 failed" in shown.out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"cases: [{name: x, rule: 'true'}]", "cases.yaml, line 1, case 'x': expect is missing"),
        (b"cases:\n  - [", "cases.yaml, line 2: this is no YAML"),
        (b"", "cases.yaml, line 1: the file is empty"),
        (b"cases:\n- \xff", "cases.yaml, line 2: this is not UTF-8"),
        (
            b"attributes: {age: string}\ncases: [{name: x, rule: 'true', expect: member}]",
            "line 1: attribute 'age'",
        ),
        (b"#" * 500_001, "at most 500000"),
    ],
    ids=["case", "yaml", "empty", "bytes", "collision", "long"],
)
def test_a_wrong_file_ends_with_status_2(
    segmentation: Office, folder: Path, content: bytes, said: str
) -> None:
    (folder / "cases.yaml").write_bytes(content)
    for rapport in (segmentation.rapport, run_cli) if b"age" not in content else (segmentation.rapport,):
        with patch.object(
            EmbeddedPostgres, "start", side_effect=AssertionError("no server is needed for this")
        ):
            ran = rapport("segments", "test", "cases.yaml")
        assert (ran.code, ran.out) == (2, "")
        assert said in ran.err


@pytest.mark.parametrize("arguments", [(), ("none.yaml",), (".",), ("a.yaml", "b.yaml")], ids=str)
def test_wrong_usage_ends_with_status_2(folder: Path, arguments: tuple[str, ...]) -> None:
    ran = run_cli("segments", "test", *arguments)
    assert (ran.code, ran.out) == (2, "")


def test_a_stack_that_was_stopped_is_not_needed(folder: Path) -> None:
    """Its file is there, but nobody answers; an address that is given must answer."""
    (folder / ".rapport").mkdir()
    access = {"address": "127.0.0.1:1", "events_address": "", "base_port": 7400, "token": "x"}
    (folder / ".rapport" / "client.json").write_text(json.dumps(access))
    file = folder / "cases.yaml"
    file.write_text("cases: [{name: x, rule: 'true', expect: member}]")
    ran = run_alone("segments", "test", "cases.yaml")
    assert (ran.code, ran.err) == (0, "")
    assert "no stack is up" in ran.out
    refused = run_cli("segments", "test", "cases.yaml", environment={"RAPPORT_ADDRESS": "127.0.0.1:1"})
    assert refused.code == 1
    assert "rapport: " in refused.err


def test_a_wrong_token_is_said(segmentation: Office, folder: Path) -> None:
    (folder / "cases.yaml").write_text("cases: [{name: x, rule: 'true', expect: member}]")
    ran = segmentation.rapport("segments", "test", "cases.yaml", token="wrong")
    assert ran.code == 1
    assert "token" in ran.err
