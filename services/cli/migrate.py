"""`rapport migrate`: bring the databases to this release's schema, or check that migrations match the models."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from services.cli.console import console, errors
from services.cli.stack import EXTENSIONS, PLUGIN_SERVICES, Stack
from services.kit import migrations
from services.kit.config import SERVICES, load_settings
from services.kit.postgres import EmbeddedPostgres, provision


def migrate(
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Compare migrations with the models on a scratch database, and change nothing."
        ),
    ] = False,
) -> None:
    """Create the databases that are missing and bring each to the newest revision."""
    if check:
        raise typer.Exit(_check())
    with Stack(load_settings()) as stack:
        for service, url in stack.prepare_databases().items():
            before = migrations.current(service, url)
            migrations.upgrade(service, url)
            after = migrations.current(service, url)
            state = f"already at {after}" if before == after else f"{before or 'empty'} → {after}"
            console.print(f"{service}: {state}")


def _check() -> int:
    status = 0
    with tempfile.TemporaryDirectory(prefix="rapport-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres", throwaway=True, settings={"fsync": "off"})
        server.start()
        try:
            urls = provision(
                server.admin_url,
                SERVICES,
                extensions=EXTENSIONS,
                plugin_services=PLUGIN_SERVICES,
                prefix="check",
            )
            for service, url in urls.items():
                migrations.upgrade(service, url)
                differences = migrations.check(service, url)
                if differences:
                    status = 1
                    errors.print(f"{service}: migrations and models differ:", markup=False)
                    for difference in differences:
                        errors.print(f"  {difference}", markup=False, soft_wrap=True)
                else:
                    console.print(f"{service}: migrations match the models")
        finally:
            server.destroy()
    return status
