"""The commands and what they do with errors."""

from __future__ import annotations

import sys

import typer
from rapport_client.errors import RapportError as ClientError

from services.cli import demo, imports, migrate, plugins, run, segments, up
from services.cli.console import errors, print_client_error
from services.kit.errors import RapportError
from services.kit.postgres import PostgresError
from services.kit.supervise.errors import StopRequested, SupervisorError

app = typer.Typer(
    name="rapport",
    help="Run and use Rapport, an open CRM framework.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("up")(up.up)
app.command("run")(run.run)
app.command("migrate")(migrate.migrate)
app.command("demo")(demo.demo)
app.add_typer(imports.app, name="import")
app.add_typer(segments.app, name="segments")
app.add_typer(plugins.app, name="plugins")


def main() -> None:
    """Run a command; a known error is said in one line and ends with status 1."""
    try:
        app()
    except ClientError as error:
        print_client_error(error)
        sys.exit(1)
    except (RapportError, PostgresError, SupervisorError, OSError, ValueError) as error:
        errors.print(f"rapport: {error}", markup=False, highlight=False)
        sys.exit(1)
    except (KeyboardInterrupt, StopRequested):
        errors.print("stopped")
        sys.exit(130)
