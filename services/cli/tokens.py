"""`rapport tokens`: give out access tokens, see and revoke them."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Annotated, Any

import typer
from rapport.type.v1 import options_pb2
from rapport_client.client import service_descriptors
from rich.table import Table
from rich.text import Text

from services.cli.console import console, errors
from services.kit.auth import (
    Principal,
    add_tokens,
    create_tokens,
    new_token,
    read_principals,
    remove_tokens,
)
from services.kit.config import SERVICES, load_settings
from services.kit.errors import AlreadyExists, InvalidArgument, NotFound

app = typer.Typer(
    help="Give out access tokens that may do less than the owner's, see and revoke them. They are kept, as hashes, in "
    "the file of RAPPORT_TOKENS_FILE; running services notice a change within a second.",
    no_args_is_help=True,
)
_PERMISSION: Any = options_pb2.permission
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")


def known_permissions() -> list[str]:
    """Return all permissions that RPCs ask for."""
    return sorted(
        {
            permission
            for package in (*SERVICES, "operations", "events")
            for service in service_descriptors(package)
            for method in service.methods
            if (permission := str(method.GetOptions().Extensions[_PERMISSION]))
        }
    )


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="who is to use it, such as shop; it is logged with each call")],
    permission: Annotated[
        list[str],
        typer.Option(
            "--permission",
            "-p",
            metavar="PERMISSION",
            help="what it may do, such as contacts.read, contacts.* or *; repeat it for several",
        ),
    ],
) -> None:
    """Make a token and print it, once: only its hash is kept."""
    if not _NAME.fullmatch(name):
        raise InvalidArgument(
            f"{name!r} cannot name a token: write at most 63 lower-case letters, digits, '_', '.', '-'",
            reason="INVALID_TOKEN_NAME",
        )
    _check(permission)
    file = load_settings().effective_tokens_file
    if name == "owner" or any(found.name == name for found in read_principals(file)):
        raise AlreadyExists(
            f"{file} has a token named {name} already; choose another name, or revoke that one first",
            reason="TOKEN_EXISTS",
        )
    token = new_token()
    add_tokens(file, [(name, permission, token)])
    # The token alone goes to the output, so that a script can take it from there.
    _note(f"{name} may use {', '.join(permission)}. The token is shown this once:")
    typer.echo(token)


@app.command("services")
def services(
    renew: Annotated[
        bool,
        typer.Option("--renew", help="replace those that are there; the present ones are refused at once"),
    ] = False,
) -> None:
    """Make the tokens of the owner and of each service, as a cluster needs them, and print them as variables.

    The lines, such as CONTACTS_TOKEN=…, are fit for an environment file; they are shown this once. On a laptop
    `rapport up` does this by itself.
    """
    file = load_settings().effective_tokens_file
    if not renew and any(_is_of_the_stack(found.name) for found in read_principals(file)):
        raise AlreadyExists(
            f"{file} has the services' tokens already; --renew makes new ones, and whoever holds an old one is refused",
            reason="TOKEN_EXISTS",
        )
    for name, token in create_tokens(file).items():
        typer.echo(f"{name.upper()}_TOKEN={token}")


@app.command("list")
def list_tokens() -> None:
    """List who has a token and what each may do; the tokens themselves are not kept."""
    table = Table("name", "permissions")
    for found in sorted(read_principals(load_settings().effective_tokens_file), key=lambda one: one.name):
        table.add_row(Text(found.name), Text(", ".join(found.permissions)))
    console.print(table)


@app.command("revoke")
def revoke(name: Annotated[str, typer.Argument(help="whose token, as `list` shows it")]) -> None:
    """Take a token away; calls with it are refused within a second."""
    file = load_settings().effective_tokens_file
    found = {one.name for one in read_principals(file)}
    if name not in found:
        raise NotFound(f"{file} has no token named {name}", reason="TOKEN_NOT_FOUND")
    if _is_of_the_stack(name):
        raise InvalidArgument(
            f"{name} is the stack's own; `rapport up` makes the services' tokens anew at each start",
            reason="INVALID_TOKEN_NAME",
        )
    remove_tokens(file, [name])
    _note(f"{name} is revoked")


def _is_of_the_stack(name: str) -> bool:
    return name == "owner" or name.startswith("service:")


def _check(patterns: list[str]) -> None:
    known = known_permissions()
    for pattern in patterns:
        if not any(Principal("", (pattern,)).may(permission) for permission in known):
            close = get_close_matches(pattern, known, 1)
            hint = f": did you mean {close[0]}?" if close else ";"
            raise InvalidArgument(
                f"no RPC asks for the permission {pattern!r}{hint} There are {', '.join(known)}, "
                "contacts.* for all of a kind, and * for everything",
                reason="UNKNOWN_PERMISSION",
            )


def _note(text: str) -> None:
    errors.print(text, markup=False, highlight=False, soft_wrap=True)
