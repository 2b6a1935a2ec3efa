"""`rapport run`: one process of one service, as an image on a cluster runs it."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import Annotated

import typer

from services.kit.config import SERVICES
from services.kit.errors import InvalidArgument


def command(service: str, role: str) -> list[str]:
    """Return the command of a role of a service: `api`, `worker`, or another that the service has a module for.

    Raises InvalidArgument for an unknown service or role.
    """
    if service not in SERVICES:
        raise InvalidArgument(
            f"no service {service!r}; there are {', '.join(SERVICES)}", reason="UNKNOWN_SERVICE"
        )
    match role:
        case "api":
            return [sys.executable, "-m", "services.kit.process", service]
        case "worker":
            return [sys.executable, "-m", "services.kit.bus.launcher", service]
    # A module of the service with a `main`, such as services.campaign.sender, is a role too.
    if (
        role.isidentifier()
        and role in EXTRA_ROLES.get(service, ())
        and find_spec(f"services.{service}.{role}")
    ):
        return [sys.executable, "-m", f"services.{service}.{role}"]
    known = ", ".join(["api", "worker", *EXTRA_ROLES.get(service, ())])
    raise InvalidArgument(f"{service} has no role {role!r}; it has {known}", reason="UNKNOWN_ROLE")


EXTRA_ROLES = {"campaign": ("sender", "web")}
"""Roles beside api and worker, by service."""


def run(
    service: Annotated[str, typer.Argument(help="contacts, sales, segmentation, campaign or care")],
    role: Annotated[str, typer.Argument(help="api or worker; campaign also has sender and web")],
) -> None:
    """Run one process of one service in the foreground; settings come from the environment."""
    argv = command(service, role)
    # The role takes the place of this process, so that signals reach it and nothing of the CLI stays loaded.
    os.execv(argv[0], argv)
