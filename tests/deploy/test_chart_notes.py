"""What helm says after an install."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.tools import facts
from services.kit.config import Settings
from tests.deploy.conftest import Release


@pytest.fixture(scope="module")
def notes(helm_binary: Path) -> Callable[..., str]:
    """Return the notes for values of `ci/`, by name, with values over them; no cluster is asked."""

    def noted(name: str, **values: Any) -> str:
        command = [str(helm_binary), "install", "rapport", str(facts.CHART), "--namespace", "crm"]
        command += ["--dry-run=client", "--values", str(facts.CHART / "ci" / f"{name}.yaml")]
        for key, value in values.items():
            command += ["--set-json", f"{key.replace('__', '.')}={json.dumps(value)}"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        return result.stdout.partition("\nNOTES:\n")[2]

    return noted


@pytest.mark.parametrize("name", ["trial", "existing-secrets"])
def test_they_say_how_many_connections_the_databases_must_have(
    name: str, notes: Callable[..., str], render: Callable[..., Release]
) -> None:
    each = Settings(base_port=7400).database_pool_size + 4
    # One more of each while pods are replaced.
    deployments = render(name).of("Deployment").values()
    most = sum((one["spec"]["replicas"] + 1) * each for one in deployments)
    assert f" {most} at the most" in notes(name)
    autoscaled = notes(name, roles__sender__autoscaling={"enabled": True, "maxReplicas": 40})
    replicas = render(name).of("Deployment")["rapport-campaign-sender"]["spec"]["replicas"]
    assert f" {most + (40 - replicas) * each} at the most" in autoscaled


def test_they_say_what_a_client_needs(notes: Callable[..., str]) -> None:
    assert "RAPPORT_ADDRESS=rapport-{service}.crm:{port}" in notes("existing-secrets")
    assert "RAPPORT_TLS" not in notes("existing-secrets")
    mutual = notes("production")
    assert "RAPPORT_TLS_CA_FILE" in mutual
    assert "RAPPORT_TLS_KEY_FILE" in mutual
    assert "RAPPORT_TLS_KEY_FILE" not in notes("production", secrets__tls__requireClientCertificates=False)


def test_they_say_when_links_lead_nowhere(notes: Callable[..., str]) -> None:
    url = "https://go.example.com"
    assert "roles.web.enabled" in notes("production", settings__publicWebUrl=url)
    assert "publicWebUrl" in notes("production", roles__web__enabled=True)
    on = {"settings__publicWebUrl": url, "services__campaign__web": {"enabled": True}}
    assert "Web" not in notes("production", **on)
    ingress = {"webService__ingress": {"enabled": True, "host": "go.example.com"}}
    assert "settings.webProxies" in notes("production", **on, **ingress)
