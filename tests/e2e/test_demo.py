"""The main job through the command line, on generated data and on the real file, checked against a plain count."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.demo.expect import expected_base, expected_segments
from services.demo.generate import generate
from services.demo.report import shortest
from tests.support.retail import real_retail

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(290)]

ROOT = Path(__file__).resolve().parents[2]


def run_demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAPPORT_")}
    return subprocess.run(
        [sys.executable, "-m", "services.cli", "demo", *arguments],
        cwd=ROOT,
        env=environment | {"RAPPORT_DATA_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def report_of(folder: Path, *arguments: str) -> dict[str, Any]:
    done = run_demo(folder, *arguments)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    report: dict[str, Any] = json.loads((folder / "demo.json").read_text())
    return report


def check_consistency(report: dict[str, Any]) -> None:
    messages, coupons = report["messages"], report["coupons"]
    assert messages["audience"] == report["segments"]["lapsed"]
    assert messages["sent"] + messages["suppressed"] + messages["failed"] == messages["audience"]
    assert messages["failed"] == messages["duplicates"] == 0
    assert report["journeys"] == {"started": 100, "thanked": 100}
    assert coupons["issued"] == messages["sent"] + report["journeys"]["thanked"]
    assert report["cases"] == {"opened": 24, "resolved": 18, "breached": 6}
    assert all(seconds >= 0 for seconds in report["seconds"].values())
    assert report["seconds_in_all"] == pytest.approx(sum(report["seconds"].values()), abs=0.01)
    assert len(report["currency"]) == 3


def test_generated_data(tmp_path: Path):
    report = report_of(tmp_path, "--customers", "400", "--seed", "7")
    dataset = generate(seed=7, customers=400)
    expected = expected_base(dataset)
    for key in ("customers", "orders", "returns", "lines_without_customer"):
        assert report[key] == getattr(expected, key), key
    assert report["revenue"] == shortest(expected.revenue)
    members = expected_segments(dataset.sales, dataset.visits, dataset.now)
    assert report["segments"] == {key: len(found) for key, found in members.items()}
    assert all(report["segments"].values())
    consenting = {person.number for person in dataset.people if person.consent is True}
    assert report["messages"]["sent"] == len(members["lapsed"] & consenting) > 0
    assert report["coupons"]["redeemed"] == 24
    check_consistency(report)


def test_the_real_file(tmp_path: Path):
    real = real_retail()
    report = report_of(tmp_path, "--data", str(real))
    assert report["customers"] == 4372
    assert report["orders"] == 18536
    assert report["returns"] == 3654
    assert report["lines_without_customer"] == 135080
    assert report["revenue"] == "8911407.904"
    assert report["segments"] == {
        "browsers": 0,
        "lapsed": 1449,
        "loyal": 787,
        "newcomers": 253,
        "repeat": 1020,
    }
    assert report["messages"]["sent"] == 1299
    assert report["messages"]["suppressed"] == 150
    assert report["coupons"]["redeemed"] == 36
    check_consistency(report)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"a,b\n1,2\n", "InvoiceNo"),
        (
            b"InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
            b"1,a,b,1,yesterday,1.0,7,France\n",
            "line 2",
        ),
    ],
    ids=["missing", "columns", "date"],
)
def test_a_bad_file_is_named_and_nothing_starts(tmp_path: Path, content: bytes | None, message: str):
    path = tmp_path / "orders.csv"
    if content is not None:
        path.write_bytes(content)
    earlier = tmp_path / "demo.json"
    earlier.write_text("{}")
    done = run_demo(tmp_path, "--data", str(path))
    assert done.returncode != 0
    assert message in " ".join(done.stderr.split())
    assert str(path) in done.stderr.replace("\n", "")
    assert earlier.read_text() == "{}"  # the report of an earlier run stays
