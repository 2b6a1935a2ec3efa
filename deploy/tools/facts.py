"""What the chart must know of the code: services, roles, ports, who calls whom, permissions and settings.

`python -m deploy.tools.facts` writes it into the chart, `--check` says whether it is up to date. A new setting is taken
into the chart by itself; one that must not stand in a ConfigMap, or that is the chart's own affair, goes into
`ELSEWHERE` with the reason.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from rapport_sdk import Setting

from services.cli.run import EXTRA_ROLES
from services.kit.auth import SERVICE_PERMISSIONS
from services.kit.config import SERVICES, Settings, load_settings

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "rapport"
FACTS = CHART / "files" / "rapport.json"
SCHEMA = CHART / "values.schema.json"

ELSEWHERE = {
    "data_dir": "a folder for scratch files, which the image fixes",
    "host": "the processes of a pod listen on all its addresses",
    "base_port": "each pod has its own address, so its ports need no choice",
    "replica": "each pod has its own address, so its ports need no choice",
    "address": "follows from the names of the Services",
    "events_address": "follows from the names of the Services",
    "database_url": "an administrator's, who is not needed: the databases are there before the release",
    **{f"{service}_database_url": "secrets.databases" for service in SERVICES},
    "tokens_file": "secrets.tokens",
    "token": "secrets.tokens",
    "secret_key": "secrets.key",
    "accepted_secret_keys": "secrets.environment",
    "amqp_url": "secrets.broker",
    "service_key_file": "secrets.serviceKeys",
    "service_keys_file": "secrets.serviceKeys",
    "tls_cert_file": "secrets.tls",
    "tls_key_file": "secrets.tls",
    "tls_ca_file": "secrets.tls",
    "tls_client_ca_file": "secrets.tls, with requireClientCertificates",
    "clock": "for tests and demos; a business has the machine's",
    "inbound_mail_host": "inboundMail.enabled",
    "web_host": "the processes of a pod listen on all its addresses",
}
"""Settings that are not in the `settings` of the chart, and where they come from instead."""

SENDER_METRICS_PORT = 7448
"""Of the port that a sender is told to serve metrics on; on a laptop it serves none."""

_SECRET = re.compile(r"(^|_)(password|secret|token|key|credential)s?(_|$)|(database|amqp|broker)_url$")
_KEPT = (
    "type",
    "items",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "pattern",
    "description",
    "default",
)
_TYPES = {"str": "string", "bool": "boolean", "int": "integer", "float": "number", "Decimal": "number"}


def camel(name: str) -> str:
    """Return the name of a setting as values have it: `time_zone` is `timeZone`."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def settings_schema() -> dict[str, Any]:
    """Return the JSON schema of the settings that the chart passes on; raises ValueError for a secret among them."""
    properties: dict[str, Any] = {}
    described = Settings.model_json_schema(by_alias=False)["properties"]
    for name in Settings.model_fields:
        if name in ELSEWHERE:
            continue
        if _SECRET.search(name):
            raise ValueError(
                f"is {name} a secret? Say in ELSEWHERE of deploy/tools/facts.py where it comes from"
            )
        given = described[name]
        # What may be left out, such as the path of a file, is described by what it is when it is there.
        [kind] = [one for one in given.get("anyOf", [{}]) if one.get("type") != "null"]
        given = {**kind, **given}
        found = {key: given[key] for key in _KEPT if key in given and given[key] is not None}
        if "type" not in found:
            raise ValueError(
                f"{name}: a setting of this kind is new; teach deploy/tools/facts.py to describe it"
            )
        properties[camel(name)] = found
    return dict(sorted(properties.items()))


def plugin_settings() -> dict[str, list[Setting]]:
    """Return the settings of the plugins that come along, by plugin."""
    # From the source: what is installed may be older.
    project = tomllib.loads((ROOT / "plugins" / "builtin" / "pyproject.toml").read_text(encoding="utf-8"))
    found = {}
    for plugin, module in sorted(project["project"]["entry-points"]["rapport"].items()):
        found[plugin] = list(getattr(importlib.import_module(module), "rapport_settings", list)())
    return found


def plugins_schema() -> dict[str, Any]:
    """Return the JSON schema of the plugins' settings that are no secrets."""
    return {
        plugin: {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                camel(setting.name): _plugin_setting(setting) for setting in settings if not setting.secret
            },
        }
        for plugin, settings in plugin_settings().items()
        if any(not setting.secret for setting in settings)
    }


def _plugin_setting(setting: Setting) -> dict[str, Any]:
    described: dict[str, Any] = {"description": setting.doc}
    if setting.type is tuple:
        described |= {"type": "array", "items": {"type": "string"}}
    else:
        described["type"] = _TYPES[setting.type.__name__]
    if setting.choices:
        described["enum"] = list(setting.choices)
    return described


def calls(service: str) -> list[str]:
    """Return the services whose API a service calls."""
    found = set()
    for path in sorted((ROOT / "services" / service).rglob("*.py")):
        for name in re.findall(r"\bclients\.([a-z_]+)", path.read_text(encoding="utf-8")):
            # The stream of a service that the worker follows anyway.
            if name == "events":
                continue
            if name not in SERVICES:
                raise ValueError(
                    f"{path}: which service does clients.{name} call? Teach deploy/tools/facts.py"
                )
            found.add(name)
    return sorted(found)


def follows(service: str) -> list[str]:
    """Return the services whose events a service's worker follows."""
    path = ROOT / "services" / service / "worker.py"
    return sorted(
        {
            ast.literal_eval(node.args[0])
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "subscribe"
        }
    )


def loads_plugins(service: str) -> bool:
    """Tell whether processes of a service load plugins, or have a child that does."""
    return any(
        re.search(r"\b(PluginHost|PluginManager)\(", path.read_text(encoding="utf-8"))
        for path in (ROOT / "services" / service).rglob("*.py")
    )


def ports(service: str, role: str) -> dict[str, int]:
    """Return the ports on which a process listens, by name."""
    settings = load_settings(base_port=7400)
    match role:
        case "api":
            found = {"grpc": settings.port(service), "events": settings.events_port(service)}
            found["metrics"] = settings.metrics_port(service, role)
            if service == "care":
                found["smtp"] = settings.inbound_mail_port
            return found
        case "web":
            known: Any = settings  # which older code, without this role, has no such port in
            return {"http": int(known.web_port), "metrics": settings.metrics_port(service, role)}
        case "worker":
            return {"metrics": settings.metrics_port(service, role)}
        case "sender":
            source = (ROOT / "services" / service / "sender.py").read_text(encoding="utf-8")
            return {"metrics": SENDER_METRICS_PORT} if '"--metrics-port"' in source else {}
    raise ValueError(f"the role {role} is new; say in deploy/tools/facts.py on which ports it listens")


def facts() -> dict[str, Any]:
    """Return what templates of the chart go by."""
    return {
        "services": {
            service: {
                "roles": {role: {"ports": ports(service, role)} for role in roles(service)},
                "calls": calls(service),
                "follows": follows(service),
                "plugins": loads_plugins(service),
                "permissions": list(SERVICE_PERMISSIONS[service]),
            }
            for service in SERVICES
        }
    }


def roles(service: str) -> list[str]:
    """Return the roles of a service."""
    return ["api", "worker", *EXTRA_ROLES.get(service, ())]


def written() -> dict[Path, str]:
    """Return the files that this module keeps up to date, with their content."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    schema["properties"]["settings"]["properties"] = settings_schema()
    schema["properties"]["plugins"]["properties"] = plugins_schema()
    return {
        FACTS: json.dumps(facts(), indent=2) + "\n",
        SCHEMA: json.dumps(schema, indent=2, ensure_ascii=False) + "\n",
    }


def main() -> int:
    """Write the chart's facts, or check them."""
    parser = argparse.ArgumentParser(prog="python -m deploy.tools.facts", description=main.__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; status 1 when something is out of date"
    )
    options = parser.parse_args()
    for path, text in written().items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        name = path.relative_to(ROOT)
        if options.check:
            sys.stderr.write(f"{name} is not what the code says: run `make chart`\n")
            return 1
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{name} written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
