"""`rapport up`: the whole stack until Ctrl-C."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.panel import Panel
from rich.table import Table

from services.cli.console import console, errors
from services.cli.processes import replicas_of
from services.cli.progress import StartView
from services.cli.stack import Access, Stack
from services.kit.config import MOST_REPLICAS, SERVICES, Settings, load_settings
from services.kit.setting_names import stray_settings


def up(
    replicas: Annotated[
        int,
        typer.Option(min=1, max=MOST_REPLICAS, help="how many of each process; calls are spread over them"),
    ] = 1,
) -> None:
    """Start the database and all services and keep them up until Ctrl-C; data stays in RAPPORT_DATA_DIR."""
    settings = load_settings()
    for problem in stray_settings():
        errors.print(f"warning: {problem}", markup=False)
    view = StartView()
    stack = Stack(settings, on_event=view.tell, replicas=replicas)
    with stack, stack.supervisor.signals():
        with view:
            access = stack.start()
        _welcome(settings, access, replicas)
        stack.supervisor.wait()
    if stack.access is None:
        raise typer.Exit(130)
    _say("stopped; data stays in", str(stack.folder))


def _welcome(settings: Settings, access: Access, replicas: int) -> None:
    table = Table(box=None, show_header=True, header_style="bold")
    for column in ("service", "gRPC", "event stream", "metrics (api, worker)"):
        table.add_column(column)
    each = replicas_of(settings, replicas)
    for service in SERVICES:
        for one in each:
            api, worker = (one.metrics_port(service, role) for role in ("api", "worker"))
            table.add_row(
                f"{service} {one.replica + 1}" if replicas > 1 else service,
                f"{settings.host}:{one.port(service)}",
                f"{settings.host}:{one.events_port(service)}",
                f"{settings.host}:{api}, {worker}",
            )
    console.print(Panel(table, title="Rapport is up", expand=False))
    _say("gRPC address  ", f"{access.address}  (base port {access.base_port})")
    _say("token         ", access.token)
    _say("inbound mail  ", f"{settings.inbound_mail_host}:{settings.inbound_mail_port} (SMTP)")
    if settings.amqp_url:
        from services.kit.bus.amqp.broker import parse_url

        _say("events by     ", str(parse_url(settings.amqp_url)))
    _say("logs          ", str(settings.data_dir.absolute() / "logs"))
    _say("\nNext, in another terminal in this folder:")
    for line in next_commands(settings):
        _say(f"  {line}")
    _say("\nCtrl-C stops everything; data stays.")


def next_commands(settings: Settings) -> list[str]:
    """Return commands to try, as they work in another terminal in the same folder."""
    rapport, python = _program("rapport", "-m services.cli"), _program("python", "")
    count = "from rapport_client import connect; print(connect().contacts.count_contacts().contact_count)"
    lines = [
        f"{rapport} segments evaluate 'contact.has_email'",
        f"{rapport} segments list",
        f"{rapport} plugins list",
        f"{python} -c '{count}'",
    ]
    if settings.data_dir.absolute() != Path.cwd() / ".rapport":
        lines.insert(0, f"export RAPPORT_DATA_DIR={shlex.quote(str(settings.data_dir.absolute()))}")
    return lines


def _program(name: str, module: str) -> str:
    """Return how to call a program of this virtual environment from this folder."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        path, name = Path(sys.executable), module
    else:
        name = ""
    if path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return f"{shlex.quote(str(path))} {name}".rstrip()


def _say(*words: str) -> None:
    console.print(" ".join(words), markup=False, highlight=False, soft_wrap=True)
