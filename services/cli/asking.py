"""Questions to whoever runs a command."""

from __future__ import annotations

import sys

import typer

from services.kit.errors import InvalidArgument


def ask(question: str, to_do: str) -> None:
    """Go on when the answer is yes; raises InvalidArgument (NOT_CONFIRMED) when it is no, or nobody is there.

    to_do: for what --yes is to be added.
    """
    if not sys.stdin.isatty():
        raise InvalidArgument(f"there is nobody to ask: add --yes to {to_do}", reason="NOT_CONFIRMED")
    if not typer.confirm(question):
        raise InvalidArgument("nothing was changed", reason="NOT_CONFIRMED")
