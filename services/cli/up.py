"""`rapport up`: the whole stack until Ctrl-C."""

from __future__ import annotations

from rich.panel import Panel
from rich.table import Table

from services.cli.console import console
from services.cli.progress import StartView
from services.cli.stack import Access, Stack
from services.kit.config import SERVICES, Settings, load_settings


def up() -> None:
    """Start the database and all services and keep them up until Ctrl-C; data stays in RAPPORT_DATA_DIR."""
    settings = load_settings()
    view = StartView()
    stack = Stack(settings, on_event=view.tell)
    with stack, stack.supervisor.signals():
        with view:
            access = stack.start()
        _welcome(settings, access)
        stack.supervisor.wait()
        console.print("stopping …")


def _welcome(settings: Settings, access: Access) -> None:
    table = Table(box=None, show_header=True, header_style="bold")
    for column in ("service", "gRPC", "event stream", "metrics (api, worker)"):
        table.add_column(column)
    for service in SERVICES:
        table.add_row(
            service,
            settings.service_address(service),
            settings.service_events_address(service),
            f"{settings.host}:{settings.metrics_port(service, 'api')}, {settings.metrics_port(service, 'worker')}",
        )
    console.print(Panel(table, title="Rapport is up", expand=False))
    console.print(
        f"gRPC address   {access.address}  (base port {access.base_port})", markup=False, highlight=False
    )
    console.print(f"token          {access.token}", markup=False, highlight=False, soft_wrap=True)
    console.print(
        f"inbound mail   {settings.inbound_mail_host}:{settings.inbound_mail_port} (SMTP)", highlight=False
    )
    console.print(f"logs           {settings.data_dir.absolute() / 'logs'}", highlight=False, soft_wrap=True)
    console.print("\nNext, in another terminal in this folder:")
    for line in (
        ".venv/bin/rapport segments list",
        ".venv/bin/rapport import contacts people.csv --dry-run",
        ".venv/bin/rapport plugins list",
        """.venv/bin/python -c 'from rapport_client import connect; print(connect().contacts.count_contacts())'""",
    ):
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    console.print("\nCtrl-C stops everything; data stays.")
