"""A bad setting is named with its variable, before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import run_cli

BAD = {
    "RAPPORT_BASE_PORT": ["abc", "0", "99999", "7400.5"],
    "RAPPORT_CLOCK": [
        "nonsense",
        "fixed:",
        "fixed:2020-01-01T00:00:00",
        "offset:inf",
        "offset:1e12",
        "offset:x",
    ],
    "RAPPORT_TIME_ZONE": ["Mars", "../etc/passwd", "Mars/Base"],
    "RAPPORT_LOG_LEVEL": ["LOUD"],
    "RAPPORT_DEFAULT_REGION": ["Vietnam", "vn", "V1"],
    "RAPPORT_OTLP_ENDPOINT": ["collector:4318"],
    "RAPPORT_LOG_FORMAT": ["xml"],
    "RAPPORT_GRPC_THREADS": ["0", "-1"],
    "RAPPORT_SHUTDOWN_GRACE_SECONDS": ["-1", "soon"],
    "RAPPORT_MAX_MESSAGE_BYTES": ["1"],
}


@pytest.mark.parametrize("command", [("up",), ("migrate",), ("demo",), ("plugins", "check")], ids=" ".join)
def test_every_bad_variable_is_named_at_once(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    ran = run_cli(*command, environment={"RAPPORT_BASE_PORT": "abc", "RAPPORT_TIME_ZONE": "Mars"})
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("rapport: bad settings: ")
    for part in ("RAPPORT_BASE_PORT", "'abc'", "RAPPORT_TIME_ZONE", "'Mars'"):
        assert part in ran.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("variable", "value"), [(variable, value) for variable, values in BAD.items() for value in values]
)
def test_a_bad_value_is_refused(variable: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    ran = run_cli("up", environment={variable: value})
    assert ran.code == 1
    assert f" {variable}: " in ran.err
    assert repr(value) in ran.err
    assert list(tmp_path.iterdir()) == []


def test_a_clock_file_that_is_not_there_is_named(tmp_path: Path):
    missing = tmp_path / "clock"
    ran = run_cli(
        "up", environment={"RAPPORT_CLOCK": f"file:{missing}", "RAPPORT_DATA_DIR": str(tmp_path / "data")}
    )
    assert ran.code == 1
    assert f"RAPPORT_CLOCK: cannot read {missing}" in ran.err
