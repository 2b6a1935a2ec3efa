"""Where the command line writes, and how it shows errors."""

from __future__ import annotations

from collections.abc import Mapping

from rapport_client.errors import RapportError as ClientError
from rapport_client.errors import Unauthenticated, Unavailable
from rich.console import Console

# Emoji codes are left alone: what is printed is data, such as consent:email:marketing.
console = Console(emoji=False)
errors = Console(stderr=True, emoji=False)
if not console.is_terminal:
    # What reads a table from a pipe has no use for names that are cut to a screen's width.
    console.width = 200


_HINTS: dict[type[ClientError], str] = {
    Unavailable: "Is it running? `make run` or `rapport up` starts it; elsewhere set RAPPORT_ADDRESS and "
    "RAPPORT_TOKEN.",
    Unauthenticated: "`rapport up` leaves the owner's token in client.json of its data folder, which is taken where "
    "RAPPORT_TOKEN is not set; `rapport tokens create` makes others.",
}
"""What to do, where the error's own message cannot know."""


def print_error(message: str) -> None:
    """Print why the command failed, as it stands: nothing in it is markup, and lines are not cut."""
    errors.print(f"rapport: {message}", markup=False, highlight=False, soft_wrap=True)


def print_client_error(error: ClientError, names: Mapping[str, str] | None = None) -> None:
    """Print an error that a service returned, with each bad field on lines of its own.

    names: what to call fields that the user knows by another name, such as an option.
    """
    if not error.violations:
        print_error(f"{error.message} ({error.reason})")
    else:
        print_error(f"{error.reason}: the request was refused")
    for violation in error.violations:
        # A rule's error points at a column with a caret on a line of its own, so the text must start a line.
        first, *others = violation.description.splitlines() or [""]
        field = (names or {}).get(violation.field, violation.field)
        lines = [f"  {field}: {first}", *(f"    {line}" for line in others)]
        errors.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
    for kind, hint in _HINTS.items():
        if isinstance(error, kind):
            errors.print(hint, markup=False, highlight=False, soft_wrap=True)
