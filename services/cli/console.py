"""Where the command line writes, and how it shows errors of the API."""

from __future__ import annotations

from rapport_client.errors import RapportError as ClientError
from rich.console import Console

console = Console()
errors = Console(stderr=True)


def print_client_error(error: ClientError) -> None:
    """Print an error that a service returned, with each bad field on a line of its own."""
    errors.print(f"rapport: {error}", markup=False, highlight=False)
    for violation in error.violations:
        errors.print(f"  {violation.field}: {violation.description}", markup=False, highlight=False)
