"""The rendered chart: what runs, how it is confined, asked, spread, scaled, found and reached."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from deploy.tools import facts
from services.cli.run import command
from services.kit.auth import SERVICE_PERMISSIONS, TokenStore
from services.kit.config import SERVICES, Settings
from tests.deploy.conftest import CI_VALUES, Release
from tests.support.cli import run_cli

NAMES = [path.stem for path in CI_VALUES]
COMPONENTS = [(service, role) for service in SERVICES for role in facts.roles(service) if role != "web"]
Render = Callable[..., Release]


def labels_match(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    for expression in selector.get("matchExpressions", ()):
        assert expression["operator"] == "In"
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def containers(release: Release) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for name, pod in release.pods().items():
        for container in pod["spec"].get("initContainers", []) + pod["spec"]["containers"]:
            yield name, pod["spec"], container


@pytest.mark.parametrize("name", NAMES)
def test_each_service_and_role_runs_once(name: str, render: Render) -> None:
    release = render(name)
    assert set(release.of("Deployment")) == {f"rapport-{service}-{role}" for service, role in COMPONENTS}
    assert set(release.of("Job")) == {"rapport-migrate"}
    assert {one["metadata"].get("namespace") for one in release.all} == {"crm"}


def test_each_process_is_one_that_the_code_has(render: Render) -> None:
    for service, role in COMPONENTS:
        pod = render("production").pods()[f"rapport-{service}-{role}"]
        (container,) = pod["spec"]["containers"]
        if "args" in container:
            assert container["args"] == ["run", service, role]
            assert command(service, role)
        else:
            # The options that follow the module are checked by running it: see test_image.py.
            assert container["command"][:3] == ["python", *command(service, role)[1:]]


@pytest.mark.parametrize("name", NAMES)
def test_pods_are_confined(name: str, render: Render) -> None:
    for pod_name, pod, container in containers(render(name)):
        security = {**pod["securityContext"], **container["securityContext"]}
        assert security["runAsNonRoot"] is True, pod_name
        assert security["runAsUser"] >= 10000
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["privileged"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert "/tmp" in mounts  # the one folder that can be written
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


@pytest.mark.parametrize("name", NAMES)
def test_accounts_config_and_secrets_that_pods_name_exist(name: str, render: Render) -> None:
    release = render(name)
    accounts, configs, own = release.of("ServiceAccount"), release.of("ConfigMap"), release.of("Secret")
    for pod_name, pod, container in containers(release):
        assert pod["serviceAccountName"] in accounts
        for source in container.get("envFrom", ()):
            if "configMapRef" in source:
                assert source["configMapRef"]["name"] in configs
        for entry in container["env"]:
            reference = entry.get("valueFrom", {}).get("secretKeyRef")
            if reference and reference["name"] in own:
                assert reference["key"] in own[reference["name"]]["stringData"], pod_name


@pytest.mark.parametrize("name", NAMES)
def test_a_process_gets_its_own_database_and_token_and_no_others(name: str, render: Render) -> None:
    pods = render(name).pods()
    for service, role in COMPONENTS:
        (container,) = pods[f"rapport-{service}-{role}"]["spec"]["containers"]
        secret = {
            entry["name"]: entry["valueFrom"]["secretKeyRef"]["key"]
            for entry in container["env"]
            if "valueFrom" in entry and entry["name"] != "RAPPORT_AMQP_URL"  # which all share
        }
        # In production a key is in the token's place: a Secret without tokens would keep pods from starting.
        token = {} if name == "production" else {"RAPPORT_TOKEN": f"{service.upper()}_TOKEN"}
        assert secret == {
            f"RAPPORT_{service.upper()}_DATABASE_URL": service,
            "RAPPORT_SECRET_KEY": "secret-key",
            **token,
        }
        mounts = {mount["name"] for mount in container["volumeMounts"]}
        assert ("tokens" in mounts) == (role == "api")
    (job,) = pods["rapport-migrate"]["spec"]["containers"]
    assert {entry["name"] for entry in job["env"]} == {
        f"RAPPORT_{service.upper()}_DATABASE_URL" for service in SERVICES
    }


def test_a_secret_that_is_named_is_taken_and_only_the_others_are_made(render: Render) -> None:
    named = {"databases": {"existingSecret": "theirs"}, "create": True, "databaseUrls": None}
    release = render("trial", secrets=named)
    made = release.of("Secret")["rapport-secrets"]["stringData"]
    assert {"secret-key", "tokens.json", "SALES_TOKEN"} <= set(made)
    assert not set(SERVICES) & set(made)
    for _, _, container in containers(release):
        for entry in container["env"]:
            if entry["name"].endswith("_DATABASE_URL"):
                assert entry["valueFrom"]["secretKeyRef"]["name"] == "theirs"
    for kind in ("tokens", "key"):
        other = render("trial", **{f"secrets__{kind}": {"existingSecret": "theirs"}})
        kept = set(other.of("Secret")["rapport-secrets"]["stringData"])
        assert ("secret-key" in kept) == (kind != "key")
        assert ("tokens.json" in kept) == ("OWNER_TOKEN" in kept) == (kind != "tokens")
    everything = {one: {"existingSecret": "theirs"} for one in ("databases", "tokens", "key")}
    assert not render("trial", secrets={**everything, "create": True, "databaseUrls": None}).of("Secret")


def test_services_with_keys_need_no_tokens(render: Render) -> None:
    release = render("production", secrets__tokens={"existingSecret": ""})
    assert "RAPPORT_TOKENS_FILE" not in release.of("ConfigMap")["rapport-settings"]["data"]
    for _, pod, _ in containers(release):
        assert "tokens" not in {volume["name"] for volume in pod["volumes"]}
    assert "RAPPORT_TOKENS_FILE" in render("production").of("ConfigMap")["rapport-settings"]["data"]


def test_migrations_come_before_everything_and_never_in_a_replica(render: Render) -> None:
    for name in NAMES:
        release = render(name)
        job = release.of("Job")["rapport-migrate"]
        hooks = job["metadata"]["annotations"]["helm.sh/hook"].split(",")
        assert {"pre-install", "pre-upgrade"} == set(hooks)
        weight = int(job["metadata"]["annotations"]["helm.sh/hook-weight"])
        pod = job["spec"]["template"]["spec"]
        assert pod["containers"][0]["args"] == ["migrate"]
        # Its log says what is to be done next: it outlives a success.
        assert job["metadata"]["annotations"]["helm.sh/hook-delete-policy"] == "before-hook-creation"
        assert job["spec"]["ttlSecondsAfterFinished"] >= 86400
        needed = [release.of("ServiceAccount")[pod["serviceAccountName"]], *release.of("Secret").values()]
        for one in needed:
            assert int(one["metadata"]["annotations"]["helm.sh/hook-weight"]) < weight
        assert not any("configMapRef" in source for source in pod["containers"][0].get("envFrom", ()))
        for other, spec, container in containers(release):
            assert "initContainers" not in spec
            if other != "rapport-migrate":
                assert "migrate" not in json.dumps([container.get("args"), container.get("command")])
    assert not render("trial", migrate__enabled=False).of("Job")
    taking = render("trial", migrate__contract=True).of("Job")["rapport-migrate"]["spec"]["template"]["spec"]
    assert taking["containers"][0]["args"] == ["migrate", "--contract"]


@pytest.mark.parametrize("name", NAMES)
def test_each_process_is_asked_on_a_port_that_it_has(name: str, render: Render) -> None:
    settings = Settings(base_port=7400)
    for service, role in COMPONENTS:
        (container,) = render(name).pods()[f"rapport-{service}-{role}"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
        assert {key: port for key, port in ports.items() if key != "smtp"} == {
            key: port for key, port in facts.ports(service, role).items() if key != "smtp"
        }
        if not ports:
            assert container["readinessProbe"]["exec"]["command"][-1] == container["command"][-1]
            continue
        if role == "api":
            # Kubernetes cannot ask by gRPC with TLS, which production speaks.
            if name == "production":
                assert container["readinessProbe"]["httpGet"]["port"] == "metrics"
            else:
                assert container["readinessProbe"]["grpc"] == {"port": settings.port(service)}
            assert container["lifecycle"]["preStop"]["sleep"]["seconds"] > 0
        for probe in ("startupProbe", "livenessProbe"):
            assert container[probe]["httpGet"] == {"path": "/healthz", "port": "metrics"}
        # An alive process may be unready for longer than it is given to stop being so.
        alive, ready = container["livenessProbe"], container["readinessProbe"]
        assert alive["failureThreshold"] * alive["periodSeconds"] >= 30
        assert ready["failureThreshold"] * ready["periodSeconds"] <= 15


def test_readiness_can_be_asked_without_grpc(render: Render) -> None:
    pods = render("trial", apiReadiness="http").pods()
    for service in SERVICES:
        (container,) = pods[f"rapport-{service}-api"]["spec"]["containers"]
        assert container["readinessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}


def test_what_is_encrypted_is_not_taken_for_plain(render: Render) -> None:
    # Kubernetes would ask without TLS, and no release would ever be ready.
    release = render("existing-secrets", secrets__tls={"existingSecret": "tls"})
    for service in SERVICES:
        (container,) = release.pods()[f"rapport-{service}-api"]["spec"]["containers"]
        assert "grpc" not in container["readinessProbe"]
        ports = release.of("Service")[f"rapport-{service}"]["spec"]["ports"]
        assert not any("appProtocol" in port for port in ports)
        plain = render("existing-secrets").of("Service")[f"rapport-{service}"]["spec"]["ports"]
        assert [port.get("appProtocol") for port in plain].count("kubernetes.io/h2c") == 2


@pytest.mark.parametrize(("grace", "at_least"), [(10, 25), (12.5, 30), (60, 125)])
def test_pods_have_time_to_stop(grace: float, at_least: float, render: Render) -> None:
    deployments = render("existing-secrets", settings={"shutdownGraceSeconds": grace}).of("Deployment")
    for service, role in COMPONENTS:
        pod = deployments[f"rapport-{service}-{role}"]["spec"]["template"]["spec"]
        # Calls and event streams one after the other, and the delay before them.
        assert pod["terminationGracePeriodSeconds"] >= (120 if role == "sender" else at_least)


@pytest.mark.parametrize("name", NAMES)
def test_selectors_pick_their_pods_and_no_others(name: str, render: Render) -> None:
    release = render(name)
    pods = {pod_name: pod["metadata"]["labels"] for pod_name, pod in release.pods().items()}
    for deployment, manifest in release.of("Deployment").items():
        selector = manifest["spec"]["selector"]
        assert [pod for pod, labels in pods.items() if labels_match(selector, labels)] == [deployment]
        spread = manifest["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert {one["topologyKey"] for one in spread} == {
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        }
        assert all(labels_match(one["labelSelector"], pods[deployment]) for one in spread)
    for service, manifest in release.of("Service").items():
        selector = {"matchLabels": manifest["spec"]["selector"]}
        (picked,) = [pod for pod, labels in pods.items() if labels_match(selector, labels)]
        (container,) = release.pods()[picked]["spec"]["containers"]
        ports = {port["name"] for port in container["ports"]}
        assert {port["targetPort"] for port in manifest["spec"]["ports"]} <= ports, service


@pytest.mark.parametrize("name", NAMES)
def test_drains_and_scaling_fit(name: str, render: Render) -> None:
    release = render(name)
    scaled = {
        one["spec"]["scaleTargetRef"]["name"]: one["spec"]
        for one in release.of("HorizontalPodAutoscaler").values()
    }
    budgets = release.of("PodDisruptionBudget")
    for deployment, manifest in release.of("Deployment").items():
        spec = manifest["spec"]
        # A number of replicas beside an autoscaler would be fought over at each upgrade.
        assert ("replicas" in spec) == (deployment not in scaled)
        if deployment in scaled:
            assert scaled[deployment]["minReplicas"] <= scaled[deployment]["maxReplicas"]
        fewest = scaled[deployment]["minReplicas"] if deployment in scaled else spec["replicas"]
        assert (deployment in budgets) == (fewest > 1)
        if deployment in budgets:
            budget = budgets[deployment]["spec"]
            assert 1 <= budget["maxUnavailable"] < fewest
            labels = spec["template"]["metadata"]["labels"]
            assert labels_match(budget["selector"], labels)
    assert set(scaled) <= set(release.of("Deployment"))
    if name == "production":
        assert "rapport-contacts-api" in scaled
        assert release.of("Deployment")["rapport-sales-api"]["spec"]["replicas"] == 3


def test_the_secrets_of_a_trial_are_those_that_the_code_takes(render: Render, tmp_path: Path) -> None:
    made = render("trial").of("Secret")["rapport-secrets"]["stringData"]
    file = tmp_path / "tokens.json"
    file.write_text(made["tokens.json"], encoding="utf-8")
    store = TokenStore(file)
    for service, permissions in SERVICE_PERMISSIONS.items():
        found = store.find(made[f"{service.upper()}_TOKEN"])
        assert found is not None
        assert (found.name, found.permissions) == (f"service:{service}", permissions)
    owner = store.find(made["OWNER_TOKEN"])
    assert owner is not None
    assert owner.may("anything")
    tokens = [value for name, value in made.items() if name.endswith("_TOKEN")]
    assert len(set(tokens)) == len(SERVICES) + 1
    assert all(len(value) >= 40 for value in [*tokens, made["secret-key"]])
    assert not any(token in made["tokens.json"] for token in tokens)
    assert sha256(tokens[0].encode()).hexdigest() in made["tokens.json"]


def test_metrics_of_all_are_scraped(render: Render) -> None:
    release = render("production")
    monitor = release.of("ServiceMonitor")["rapport"]["spec"]
    assert [endpoint["port"] for endpoint in monitor["endpoints"]] == ["metrics"]
    scraped = {
        manifest["metadata"]["labels"]["app.kubernetes.io/component"]
        for manifest in release.of("Service").values()
        if labels_match(monitor["selector"], manifest["metadata"]["labels"])
        and "metrics" in [port["name"] for port in manifest["spec"]["ports"]]
    }
    assert scraped == {
        f"{service}-{role}" for service, role in COMPONENTS if "metrics" in facts.ports(service, role)
    }


def test_mail_comes_in_where_it_is_asked_for(render: Render) -> None:
    release = render("production")
    mail = release.of("Service")["rapport-mail"]["spec"]
    assert (mail["type"], mail["ports"]) == (
        "LoadBalancer",
        [{"name": "smtp", "port": 25, "targetPort": "smtp"}],
    )
    assert release.of("ConfigMap")["rapport-settings"]["data"]["RAPPORT_INBOUND_MAIL_HOST"] == "0.0.0.0"
    closed = render("existing-secrets")
    assert "rapport-mail" not in closed.of("Service")
    (container,) = closed.pods()["rapport-care-api"]["spec"]["containers"]
    assert "smtp" not in [port["name"] for port in container["ports"]]


def test_the_web_process_has_a_service_and_an_ingress(render: Render, web_chart: Path) -> None:
    ingress = {"enabled": True, "className": "nginx", "host": "go.example.com", "tlsSecretName": "go"}
    release = render("production", chart=web_chart, roles__web__enabled=True, webService__ingress=ingress)
    (container,) = release.pods()["rapport-campaign-web"]["spec"]["containers"]
    assert container["args"] == ["run", "campaign", "web"]
    assert {"name": "RAPPORT_WEB_HOST", "value": "0.0.0.0"} in container["env"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/healthz"
    service = release.of("Service")["rapport-campaign-web"]["spec"]
    assert "clusterIP" not in service
    rule = release.of("Ingress")["rapport-campaign-web"]["spec"]
    assert rule["tls"] == [{"hosts": ["go.example.com"], "secretName": "go"}]
    (path,) = rule["rules"][0]["http"]["paths"]
    assert path["backend"]["service"] == {"name": "rapport-campaign-web", "port": {"name": "http"}}
    sender = release.pods()["rapport-campaign-sender"]["spec"]["containers"][0]
    assert sender["command"][-2:] == ["--metrics-port", str(facts.SENDER_METRICS_PORT)]
    assert sender["livenessProbe"]["httpGet"]["port"] == "metrics"
    policy = release.of("NetworkPolicy")["rapport-campaign-web"]["spec"]
    assert [rule["ports"][0]["port"] for rule in policy["ingress"]] == ["metrics", "http"]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"replicas": 3}, "replicas"),
        ({"settings": {"timezone": "UTC"}}, "timezone"),
        ({"settings": {"grpcThreads": 0}}, "grpcThreads"),
        ({"settings": {"logFormat": "xml"}}, "logFormat"),
        ({"plugins": {"email": {"smtpPassword": "secret"}}}, "smtpPassword"),
        ({"roles": {"api": {"replica": 2}}}, "replica"),
        ({"services": {"shop": {}}}, "shop"),
        ({"services": {"contacts": {"sender": {}}}}, "sender"),
        ({"secrets": {"databases": {"existingSecret": ""}}}, "secrets.databases.existingSecret"),
        ({"secrets": {"databaseUrls": {"care": "postgresql://x/y"}}}, "secrets.databaseUrls"),
        ({"webService": {"ingress": {"enabled": True, "host": "a.example"}}}, "roles.web.enabled"),
    ],
)
def test_wrong_values_are_refused_by_name(values: dict[str, Any], problem: str, run_helm: Any) -> None:
    result = run_helm(facts.CHART / "ci" / "existing-secrets.yaml", values=values)
    assert result.returncode != 0
    assert problem in result.stderr


def test_values_of_the_chart_are_all_in_its_schema() -> None:
    schema = json.loads(facts.SCHEMA.read_text(encoding="utf-8"))
    loose = []

    def visit(node: Any, where: str) -> None:
        if isinstance(node, dict):
            described = node.get("type") == "object" and "properties" in node
            if described and node.get("additionalProperties") is not False:
                loose.append(where)
            for key, value in node.items():
                visit(value, f"{where}/{key}")

    visit(schema, "")
    assert loose == []


@pytest.mark.parametrize("values", CI_VALUES, ids=NAMES)
def test_helm_finds_nothing_to_complain_of(values: Path, helm_binary: Path) -> None:
    lint = [str(helm_binary), "lint", "--strict", "--quiet", str(facts.CHART), "--values", str(values)]
    result = subprocess.run(lint, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "")


def test_an_upgrade_takes_no_place_from_running_pods(render: Render) -> None:
    for manifest in render("production").of("Deployment").values():
        assert manifest["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        annotations = manifest["spec"]["template"]["metadata"]["annotations"]
        assert re.fullmatch(r"[0-9a-f]{64}", annotations["checksum/settings"])
    for name, change in (
        ("production", {"settings__logLevel": "DEBUG"}),
        ("trial", {"secrets__databaseUrls__sales": "postgresql://other/sales"}),
    ):
        changed, same = (
            render(name, **values).of("Deployment")["rapport-sales-api"]["spec"]["template"]["metadata"]
            for values in (change, {})
        )
        assert changed["annotations"] != same["annotations"]


def test_backups_are_written_when_a_volume_is_named(render: Render) -> None:
    assert not render("trial").of("CronJob")
    jobs = render("production").of("CronJob")
    assert set(jobs) == {"rapport-backup", "rapport-erasures"}
    for name, job in jobs.items():
        pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        given = {item["name"] for item in container["env"]}
        # A restore is made of the same Job: it must find the queues that it empties.
        urls = {f"RAPPORT_{service.upper()}_DATABASE_URL" for service in SERVICES}
        assert given == urls | {"RAPPORT_AMQP_URL"}, name
        assert {"configMapRef": {"name": "rapport-settings"}} in container["envFrom"]
        (mount,) = [one for one in container["volumeMounts"] if one["name"] == "backups"]
        (volume,) = [one for one in pod["volumes"] if one["name"] == "backups"]
        assert volume["persistentVolumeClaim"] == {"claimName": "rapport-backups"}
        # The commands exist, with these options.
        folder, *options = container["args"][2:]
        assert folder.startswith(mount["mountPath"])
        helped = run_cli(*container["args"][:2], "--help")
        assert helped.code == 0
        assert all(option in helped.out for option in options if option.startswith("--")), helped.out
    with pytest.raises(AssertionError, match="existingClaim"):
        render("trial", backup__enabled=True)
