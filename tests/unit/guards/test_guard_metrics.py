"""Guards: every metric is documented, and alerts and dashboard ask for what there is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from ruamel.yaml import YAML

from services.kit import metrics as _kit  # noqa: F401 registers what is looked up
from services.kit.bus import metrics as _bus  # noqa: F401
from tests.support.measured import ROOT, asked_for, metrics

KIT, BUS = "services/kit/metrics.py", "services/kit/bus/metrics.py"
FOLDER = ROOT / "deploy/telemetry"
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(rapport_\w+)` \| (counter|gauge|histogram) \| (.*?) ?\| (.+) \|$", re.MULTILINE)
METRICS = metrics()
SERIES = {series: metric for metric in METRICS.values() for series in metric.series()}
ALERTS = YAML(typ="safe").load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
# What Prometheus adds by itself, and the bounds of a histogram.
ADDED = {"job", "instance", "le"}
# Each of these has few values: names of our own code, of plugins' channels, and of consumers, which are durable.
BOUNDED = {
    "method",
    "code",
    "consumer",
    "kind",
    "timer",
    "outcome",
    "channel",
    "state",
    "reason",
    "page",
    "plugin",
}


def test_every_metric_is_documented_as_it_is():
    documented = {name: (kind, labels) for name, kind, labels, _ in ROW.findall(PAGE)}
    defined = {
        name: (metric.kind, ", ".join(f"`{label}`" for label in metric.labels))
        for name, metric in METRICS.items()
    }
    assert documented == defined


def test_names_follow_the_conventions():
    for metric in METRICS.values():
        assert re.fullmatch(r"rapport(_[a-z]+)+", metric.name), metric
        assert metric.kind == "counter" or not metric.name.endswith("_total"), metric
        assert metric.kind != "histogram" or metric.name.endswith("_seconds"), metric
        assert not re.search(r"_(ms|millis|minutes|kb)(_|$)", metric.name), metric
        assert set(metric.labels) <= BOUNDED, f"{metric}: may a label have any number of values?"


def test_the_source_was_read_rightly():
    known = {family.name: family.type for family in REGISTRY.collect()}
    kit = [metric for metric in METRICS.values() if metric.where in (KIT, BUS)]
    assert len(kit) >= 9
    for metric in kit:
        assert known[metric.name.removesuffix("_total")] == metric.kind


def check(expression: str, where: str) -> None:
    found = list(asked_for(expression))
    assert found, where
    for series, labels in found:
        assert series in SERIES, f"{where}: {series} is no metric"
        unknown = labels - set(SERIES[series].labels) - ADDED
        assert not unknown, f"{where}: {series} has no label {unknown}"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_alert_asks_for_what_there_is_and_says_what_to_do(rule: dict[str, Any]):
    check(rule["expr"], rule["alert"])
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"].keys() == {"summary", "description"}
    assert rule["alert"] in PAGE


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_each_panel_asks_for_what_there_is(panel: dict[str, Any]):
    assert panel["targets"]
    for target in panel["targets"]:
        check(target["expr"], panel["title"])
        assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        legend = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        grouped = {
            label.strip()
            for group in re.findall(r"by \(([^)]*)\)", target["expr"])
            for label in group.split(",")
        }
        assert legend <= grouped, f"{panel['title']}: the legend names what the expression drops"


def test_the_dashboard_is_sound():
    assert DASHBOARD["schemaVersion"] >= 39
    assert [item["name"] for item in DASHBOARD["templating"]["list"]] == ["datasource"]
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Calls", "Events", "Processes", "Segmentation", "Care", "Campaign", "Links"]
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert not cells & taken, f"{panel['title']} lies over another"
        taken |= cells


def test_every_metric_is_looked_at():
    """What neither alert nor panel shows is measured for nobody."""
    expressions = [rule["expr"] for rule in RULES] + [
        target["expr"] for panel in PANELS for target in panel["targets"]
    ]
    seen = {SERIES[series].name for expression in expressions for series, _ in asked_for(expression)}
    assert METRICS.keys() - seen == {"rapport_dead_letters_total"}  # those kept are shown


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("rate(rapport_no_such_total[5m])", "is no metric"),
        ('rapport_outbox_waiting_events{channel="x"}', "has no label"),
        ("sum by (x (rapport_outbox_waiting_events)", "parenthesis"),
    ],
)
def test_the_guard_sees_mistakes(expression: str, problem: str):
    with pytest.raises((AssertionError, ValueError), match=problem):
        check(expression, "here")


def promtool() -> str | None:
    built = ROOT / ".build/promtool"
    return str(built) if built.exists() else shutil.which("promtool")


def run_promtool(*arguments: str, folder: Path = FOLDER) -> subprocess.CompletedProcess[str]:
    tool = promtool()
    if tool is None:
        assert os.environ.get("RAPPORT_TEST_REQUIRE_PROMTOOL") != "1", "no promtool: run `make promtool`"
        pytest.skip("no promtool on this machine: `make promtool` fetches it")
    return subprocess.run(
        [tool, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def test_prometheus_takes_the_rules_and_they_alarm_when_they_should():
    checked = run_promtool("check", "rules", "alerts.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = run_promtool("test", "rules", "alerts.test.yaml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_the_tests_of_the_rules_notice_a_changed_rule(tmp_path: Path):
    text = (FOLDER / "alerts.yaml").read_text(encoding="utf-8")
    (tmp_path / "alerts.yaml").write_text(
        text.replace("rapport_consumer_lag_seconds) > 300", "rapport_consumer_lag_seconds) > 200")
    )
    shutil.copy(FOLDER / "alerts.test.yaml", tmp_path)
    tested = run_promtool("test", "rules", "alerts.test.yaml", folder=tmp_path)
    assert tested.returncode == 1
    assert "care.on_contacts" in tested.stdout + tested.stderr


def test_each_alert_has_a_test():
    tests = (FOLDER / "alerts.test.yaml").read_text(encoding="utf-8")
    assert {rule["alert"] for rule in RULES if rule["alert"] not in tests} == set()
