"""Shows how far each database is."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rich.progress import FileSizeColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from services.cli.console import console

Report = Callable[[str, str, int], None]
"""Take the service, what is being done with its database, and how many bytes of it passed."""


class DatabasesView:
    """Show one line for each database while the `with` block lasts; on a terminal alone."""

    def __init__(self, services: Iterable[str]) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[service]:<13}", markup=False),
            TextColumn("{task.description:<11}", markup=False),
            FileSizeColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks = {
            name: self._progress.add_task("waiting", total=None, service=name) for name in services
        }

    def __enter__(self) -> DatabasesView:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def tell(self, service: str, what: str, size: int) -> None:
        """Take what is being done."""
        self._progress.update(self._tasks[service], description=what, completed=size)


def say(text: str) -> None:
    """Print a line as it stands."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
