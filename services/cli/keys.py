"""`rapport keys`: the keys by which services prove themselves to each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from services.cli.console import console, errors
from services.kit.access.service_tokens import create_key, read_keys, remove_key
from services.kit.config import SERVICES
from services.kit.errors import InvalidArgument

app = typer.Typer(
    help="Make, see and remove the keys by which services prove themselves to each other, in place of RAPPORT_TOKEN. "
    "A service has its private key in the file of RAPPORT_SERVICE_KEY_FILE, and the public ones of all in the file of "
    "RAPPORT_SERVICE_KEYS_FILE. Running processes notice changes.",
    no_args_is_help=True,
)
_KeysFile = Annotated[Path, typer.Option("--keys-file", help="the file of all public keys")]


@app.command("create")
def create(
    service: Annotated[str, typer.Argument(help=f"whose key: {', '.join(SERVICES)}")],
    key_file: Annotated[
        Path, typer.Option("--key-file", help="where the private key goes; replaced when there")
    ],
    keys_file: _KeysFile,
) -> None:
    """Make a key for a service; its older ones are accepted until they are removed."""
    if service not in SERVICES:
        raise InvalidArgument(f"no service {service!r}; there are {', '.join(SERVICES)}", reason="NO_SERVICE")
    kid = create_key(service, key_file, keys_file)
    _note(f"{service} signs with {key_file} from now on. The id of its key:")
    typer.echo(kid)


@app.command("list")
def list_keys(keys_file: _KeysFile) -> None:
    """List the keys that are accepted."""
    table = Table("service", "key")
    for key in read_keys(keys_file).values():
        table.add_row(Text(key.service), Text(key.kid))
    console.print(table)


@app.command("remove")
def remove(
    key: Annotated[str, typer.Argument(help="the id of the key, as `list` shows it")], keys_file: _KeysFile
) -> None:
    """Accept a key no more; tokens signed with it are refused within a second."""
    _note(f"{remove_key(key, keys_file).service} has this key no more")


def _note(text: str) -> None:
    errors.print(text, markup=False, highlight=False, soft_wrap=True)
