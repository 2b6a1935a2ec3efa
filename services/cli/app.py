"""The commands and what they do with errors."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer
from rapport_client.errors import RapportError as ClientError
from typer.core import TyperGroup

from services.cli.console import print_client_error, print_error
from services.kit.errors import RapportError
from services.kit.supervise.errors import SupervisorError

_COMMANDS = {
    "up": "up",
    "run": "run",
    "migrate": "migrate",
    "backup": "backup",
    "restore": "restore",
    "demo": "demo",
    "import": "imports",
    "contacts": "contacts",
    "segments": "segments",
    "campaigns": "campaigns",
    "plugins": "plugins",
    "operations": "operations",
    "events": "events",
    "tokens": "tokens",
    "keys": "keys",
}
"""The module of each command, in the order of the help: it has a Typer `app`, or a function called as the command."""


_LOOK: dict[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
}


class _Commands(TyperGroup):
    """Load a command's module when it is asked for: all of them take a second to import."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands."""
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, or None where there is none of that name."""
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"services.cli.{_COMMANDS[cmd_name]}")
        loaded = typer.Typer(**_LOOK)
        loaded.callback()(rapport)
        if (commands := getattr(module, "app", None)) is not None:
            loaded.add_typer(commands, name=cmd_name)
        else:
            loaded.command(cmd_name)(getattr(module, cmd_name))
        return typer.main.get_group(loaded).get_command(ctx, cmd_name)


def rapport() -> None:
    """Run and use Rapport, an open CRM framework."""


app = typer.Typer(name="rapport", cls=_Commands, no_args_is_help=True, **_LOOK)
app.callback()(rapport)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command, by default that of the process's arguments, and exit.

    Status 0: done. 1: a known error, which is said without a traceback. 2: wrong usage. 130: stopped by Ctrl-C.
    """
    try:
        app(args=arguments, prog_name="rapport")
    except ClientError as error:
        print_client_error(error)
        sys.exit(1)
    except (RapportError, SupervisorError) as error:
        print_error(str(error))
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print_error(f"{where}{error.strerror or error}")
        sys.exit(1)
    except Exception as error:
        # Takes longer to import than all else here, and most commands have no need of it.
        from services.kit.postgres import PostgresError

        if not isinstance(error, PostgresError):
            raise
        print_error(str(error))
        sys.exit(1)
