"""Follow a long-running operation in the terminal."""

from __future__ import annotations

from typing import Any

from rapport_client import ServiceClient
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from services.cli.console import console


def follow(service: ServiceClient, operation: Any, label: str) -> Any:
    """Wait for an operation, drawing its progress, and return its typed result.

    Raises the error with which the operation ended.
    """
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(label, total=None)

        def draw(state: Any) -> None:
            progress.update(
                task,
                completed=state.progress.completed,
                total=state.progress.total or None,
                description=f"{label}: {state.progress.stage or 'waiting'}",
            )

        return service.wait_operation(operation, progress=draw)
