"""The rendered chart. helm comes from the PATH or from a pinned package; without both the tests are skipped, or fail
when RAPPORT_TEST_REQUIRE_HELM is 1."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.tools import facts, helm

CI_VALUES = sorted((facts.CHART / "ci").glob("*.yaml"))


class Release:
    """The manifests of one rendering."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.all: list[dict[str, Any]] = [one for one in yaml.load_all(text, yaml.CSafeLoader) if one]

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the manifests of a kind, by name."""
        return {one["metadata"]["name"]: one for one in self.all if one["kind"] == kind}

    def pods(self) -> dict[str, dict[str, Any]]:
        """Return the pod templates of all Deployments, Jobs and CronJobs, by name."""
        found = {}
        for one in self.all:
            if one["kind"] in ("Deployment", "Job"):
                found[one["metadata"]["name"]] = one["spec"]["template"]
            elif one["kind"] == "CronJob":
                found[one["metadata"]["name"]] = one["spec"]["jobTemplate"]["spec"]["template"]
        return found


@pytest.fixture(scope="session")
def helm_binary() -> Path:
    """The path of helm."""
    try:
        return helm.find()
    except helm.NoHelm as error:
        if os.environ.get("RAPPORT_TEST_REQUIRE_HELM") == "1":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def run_helm(helm_binary: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `helm template` with value files and values, {dotted name: value}."""

    def run(
        *files: Path, chart: Path = facts.CHART, values: dict[str, Any] | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [str(helm_binary), "template", "rapport", str(chart), "--namespace", "crm"]
        for file in files:
            command += ["--values", str(file)]
        for name, value in (values or {}).items():
            command += ["--set-json", f"{name}={json.dumps(value)}"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def render(run_helm: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., Release]:
    """Render value files of `ci/`, by name, with values over them; the same rendering is made once."""

    @functools.cache
    def rendered(name: str, chart: Path, values: str) -> Release:
        result = run_helm(facts.CHART / "ci" / f"{name}.yaml", chart=chart, values=json.loads(values))
        assert result.returncode == 0, result.stderr
        return Release(result.stdout)

    def render(name: str, *, chart: Path = facts.CHART, **values: Any) -> Release:
        return rendered(
            name, chart, json.dumps({key.replace("__", "."): value for key, value in values.items()})
        )

    return render


@pytest.fixture(scope="session")
def web_chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart as it is once campaign has a web process and senders serve metrics, which an older code lacks."""
    chart = tmp_path_factory.mktemp("chart") / "rapport"
    shutil.copytree(facts.CHART, chart)
    path = chart / "files" / "rapport.json"
    known = json.loads(path.read_text(encoding="utf-8"))
    roles = known["services"]["campaign"]["roles"]
    roles["web"] = {"ports": {"http": 7446, "metrics": 7447}}
    roles["sender"] = {"ports": {"metrics": facts.SENDER_METRICS_PORT}}
    path.write_text(json.dumps(known), encoding="utf-8")
    return chart
