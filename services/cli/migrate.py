"""`rapport migrate`: bring the databases to this release's schema, or check that migrations match the models."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from services.cli.console import console, errors
from services.cli.stack import EXTENSIONS, PLUGIN_SERVICES, Stack, given_databases, migrate_database
from services.kit import migrations, revisions
from services.kit.config import SERVICES, load_settings
from services.kit.postgres import EmbeddedPostgres, provision, sqlalchemy_url


def migrate(
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Compare migrations with the models on a scratch database, and change nothing."
        ),
    ] = False,
    contract: Annotated[
        bool,
        typer.Option(
            "--contract",
            help="Also take away what only older releases use; refused while processes of these are connected.",
        ),
    ] = False,
) -> None:
    """Create the databases that are missing and bring each to the newest revision that the release before lives with.

    What would break that one waits for --contract, or for the migrations of the next release.
    """
    if check:
        raise typer.Exit(_check())
    settings = load_settings()
    given = given_databases(settings)
    if len(given) == len(SERVICES):
        # As on a cluster: nothing is made here, so no data folder is needed.
        _migrate({service: sqlalchemy_url(url) for service, url in given.items()}, contract=contract)
        return
    with Stack(settings) as stack:
        _migrate(stack.prepare_databases(), contract=contract)


def _migrate(urls: Mapping[str, str], *, contract: bool) -> None:
    for service, url in urls.items():
        before, after = migrate_database(service, url, contract=contract)
        state = f"already at {after}" if before == after else f"{before or 'empty'} → {after}"
        if left := revisions.waiting(service, after, contract=True):
            state += (
                f"; {', '.join(left)} takes away what older releases use: `rapport migrate --contract` "
                "when none of their processes is left"
            )
        console.print(f"{service}: {state}", highlight=False, soft_wrap=True)


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
                differences = migrations.check_line(service, url)
                if differences:
                    status = 1
                    errors.print(f"{service}: migrations and models differ:", markup=False)
                    for difference in differences:
                        errors.print(f"  {difference}", markup=False, highlight=False, soft_wrap=True)
                else:
                    console.print(f"{service}: migrations match the models", highlight=False)
        finally:
            server.destroy()
    return status
