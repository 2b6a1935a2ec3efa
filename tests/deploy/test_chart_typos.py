"""Values that Kubernetes would refuse after the databases were migrated, or, worse, read as something wider."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import yaml

from deploy.tools import facts

VALUES = facts.CHART / "ci" / "production.yaml"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        # A selector whose labels are dropped picks everything.
        ("networkPolicy.clients", [{"namespaceSelector": {"matchLabel": {"a": "b"}}}], "matchLabel"),
        ("networkPolicy.monitoring", [{"podSelectr": {}}], "podSelectr"),
        ("networkPolicy.clients", [{}], "/networkPolicy/clients/0"),
        ("networkPolicy.database.to", [{"ipBlock": {"cidr": "10.0.0.1"}}], "cidr"),
        ("networkPolicy.extraEgress", [{"from": []}], "from"),
        ("inboundMail.from", [{"ip": "192.0.2.1"}], "ip"),
        ("roles.api.resources.limits", {"memroy": "1Gi"}, "memroy"),
        ("roles.api.resources.limits", {"memory": "1 GB"}, "1 GB"),
        ("migrate.resources.requests", {"cpu": -1}, "cpu"),
        ("tolerations", [{"keyy": "a"}], "keyy"),
        ("roles.worker.tolerations", [{"effect": "NoScheduled"}], "effect"),
        ("extraEnv", [{"name": "A", "valueFrom": {"secretKeyReff": {}}}], "secretKeyReff"),
        ("extraVolumes", [{"secret": {"secretName": "a"}}], "name"),
        ("extraVolumeMounts", [{"name": "a", "mountpath": "/a"}], "mountpath"),
        ("affinity", {"nodeAfinity": {}}, "nodeAfinity"),
        ("image.pullSecrets", [{"nam": "a"}], "nam"),
        ("image.repository", "registry.example.com/a b", "repository"),
        ("podLabels", {"app.kubernetes.io/component": "a"}, "app.kubernetes.io/component"),
        ("backup.schedule", "every night", "schedule"),
        ("webService.ingress.host", "https://go.example.com", "host"),
        ("fullnameOverride", "4shop", "fullnameOverride"),
        ("roles.api.autoscaling", {"enabled": True, "minReplicas": 5, "maxReplicas": 2}, "minReplicas"),
    ],
)
def test_a_slip_is_refused_before_anything_is_done(
    name: str, value: Any, problem: str, run_helm: Any
) -> None:
    result = run_helm(VALUES, values={name: value})
    assert result.returncode != 0
    assert problem in result.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("networkPolicy.clients", [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"a": "b"}}}]),
        ("networkPolicy.database.to", [{"ipBlock": {"cidr": "fd00::/8", "except": ["fd00:1::/32"]}}]),
        ("networkPolicy.extraEgress", [{"ports": [{"port": "amqp", "protocol": "TCP"}]}]),
        ("roles.api.resources.requests", {"cpu": 0.5, "memory": 268435456, "example.com/gpu": 1}),
        ("roles.api.resources.limits", {"memory": "1.5Gi", "ephemeral-storage": "2Gi"}),
        ("extraVolumes", [{"name": "a", "emptyDir": {}}, {"name": "b", "secret": {"secretName": "a"}}]),
        ("podLabels", {"app.kubernetes.io/part-of": "crm"}),
        ("backup.schedule", "@daily"),
        ("image.repository", "registry.example.com:5000/crm/rapport_x"),
    ],
)
def test_what_kubernetes_takes_is_taken(name: str, value: Any, run_helm: Any) -> None:
    result = run_helm(VALUES, values={name: value})
    assert result.returncode == 0, result.stderr


def test_a_part_that_is_left_empty_is_named(helm_binary: Any, tmp_path: Any) -> None:
    # A key whose lines are all commented out takes the defaults away.
    command = [str(helm_binary), "template", "rapport", str(facts.CHART), "--values", str(VALUES)]
    for part in yaml.safe_load((facts.CHART / "values.yaml").read_text(encoding="utf-8")):
        (tmp_path / "empty.yaml").write_text(f"{part}:\n", encoding="utf-8")
        result = subprocess.run(
            [*command, "--values", str(tmp_path / "empty.yaml")], capture_output=True, text=True, check=False
        )
        assert result.returncode == 0 or f"missing property '{part}'" in result.stderr, part


@pytest.mark.parametrize("release", ["4shop", "my.shop"])
def test_a_release_whose_services_could_not_be_made_is_refused(release: str, helm_binary: Any) -> None:
    command = [str(helm_binary), "template", release, str(facts.CHART), "--values", str(VALUES)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "fullnameOverride" in result.stderr
    named = subprocess.run([*command, "--set", "fullnameOverride=shop"], capture_output=True, check=False)
    assert named.returncode == 0
