"""The network policies: all that the code needs can pass, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deploy.tools import facts
from services.kit.auth import SERVICE_PERMISSIONS
from services.kit.config import SERVICES
from tests.deploy.conftest import Release
from tests.deploy.test_chart_manifests import COMPONENTS, labels_match

Render = Callable[..., Release]
STRANGER = {"app.kubernetes.io/name": "shop"}
CLIENT = {"rapport-client": "true"}


class Net:
    """Decide what may pass between pods of a namespace, as Kubernetes does."""

    def __init__(self, release: Release) -> None:
        self.policies = list(release.of("NetworkPolicy").values())
        self.ports: dict[str, dict[str, int]] = {}
        self.labels: dict[str, dict[str, str]] = {}
        for name, pod in release.pods().items():
            self.labels[name] = pod["metadata"]["labels"]
            self.ports[name] = {
                port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0].get("ports", ())
            }

    def passes(self, source: str | dict[str, str], target: str, port: str) -> bool:
        """Tell whether a pod of the release, or one with such labels, reaches a port of another."""
        number = self.ports[target][port]
        if isinstance(source, dict):
            return self._allows("ingress", target, source, port, number)
        there = self._allows("egress", source, self.labels[target], port, number)
        return there and self._allows("ingress", target, self.labels[source], port, number)

    def rules(self, direction: str, pod: str) -> Iterator[dict[str, Any]]:
        """Yield the rules of a direction that are in force for a pod."""
        covered = False
        for policy in self.policies:
            spec = policy["spec"]
            if not labels_match(spec["podSelector"], self.labels[pod]):
                continue
            covered = covered or direction.capitalize() in spec["policyTypes"]
            yield from spec.get(direction, ())
        assert covered, f"no policy covers {pod}: all may pass"

    def _allows(self, direction: str, pod: str, other: dict[str, str], port: str, number: int) -> bool:
        peers_key = "from" if direction == "ingress" else "to"
        for rule in self.rules(direction, pod):
            ports = [one["port"] for one in rule.get("ports", ())]
            # Outgoing ports are numbers: a name means nothing for pods elsewhere.
            if direction == "egress":
                assert all(isinstance(one, int) for one in ports)
            if ports and number not in ports and port not in ports:
                continue
            peers = rule.get(peers_key)
            if peers is None:
                return True
            for peer in peers:
                here = "podSelector" in peer and "namespaceSelector" not in peer
                if here and labels_match(peer["podSelector"], other):
                    return True
        return False


@pytest.fixture(scope="module")
def net(render: Render) -> Net:
    return Net(render("existing-secrets"))


def pods(service: str) -> list[str]:
    return [f"rapport-{one}-{role}" for one, role in COMPONENTS if one == service]


def test_all_pods_are_covered_both_ways(net: Net) -> None:
    assert "rapport-migrate" in net.labels
    for pod in net.labels:
        list(net.rules("ingress", pod))
        list(net.rules("egress", pod))


def test_calls_pass_where_the_code_makes_them_and_nowhere_else(net: Net) -> None:
    for service in SERVICES:
        for other in SERVICES:
            for pod in pods(service):
                assert net.passes(pod, f"rapport-{other}-api", "grpc") == (other in facts.calls(service)), (
                    pod,
                    other,
                )
                follows = pod.endswith("-worker") and other in facts.follows(service)
                assert net.passes(pod, f"rapport-{other}-api", "events") == follows, (pod, other)


def test_what_the_code_calls_is_what_its_token_permits() -> None:
    # A call that the facts did not see would have a permission all the same.
    for service, permissions in SERVICE_PERMISSIONS.items():
        permitted = {one.partition(".")[0] for one in permissions} - {"events"}
        assert set(facts.calls(service)) <= permitted
        # What only a subscription asks for, such as the reading of orders, needs no way to the API.
        assert permitted - set(facts.calls(service)) <= set(facts.follows(service))
        assert facts.follows(service)


def test_others_get_in_as_clients_alone_and_to_apis_alone(net: Net) -> None:
    for service in SERVICES:
        for port in ("grpc", "events"):
            assert net.passes(CLIENT, f"rapport-{service}-api", port)
            assert not net.passes(STRANGER, f"rapport-{service}-api", port)
    for pod, ports in net.ports.items():
        if "metrics" in ports:
            assert not net.passes(CLIENT, pod, "metrics")
            assert not net.passes("rapport-care-api", pod, "metrics")


def open_ports(net: Net, pod: str) -> set[int]:
    """Return the ports on which a pod may reach any address."""
    return {port["port"] for rule in net.rules("egress", pod) if "to" not in rule for port in rule["ports"]}


def test_all_reach_the_database_and_senders_reach_mail_servers(net: Net, render: Render) -> None:
    for pod in net.labels:
        expected = {5432, 25, 465, 587, 443} if pod == "rapport-campaign-sender" else {5432}
        assert open_ports(net, pod) == expected
        assert 53 in {port["port"] for rule in net.rules("egress", pod) for port in rule["ports"]}
    production = Net(render("production"))
    for pod in production.labels:
        broker = {5672, 5671}
        assert open_ports(production, pod) >= broker
        assert 5432 not in open_ports(production, pod)
        ports = {port["port"] for rule in production.rules("egress", pod) for port in rule["ports"]}
        assert {5432, 4318} <= ports


def test_migrations_reach_the_databases_before_the_policies_of_the_release_are_there(render: Render) -> None:
    to = [{"ipBlock": {"cidr": "10.9.0.0/16"}}]
    release = render("existing-secrets", networkPolicy__database={"to": to, "ports": [6432]})
    job = release.of("Job")["rapport-migrate"]["metadata"]["annotations"]
    hooks = [one for one in release.of("NetworkPolicy").values() if "annotations" in one["metadata"]]
    for one in hooks:
        about = one["metadata"]["annotations"]
        assert about["helm.sh/hook"] == job["helm.sh/hook"]
        assert int(about["helm.sh/hook-weight"]) < int(job["helm.sh/hook-weight"])
    before = Net(release)
    before.policies = hooks
    rules = list(before.rules("egress", "rapport-migrate"))
    assert {"to": to, "ports": [{"port": 6432, "protocol": "TCP"}]} in rules
    assert any({"port": 53, "protocol": "UDP"} in rule["ports"] for rule in rules)
    assert not render("trial").of("NetworkPolicy")


def test_apis_reach_who_signs_people_in_and_all_reach_the_collector_of_traces(render: Render) -> None:
    closed = Net(render("existing-secrets"))
    settings = {"oidcIssuer": "https://sign-in.example.com:8443/realms/crm", "oidcAudience": ["crm"]}
    opened = Net(render("existing-secrets", settings={**settings, "otlpEndpoint": "http://collector:4318"}))
    keys = {**settings, "oidcJwksUrl": "https://keys.example.com/jwks"}
    by_both = Net(render("existing-secrets", settings=keys))
    for pod in closed.labels:
        signs_in = {8443} if pod.endswith("-api") else set()
        assert open_ports(opened, pod) == open_ports(closed, pod) | signs_in | {4318}
        elsewhere = {8443, 443} if pod.endswith("-api") else set()
        assert open_ports(by_both, pod) == open_ports(closed, pod) | elsewhere
    to = [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
    narrow = Net(
        render(
            "existing-secrets",
            settings=settings,
            networkPolicy__identityProvider={"to": to, "ports": [9443]},
        )
    )
    assert {"ports": [{"port": 9443, "protocol": "TCP"}], "to": to} in list(
        narrow.rules("egress", "rapport-sales-api")
    )
    assert open_ports(narrow, "rapport-sales-api") == open_ports(closed, "rapport-sales-api")


def test_mail_from_anywhere_reaches_care_where_it_is_taken(render: Render) -> None:
    production = Net(render("production"))
    assert production.passes(STRANGER, "rapport-care-api", "smtp")
    assert not production.passes(STRANGER, "rapport-care-api", "grpc")


def test_policies_can_be_left_out(render: Render) -> None:
    assert not render("trial").of("NetworkPolicy")
