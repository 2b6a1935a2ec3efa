"""The processes of a stack on one machine: commands, ports, and what each is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from services.cli.run import EXTRA_ROLES, command
from services.kit.config import REPLICA_PORT_OFFSET, SERVICES, Settings
from services.kit.errors import InvalidArgument
from services.kit.supervise import probes
from services.kit.supervise.forking import ForkServer
from services.kit.supervise.spec import PortUse, ProcessSpec

PORT_SETTING = "RAPPORT_BASE_PORT"


@dataclass(frozen=True)
class Grants:
    """What the processes of each service get, by service, and what all get.

    urls: of the service's database; tokens: which it shows to the others; shared: variables of all.
    """

    urls: Mapping[str, str]
    tokens: Mapping[str, str]
    shared: Mapping[str, str] = field(default_factory=dict)

    def common(self) -> dict[str, str]:
        """Return the variables of what belongs to no service: no database and no token."""
        databases = (f"RAPPORT_{name.upper()}_DATABASE_URL" for name in SERVICES)
        return {**self.shared, **dict.fromkeys(("RAPPORT_DATABASE_URL", "RAPPORT_TOKEN", *databases), "")}

    def environment(self, service: str) -> dict[str, str]:
        """Return the variables of a service's processes: its own database and token, and no other's."""
        return {
            **self.common(),
            f"RAPPORT_{service.upper()}_DATABASE_URL": self.urls[service],
            "RAPPORT_TOKEN": self.tokens[service],
        }


def ports(settings: Settings, service: str, role: str) -> list[PortUse]:
    """Return the ports that a process listens on."""
    if role == "api":
        numbers = [
            settings.port(service),
            settings.events_port(service),
            settings.metrics_port(service, "api"),
        ]
        found = [PortUse(number, PORT_SETTING, settings.host) for number in numbers]
        if service == "care":
            found.append(PortUse(settings.inbound_mail_port, PORT_SETTING, settings.inbound_mail_host))
        return found
    if role == "worker":
        return [PortUse(settings.metrics_port(service, "worker"), PORT_SETTING, settings.host)]
    if role == "web":
        return [
            PortUse(settings.web_port, PORT_SETTING, settings.web_host),
            PortUse(settings.metrics_port(service, "web"), PORT_SETTING, settings.host),
        ]
    return []


def process_name(service: str, role: str, replica: int = 0) -> str:
    """Return the name of a process of a stack, such as `contacts-api`, and `contacts-api-2` of its next replica."""
    return f"{service}-{role}-{replica + 1}" if replica else f"{service}-{role}"


def replicas_of(settings: Settings, count: int) -> list[Settings]:
    """Return the settings of each replica on this machine, which differ in the ports that they listen on."""
    return [settings.model_copy(update={"replica": number}) for number in range(count)]


def replicated_address(host: str, count: int) -> str:
    """Return the address under which clients share their calls among so many replicas.

    Raises InvalidArgument for several on a host that is a name, of which gRPC takes no list.
    """
    own = f"{host}:{{port}}"
    if count == 1:
        return own
    try:
        literal = ip_address(host)
    except ValueError as error:
        raise InvalidArgument(
            f"RAPPORT_HOST: several replicas need an IP address, such as 127.0.0.1 (got {host!r})",
            reason="INVALID_SETTINGS",
        ) from error
    shown = f"[{literal}]" if literal.version == 6 else str(literal)
    others = (f"{shown}:{{port+{REPLICA_PORT_OFFSET * number}}}" for number in range(1, count))
    return ",".join([f"{shown}:{{port}}", *others])


def all_ports(settings: Settings, replicas: int = 1) -> dict[str, list[PortUse]]:
    """Return the ports of each process, by its name."""
    return {
        process_name(service, role, one.replica): ports(one, service, role)
        for one in replicas_of(settings, replicas)
        for service in SERVICES
        for role in ("api", "worker", *EXTRA_ROLES.get(service, ()))
        if ports(one, service, role)
    }


def fork_servers(environment: Mapping[str, str], *, cwd: Path | None = None) -> dict[str, ForkServer]:
    """Return what all processes are forked from: `worker`, which is patched by eventlet, and `other`.

    environment: added to our own for these two; cwd: their working folder, ours if None.
    """
    workers = [f"services.{service}.worker" for service in SERVICES]
    others = ["services.kit.process", *(f"services.{service}.api" for service in SERVICES)]
    others += [f"services.{service}.{role}" for service, roles in EXTRA_ROLES.items() for role in roles]
    return {
        "worker": ForkServer("services.kit.bus.launcher:preload", workers, env=environment, cwd=cwd),
        "other": ForkServer("services.kit.preload:load", others, env=environment, cwd=cwd),
    }


def specs(settings: Settings, grants: Grants, replicas: int = 1) -> list[ProcessSpec]:
    """Return all processes of the stack, for a supervisor; replicas: of each of them."""
    forks = fork_servers(grants.common())
    return [spec for one in replicas_of(settings, replicas) for spec in _specs(one, grants, forks)]


def _specs(settings: Settings, grants: Grants, forks: Mapping[str, ForkServer]) -> list[ProcessSpec]:
    host, grace = settings.host, settings.shutdown_grace_seconds + 5
    # The sender serves nothing that could be asked.
    ready_file = (
        settings.data_dir.absolute() / f"{process_name('campaign', 'sender', settings.replica)}.ready"
    )
    options = {"sender": ["--ready-file", str(ready_file)]}
    found: list[ProcessSpec] = []
    for service in SERVICES:
        environment = {**grants.environment(service), "RAPPORT_REPLICA": str(settings.replica)}
        ready: dict[str, Callable[[], bool]] = {
            "api": probes.grpc_health(host, settings.port(service)),
            "worker": probes.http_ok(host, settings.metrics_port(service, "worker"), "/healthz"),
            "sender": probes.pid_file(ready_file),
            "web": probes.http_ok(host, settings.metrics_port(service, "web"), "/healthz"),
        }
        alive: dict[str, Callable[[], bool]] = {
            "api": probes.grpc_answers(host, settings.port(service)),
            "worker": probes.http_answers(host, settings.metrics_port(service, "worker"), "/healthz"),
            "web": probes.http_answers(host, settings.metrics_port(service, "web"), "/healthz"),
        }
        found.extend(
            ProcessSpec(
                process_name(service, role, settings.replica),
                [*command(service, role), *options.get(role, ())],
                env=environment,
                ready=ready.get(role),
                alive=alive.get(role),
                stop_grace=grace,
                ports=ports(settings, service, role),
                fork_server=forks["worker" if role == "worker" else "other"],
            )
            for role in ("api", "worker", *EXTRA_ROLES.get(service, ()))
        )
    return found
