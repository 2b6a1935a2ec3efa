"""The commands and what they do with errors."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer
from rapport_client.errors import RapportError as ClientError

from services.cli import demo, imports, migrate, operations, plugins, run, segments, tokens, up
from services.cli.console import print_client_error, print_error
from services.kit.errors import RapportError
from services.kit.postgres import PostgresError
from services.kit.supervise.errors import SupervisorError

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
app.add_typer(operations.app, name="operations")
app.add_typer(tokens.app, name="tokens")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command, by default that of the process's arguments, and exit.

    Status 0: done. 1: a known error, which is said without a traceback. 2: wrong usage. 130: stopped by Ctrl-C.
    """
    try:
        app(args=arguments, prog_name="rapport")
    except ClientError as error:
        print_client_error(error)
        sys.exit(1)
    except (RapportError, PostgresError, SupervisorError) as error:
        print_error(str(error))
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print_error(f"{where}{error.strerror or error}")
        sys.exit(1)
