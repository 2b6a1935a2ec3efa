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
from services.kit.access.grants import parse_grant
from services.kit.access.roles import Roles
from services.kit.auth import (
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
        list[str] | None,
        typer.Option(
            "--permission",
            "-p",
            metavar="PERMISSION",
            help="what it may do, such as contacts.read, contacts.*, * or care.read:own; repeat it for several",
        ),
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option(
            "--role", "-r", metavar="ROLE", help="a role that it has, such as agent; repeat it for several"
        ),
    ] = None,
    team: Annotated[
        list[str] | None,
        typer.Option("--team", metavar="TEAM", help="a team that it belongs to; repeat it for several"),
    ] = None,
) -> None:
    """Make a token and print it, once: only its hash is kept."""
    if not _NAME.fullmatch(name):
        raise InvalidArgument(
            f"{name!r} cannot name a token: write at most 63 lower-case letters, digits, '_', '.', '-'",
            reason="INVALID_TOKEN_NAME",
        )
    settings = load_settings()
    permissions, roles = permission or [], role or []
    if not permissions and not roles:
        raise InvalidArgument("say what it may do: --permission or --role", reason="UNKNOWN_PERMISSION")
    _check(permissions)
    _check_roles(roles, Roles(settings.roles_file))
    file = settings.effective_tokens_file
    if name == "owner" or any(found.name == name for found in read_principals(file)):
        raise AlreadyExists(
            f"{file} has a token named {name} already; choose another name, or revoke that one first",
            reason="TOKEN_EXISTS",
        )
    token = new_token()
    add_tokens(file, [(name, permissions, token)], roles=roles, teams=team or ())
    # The token alone goes to the output, so that a script can take it from there.
    may = [*permissions, *(f"what the role {one} stands for" for one in roles)]
    _note(f"{name} may use {', '.join(may)}. The token is shown this once:")
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
    settings = load_settings()
    table = Table("name", "permissions", "teams")
    known = read_principals(settings.effective_tokens_file, Roles(settings.roles_file))
    for found in sorted(known, key=lambda one: one.name):
        table.add_row(Text(found.name), Text(", ".join(found.permissions)), Text(", ".join(found.teams)))
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
        try:
            grant = parse_grant(pattern)
        except ValueError as error:
            raise InvalidArgument(str(error), reason="UNKNOWN_PERMISSION") from error
        if not any(grant.covers(permission) for permission in known):
            close = get_close_matches(pattern, known, 1)
            hint = f": did you mean {close[0]}?" if close else ";"
            raise InvalidArgument(
                f"no RPC asks for the permission {pattern!r}{hint} There are {', '.join(known)}, "
                "contacts.* for all of a kind, and * for everything",
                reason="UNKNOWN_PERMISSION",
            )


def _check_roles(names: list[str], roles: Roles) -> None:
    unknown = [name for name in names if name not in roles.table]
    if unknown:
        raise InvalidArgument(
            f"no role {unknown[0]!r}; there are {', '.join(sorted(roles.table))}, and RAPPORT_ROLES_FILE may add more",
            reason="UNKNOWN_ROLE",
        )


def _note(text: str) -> None:
    errors.print(text, markup=False, highlight=False, soft_wrap=True)
