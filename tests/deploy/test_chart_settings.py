"""Guards: every setting of the code is in the chart, and every variable of the chart in the code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from deploy.tools import facts
from services.kit.config import SERVICES, Settings
from services.kit.plugins.discovery import installed_plugins
from tests.deploy.conftest import CI_VALUES, Release

SCHEMA = json.loads(facts.SCHEMA.read_text(encoding="utf-8"))
PASSED_ON = SCHEMA["properties"]["settings"]["properties"]
PLUGIN = "RAPPORT_PLUGIN_"
COMES_WITH_WEB = {"web_host"}
"""What code without campaign's web process does not know."""


def sample(described: dict[str, Any]) -> Any:
    """Return a value that the schema allows and that is not the default."""
    if "enum" in described:
        return described["enum"][-1]
    match described["type"]:
        case "integer":
            return described.get("maximum", 4_000_000)
        case "number":
            return described.get("maximum", 2.5)
        case "array":
            return ["one", "two"]
        case "boolean":
            return True
    if described.get("pattern") == "^(|[A-Z]{2})$":
        return "VN"
    # Of a pattern that lists what it takes, the last.
    listed = re.fullmatch(r"\^\((.*)\)\$", described.get("pattern", ""))
    return listed[1].rpartition("|")[2] if listed else "text"


def variables(release: Release) -> set[str]:
    found = {name for config in release.of("ConfigMap").values() for name in config.get("data") or {}}
    for pod in release.pods().values():
        for container in pod["spec"]["containers"]:
            found |= {entry["name"] for entry in container.get("env", ())}
    return found


def test_the_chart_is_what_the_code_says() -> None:
    for path, text in facts.written().items():
        assert path.read_text(encoding="utf-8") == text, (
            f"{path.name} is not what the code says: run `make chart`, and look at what changed"
        )


def test_each_setting_is_in_the_chart_or_has_a_reason_not_to_be() -> None:
    in_chart = {name for name in Settings.model_fields if facts.camel(name) in PASSED_ON}
    assert in_chart | set(facts.ELSEWHERE) >= set(Settings.model_fields)
    assert in_chart.isdisjoint(facts.ELSEWHERE)
    assert {facts.camel(name) for name in in_chart} == set(PASSED_ON)
    assert all(facts.ELSEWHERE.values())
    assert set(facts.ELSEWHERE) - set(Settings.model_fields) <= COMES_WITH_WEB


def test_each_setting_arrives_as_the_code_reads_it(render: Callable[..., Release]) -> None:
    values = {name: sample(described) for name, described in PASSED_ON.items()}
    data = render("existing-secrets", settings=values).of("ConfigMap")["rapport-settings"]["data"]
    for name in Settings.model_fields:
        if name in facts.ELSEWHERE:
            continue
        value = values[facts.camel(name)]
        expected = ",".join(value) if isinstance(value, list) else str(value)
        got = data[f"RAPPORT_{name.upper()}"]
        assert float(got) == value if isinstance(value, (int, float)) else got == expected, name
        assert "e+" not in got


def test_the_settings_of_plugins_arrive_and_their_secrets_have_no_place(
    render: Callable[..., Release],
) -> None:
    plugins = SCHEMA["properties"]["plugins"]["properties"]
    values = {
        plugin: {name: sample(described) for name, described in about["properties"].items()}
        for plugin, about in plugins.items()
    }
    data = render("existing-secrets", plugins=values).of("ConfigMap")["rapport-plugins"]["data"]
    declared = {
        setting.variable(plugin): setting.secret
        for plugin, settings in facts.plugin_settings().items()
        for setting in settings
    }
    assert set(data) == {name for name, secret in declared.items() if not secret}
    assert any(declared.values())


def test_the_built_in_plugins_are_all_there() -> None:
    found = {one.name for one in installed_plugins() if one.distribution == "rapport-builtin"}
    assert set(facts.plugin_settings()) == found
    assert found


@pytest.mark.parametrize("name", [path.stem for path in CI_VALUES])
def test_no_variable_of_the_chart_is_unknown_to_the_code(name: str, render: Callable[..., Release]) -> None:
    known = {f"RAPPORT_{field.upper()}" for field in Settings.model_fields}
    found = variables(render(name))
    assert {one for one in found if not one.startswith(PLUGIN)} <= known
    elsewhere = {one for one in found if one.removeprefix("RAPPORT_").lower() in facts.ELSEWHERE}
    assert {f"RAPPORT_{service.upper()}_DATABASE_URL" for service in SERVICES} <= elsewhere
    assert {"RAPPORT_HOST", "RAPPORT_ADDRESS", "RAPPORT_SECRET_KEY"} <= elsewhere
    assert elsewhere & {"RAPPORT_TOKEN", "RAPPORT_SERVICE_KEY_FILE"}


def test_the_settings_that_the_chart_makes_are_good_ones(
    render: Callable[..., Release], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in render("production").of("ConfigMap")["rapport-settings"]["data"].items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    services = render("production").of("Service")
    for service in SERVICES:
        for address, port in (
            (settings.service_address(service), settings.port(service)),
            (settings.service_events_address(service), settings.events_port(service)),
        ):
            host, _, number = address.partition(":")
            assert int(number) == port
            assert port in [one["port"] for one in services[host]["spec"]["ports"]]


@pytest.mark.parametrize(
    "secret", ["smtp_password", "second_amqp_url", "otlp_token", "jwt_private_key", "secrets_x"]
)
def test_a_new_secret_is_not_taken_for_a_setting(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {**Settings.model_fields, secret: Settings.model_fields["log_level"]}
    monkeypatch.setattr(Settings, "__pydantic_fields__", fields)
    with pytest.raises(ValueError, match=secret):
        facts.settings_schema()


def test_certificates_keys_and_the_broker_come_from_secrets(render: Callable[..., Release]) -> None:
    for name, pod in render("production").pods().items():
        if pod["metadata"]["labels"]["rapport/role"] in ("migrate", "backup"):
            continue
        service = pod["metadata"]["labels"]["rapport/service"]
        [container] = pod["spec"]["containers"]
        given = {one["name"]: one for one in container["env"]}
        assert given["RAPPORT_AMQP_URL"]["valueFrom"]["secretKeyRef"] == {
            "name": "rapport-broker",
            "key": "amqp-url",
        }
        keys = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
        volumes = {one["name"]: one for one in pod["spec"]["volumes"]}
        for variable in (
            "SERVICE_KEY_FILE",
            "SERVICE_KEYS_FILE",
            *(f"TLS_{x}_FILE" for x in ("CERT", "KEY", "CA")),
        ):
            folder, _, file = given[f"RAPPORT_{variable}"]["value"].rpartition("/")
            items = volumes[keys[folder]]["secret"].get("items")
            assert items is None or file in {one["path"] for one in items}, (name, variable)
        # Its own key, and no other's.
        items = volumes["service-keys"]["secret"]["items"]
        assert {one["key"] for one in items} == {"keys.json", f"{service}.pem"}
        assert "RAPPORT_TLS_CLIENT_CA_FILE" in given
    for pod in render("existing-secrets").pods().values():
        names = {one["name"] for one in pod["spec"]["containers"][0]["env"]}
        assert not [one for one in names if "TLS" in one or "AMQP" in one or "SERVICE_KEY" in one]
